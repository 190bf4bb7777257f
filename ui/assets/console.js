// The serial console: a terminal over a WebSocket that comes back by itself.
const screen = document.querySelector('#console'), word = document.querySelector('#console-state');
const { acts, say } = window.novacron;

// The terminal writes its colours into <style> elements, which our CSP refuses. It gets stand-ins whose text becomes a
// constructed style sheet: that is the CSSOM, which the CSP leaves to scripts.
const create = document.createElement.bind(document);
document.createElement = (name, options) => {
  if (String(name).toLowerCase() !== 'style') return create(name, options);
  const stand = create('span'), sheet = new CSSStyleSheet();
  stand.hidden = true;
  document.adoptedStyleSheets.push(sheet);
  for (const property of ['textContent', 'innerText']) Object.defineProperty(stand, property, { set: text => { sheet.replaceSync(text); }, get: () => '' });
  return stand;
};

const [{ Terminal }, { keepConsole, isLeave, leave }] = await Promise.all([import(screen.dataset.terminal), import(screen.dataset.link)]);
const terminal = new Terminal({
  cols: 100, rows: 30, scrollback: 5000, fontSize: 13, cursorBlink: !matchMedia('(prefers-reduced-motion:reduce)').matches, screenReaderMode: true,
  fontFamily: getComputedStyle(screen).fontFamily, theme: { background: '#0c1015', foreground: '#dfe4e8', cursor: '#67c1f6' }
});
terminal.open(screen);
terminal.textarea?.setAttribute('aria-label', screen.getAttribute('aria-label'));

/** As many columns and rows as fit; the guest's serial line is not told, it knows no size. */
function fit() {
  const cell = screen.querySelector('.xterm-rows > div');
  const rows = screen.querySelector('.xterm-screen');
  if (!cell || !rows || !rows.clientWidth) return;
  const width = rows.clientWidth / terminal.cols, height = cell.getBoundingClientRect().height;
  if (!width || !height) return;
  const style = getComputedStyle(screen);
  const room = screen.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - 14;
  const tall = document.fullscreenElement ? innerHeight - 90 : screen.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
  terminal.resize(Math.max(20, Math.floor(room / width)), Math.max(10, Math.floor(tall / height)));
}
fit();
addEventListener('resize', fit);
document.addEventListener('fullscreenchange', fit);

const encoder = new TextEncoder();
const link = keepConsole({
  box: screen, word, say, note: document.querySelector('#console-note'), again: document.querySelector('#console-again'),
  attach(socket, up) {
    // A guest may have nothing to say; one that cannot be reached is told by a close at once.
    let told = false;
    const tell = () => { if (!told && socket.readyState === WebSocket.OPEN) { told = true; up(); } };
    socket.addEventListener('open', () => setTimeout(tell, 400), { once: true });
    socket.addEventListener('message', e => { tell(); terminal.write(new Uint8Array(e.data)); });
  }
});

const send = text => {
  const { socket } = link;
  if (socket?.readyState !== WebSocket.OPEN) return;
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length; at += 16384) socket.send(bytes.subarray(at, at + 16384));
};
terminal.onData(send);
terminal.onBinary(text => send(text));
terminal.attachCustomKeyEventHandler(e => {
  if (!isLeave(e)) return true;
  leave();
  return false;
});
acts['console-paste'] = () => navigator.clipboard?.readText().then(text => { terminal.paste(text); terminal.focus(); }, () => say('This browser does not let pages read the clipboard'));
acts['console-full'] = () => { if (document.fullscreenElement) document.exitFullscreen(); else screen.closest('.card').requestFullscreen(); };
