// Keeps a console open: a new ticket for each connection, and after a break (a migration, the death of a node, a stop of the VM) another try.
// It tells what it does in the words of `state`.

const delayMsMin = 400, delayMsMax = 5000;
/** Closed for good: only a click opens it again. */
const finalCodes = [4010, 4011];
const pause = ms => new Promise(resolve => setTimeout(resolve, ms));

/**
 * @param box the element that carries data-path, data-type and data-csrf
 * @param again a button that ends a wait
 * @param attach takes a WebSocket that is about to open; calls `up` once the guest is there
 * @returns {{ socket: WebSocket | null }} the present connection
 */
export function keepConsole({ box, word, note, again, attach, say }) {
  const { path, type, csrf } = box.dataset;
  let delayMs = delayMsMin, socket = null, stopped = false, wake = () => {}, wasUp = false, turn = 0;
  function state(text, tone, sentence = '') {
    word.textContent = text;
    word.className = `state ${tone}`;
    if (note.textContent !== sentence) note.textContent = sentence;
    note.hidden = sentence === '';
  }

  /** A ticket's URL; null where there is none now, after which one waits. */
  async function ticket() {
    let answer, body = {};
    try {
      answer = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json', 'X-CSRF-Token': csrf, Accept: 'application/json' }, body: JSON.stringify({ type }) });
      body = await answer.json();
    } catch {
      state('This node does not answer', 'warn', 'The console comes back when it does.');
      return null;
    }
    if (answer.ok) return body.url;
    if (answer.status === 401) { stopped = true; location.href = `/login?next=${encodeURIComponent(location.pathname)}`; return null; }
    if (answer.status === 403 || answer.status === 404) { await final(answer.status === 403 ? 'Not allowed' : 'Gone', body.detail); return null; }
    state(body.code === 'STATE_CONFLICT' ? 'The VM is off' : 'Waiting for the VM', 'warn', body.detail);
    return null;
  }

  function final(text, sentence) {
    state(text, 'bad', sentence);
    again.hidden = false;
    return new Promise(resolve => { wake = resolve; }).then(() => { again.hidden = true; });
  }

  /** One connection, from its handshake to its end. */
  function connection(url) {
    const place = new URL(url, location.href);
    place.protocol = 'wss:';
    socket = new WebSocket(place);
    socket.binaryType = 'arraybuffer';
    attach(socket, () => {
      delayMs = delayMsMin;
      state('Connected', 'ok');
      say(wasUp ? 'Console connected again' : 'Console connected');
      wasUp = true;
    });
    return new Promise(resolve => socket.addEventListener('close', resolve, { once: true }));
  }

  async function run() {
    const own = ++turn;
    for (let first = true; !stopped && own === turn; first = false) {
      if (first) state('Connecting', 'go');
      const url = await ticket();
      if (stopped) return;
      if (url !== null) {
        const { code, reason } = await connection(url);
        socket = null;
        if (stopped) return;
        if (finalCodes.includes(code)) { await final('Closed', `It was closed: ${reason}.`); continue; }
        const sentence = reason.replace(/^[A-Z_]+: /, '');
        if (code === 4009) state(reason.startsWith('SCREEN_MISSING') ? 'No screen' : 'Waiting for the VM', 'warn', sentence);
        else state('Reconnecting', 'warn', wasUp ? 'The connection broke off: the VM moves, was stopped, or its node is out of reach. It is tried again by itself.' : '');
      }
      await Promise.race([pause(delayMs), new Promise(resolve => { wake = resolve; })]);
      delayMs = Math.min(delayMs * 1.6, delayMsMax);
    }
  }
  void run();
  again.addEventListener('click', () => wake());
  addEventListener('pagehide', () => { stopped = true; socket?.close(); wake(); });
  addEventListener('pageshow', e => { if (e.persisted && stopped) { stopped = false; void run(); } });
  addEventListener('online', () => wake());
  return { get socket() { return socket; } };
}

/** Ctrl-Shift-Escape gives the keyboard back to the page. */
export function isLeave(e) {
  return e.type === 'keydown' && e.ctrlKey && e.shiftKey && e.key === 'Escape';
}

export function leave() {
  document.activeElement?.blur();
  document.querySelector('main').focus();
}
