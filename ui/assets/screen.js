// The screen of a VM: noVNC over a WebSocket that comes back by itself.
const box = document.querySelector('#console'), word = document.querySelector('#console-state');
const { acts, say } = window.novacron;
const [{ default: RFB }, { keepConsole, isLeave, leave }] = await Promise.all([import(box.dataset.novnc), import(box.dataset.link)]);

/** X11's number of the key that types a character. */
const keysymOf = char => (char === '\n' ? 0xff0d : char === '\t' ? 0xff09 : char.codePointAt(0) < 0x100 ? char.codePointAt(0) : 0x01000000 + char.codePointAt(0));
const typedMax = 4096;
const copy = document.querySelector('#screen-copy'), scale = document.querySelector('#screen-scale');
let rfb = null, guestText = '', fit = true;

function dress() {
  rfb.scaleViewport = fit;
  rfb.clipViewport = !fit;
  rfb.dragViewport = false;
  rfb.showDotCursor = true;
  rfb.focusOnClick = true;
  rfb.qualityLevel = 7;
}

keepConsole({
  box, word, say, note: document.querySelector('#console-note'), again: document.querySelector('#console-again'),
  attach(socket, up) {
    const had = box.contains(document.activeElement);
    rfb = new RFB(box, socket, { shared: true });
    dress();
    rfb.background = 'transparent';
    rfb.addEventListener('connect', () => {
      box.querySelector('canvas')?.setAttribute('aria-label', box.dataset.picture);
      up();
      if (had) rfb.focus();
    });
    rfb.addEventListener('clipboard', e => { guestText = e.detail.text; copy.hidden = false; });
  }
});

box.addEventListener('focus', () => rfb?.focus());
// Before noVNC hears of it.
box.addEventListener('keydown', e => {
  if (!isLeave(e)) return;
  e.preventDefault();
  e.stopPropagation();
  rfb?.blur();
  leave();
}, true);

acts['screen-keys'] = () => { rfb?.sendCtrlAltDel(); rfb?.focus(); say('Ctrl Alt Delete sent'); };
acts['screen-scale'] = () => {
  fit = !fit;
  scale.setAttribute('aria-pressed', String(fit));
  if (rfb) dress();
};
acts['screen-copy'] = () => navigator.clipboard?.writeText(guestText).then(() => say('Copied'), () => say('This browser does not let pages write the clipboard'));
// As keys: that works in any guest, also at a login on the bare screen.
acts['console-paste'] = () => navigator.clipboard?.readText().then(text => {
  for (const char of [...text.replaceAll('\r\n', '\n')].slice(0, typedMax)) rfb?.sendKey(keysymOf(char), null);
  rfb?.focus();
}, () => say('This browser does not let pages read the clipboard'));
acts['console-full'] = () => { if (document.fullscreenElement) document.exitFullscreen(); else box.closest('.card').requestFullscreen(); };
