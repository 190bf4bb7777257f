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

const { Terminal } = await import(screen.dataset.terminal);
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

let socket, delay = 500, stopped = false;
const encoder = new TextEncoder();
function state(text, tone) { word.textContent = text; word.className = `state ${tone}`; }
function connect() {
  state('Connecting', 'go');
  const url = new URL(screen.dataset.src, location.href);
  url.protocol = 'wss:';
  socket = new WebSocket(url);
  socket.binaryType = 'arraybuffer';
  socket.onopen = () => { delay = 500; state('Connected', 'ok'); say('Console connected'); };
  socket.onmessage = e => terminal.write(typeof e.data === 'string' ? e.data : new Uint8Array(e.data));
  socket.onclose = e => {
    if (stopped) return;
    if (e.code === 1008) { location.href = `/login?next=${encodeURIComponent(location.pathname)}`; return; }
    state('Waiting for the VM', 'warn');
    setTimeout(connect, delay);
    delay = Math.min(delay * 2, 5000);
  };
}
connect();
addEventListener('pagehide', () => { stopped = true; socket.close(); });
addEventListener('pageshow', e => { if (e.persisted) { stopped = false; connect(); } });

const send = text => {
  if (socket.readyState !== WebSocket.OPEN) return;
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length; at += 16384) socket.send(bytes.subarray(at, at + 16384));
};
terminal.onData(send);
terminal.onBinary(text => send(text));
terminal.attachCustomKeyEventHandler(e => {
  if (e.type === 'keydown' && e.ctrlKey && e.shiftKey && e.key === 'Escape') { terminal.blur(); document.querySelector('main').focus(); return false; }
  return true;
});
acts['console-paste'] = () => navigator.clipboard?.readText().then(text => { terminal.paste(text); terminal.focus(); }, () => say('This browser does not let pages read the clipboard'));
acts['console-full'] = () => { if (document.fullscreenElement) document.exitFullscreen(); else screen.closest('.card').requestFullscreen(); };
