// An image's file goes to the API in parts: it can be paused, goes on after a break or a reload, and is found again by what the file looks like.
'use strict';
(() => {
  const form = document.querySelector('[data-upload]');
  if (!form) return;
  const $ = s => form.querySelector(s), say = t => window.novacron?.say(t);
  const base = form.dataset.upload, partBytes = 8 * 1024 * 1024, outageMs = 120000;
  const bar = $('progress'), word = $('[data-upload-word]'), figure = $('[data-upload-figure]'), box = $('#upload-progress'), pauseButton = $('#upload-pause'), cancelButton = $('#upload-cancel'), go = $('#upload-go');
  let state = 'idle', request = null, wake = () => {}, one = null;

  const note = (head, text, look = 'bad') => {
    const d = document.createElement('div'), g = document.createElement('div'), h = document.createElement('p'), p = document.createElement('p');
    d.className = `note ${look}`; d.setAttribute('role', look === 'bad' ? 'alert' : 'status'); g.className = 'grow'; h.className = 'b'; h.textContent = head; p.textContent = text;
    g.append(h, p); d.append(g); $('#upload-note').replaceChildren(d);
  };
  const size = n => { const u = ['B', 'KiB', 'MiB', 'GiB', 'TiB']; let i = 0; while (n >= 1024 && i < 4) { n /= 1024; i++; } return `${n >= 100 || i === 0 ? Math.round(n) : n.toPrecision(3)} ${u[i]}`; };
  const fingerprint = f => `${f.size}-${f.lastModified}-${f.name}`.slice(0, 128);

  class Refused extends Error { constructor(status, problem) { super(problem.detail || `The node answered ${status}.`); this.status = status; this.title = problem.title || 'The image was not taken'; this.code = problem.code || ''; } }
  /** Resolves with the answer; a break is a TypeError, as fetch has it. XMLHttpRequest because it alone tells how far a body went. */
  const ask = (method, path, body, type, onSent) => new Promise((resolve, reject) => {
    const x = request = new XMLHttpRequest();
    x.open(method, path);
    x.setRequestHeader('X-CSRF-Token', form.dataset.csrf);
    x.setRequestHeader('Accept', 'application/json');
    if (type) x.setRequestHeader('Content-Type', type);
    if (onSent) x.upload.onprogress = p => onSent(p.loaded);
    x.onload = () => {
      let answer = {}; try { answer = JSON.parse(x.responseText || '{}'); } catch { /* no document */ }
      if (x.status < 300) resolve(answer); else reject(new Refused(x.status, answer));
    };
    x.onerror = x.onabort = () => reject(new TypeError('broke off'));
    x.send(body ?? null);
  });
  const json = (method, path, value) => ask(method, path, value === undefined ? null : JSON.stringify(value), value === undefined ? '' : 'application/json');
  const wait = ms => new Promise(r => { const t = setTimeout(r, ms); wake = () => { clearTimeout(t); r(); }; });

  const show = (offset, total) => { bar.value = total ? 100 * offset / total : 0; figure.textContent = `${Math.floor(bar.value)} %, ${size(offset)} of ${size(total)}`; };
  const set = next => {
    state = next;
    const busy = next !== 'idle';
    box.hidden = cancelButton.hidden = pauseButton.hidden = !busy;
    pauseButton.textContent = next === 'paused' ? 'Go on' : 'Pause';
    pauseButton.hidden ||= next === 'checking';
    for (const i of form.elements) if (i.type !== 'button' && i !== go) i.disabled = busy;
    if (busy) go.setAttribute('aria-disabled', 'true'); else if (!go.dataset.noq) go.removeAttribute('aria-disabled');
    word.textContent = { sending: 'Uploading', paused: 'Paused', waiting: 'No connection; it goes on by itself', checking: 'Checking the image' }[next] ?? '';
  };

  /** The upload of the same file that an earlier life of this page began, or a new one. */
  async function begin(file, name, copies) {
    const print = fingerprint(file);
    const { items } = await json('GET', base);
    const known = items.find(u => u.name === name && u.spec.fingerprint === print);
    if (known) { say(`Going on at ${size(known.status.offset)}`); return known; }
    return json('POST', base, { name, spec: { sizeBytes: file.size, fingerprint: print, copies: copies === 'all' ? 'all' : Number(copies) } });
  }

  async function send(file) {
    let offset = one.status.offset, heard = Date.now();
    while (offset < file.size) {
      if (state === 'idle') return false;
      if (state === 'paused') { await wait(1e9); heard = Date.now(); continue; }
      set('sending'); show(offset, file.size);
      const from = offset;
      try {
        ({ status: { offset } } = await ask('PUT', `${base}/${one.id}/data?offset=${from}`, file.slice(from, from + partBytes), 'application/octet-stream', n => show(from + n, file.size)));
        heard = Date.now();
      } catch (error) {
        if (state === 'idle' || state === 'paused') { offset = await where(offset); continue; }
        const mend = error instanceof TypeError || error.status === 409 || error.status === 408 || error.status === 400 || error.status >= 502;
        if (!mend || Date.now() - heard > outageMs) throw error;
        set('waiting');
        await wait(1000);
        offset = await where(offset);
      }
    }
    return true;
  }
  const where = offset => json('GET', `${base}/${one.id}`).then(u => u.status.offset, e => { if (e instanceof Refused && e.status === 404) throw e; return offset; });

  form.addEventListener('submit', async e => {
    e.preventDefault();
    if (state !== 'idle' || go.getAttribute('aria-disabled') === 'true') return;
    const file = form.elements.file.files[0], name = form.elements.name.value.trim(), copies = form.elements.copies.value.trim() || '2';
    $('#upload-note').replaceChildren();
    if (!file || !name) return note('A name and a file are needed', 'Nothing was sent.');
    set('sending'); show(0, file.size);
    try {
      one = await begin(file, name, copies);
      if (!await send(file)) return;
      set('checking'); show(file.size, file.size);
      await json('POST', `${base}/${one.id}/finish`);
      one = null;
      location.href = '/images';
    } catch (error) {
      set('idle');
      if (error instanceof Refused) note(error.title, `${error.message} ${error.code}`);
      else note('The upload broke off', 'What was sent is kept for a day: choose the same file and name to go on.');
    }
  });
  pauseButton.addEventListener('click', () => {
    if (state === 'paused') { set('sending'); wake(); return; }
    set('paused'); request?.abort(); say('Upload paused');
  });
  cancelButton.addEventListener('click', async () => {
    const upload = one;
    set('idle'); request?.abort(); wake(); say('Upload cancelled');
    one = null;
    if (upload) await json('DELETE', `${base}/${upload.id}`).catch(() => {});
  });
  addEventListener('beforeunload', e => { if (state === 'sending' || state === 'waiting') e.preventDefault(); });

  // What an earlier visit left is offered again: only the file itself has to be chosen anew.
  json('GET', base).then(({ items }) => {
    const left = items[0];
    if (!left || state !== 'idle') return;
    form.elements.name.value = left.name;
    if (left.spec.copies) form.elements.copies.value = String(left.spec.copies);
    note(`${left.name} is not whole yet`, `${size(left.status.offset)} of ${size(left.spec.sizeBytes)} are here. Choose the same file again to go on.`, 'info');
  }, () => {});
})();
