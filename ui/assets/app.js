// NovaCron page behaviour; htmx does the talking. Nothing here is needed to read a page or to send a form.
'use strict';
(() => {
  const $ = (s, r = document) => r.querySelector(s), $$ = (s, r = document) => [...r.querySelectorAll(s)];
  const root = document.documentElement, say = t => { const l = $('#say'); if (l) l.textContent = t; };
  const cookie = (k, v) => { document.cookie = `${k}=${v};path=/;max-age=31536000;samesite=lax;secure`; };
  const keep = (k, v) => { cookie(k, v); root.dataset[k] = v; };
  const typing = e => e.target.closest?.('input:not([type=checkbox],[type=radio]),textarea,select,[contenteditable],.screen');
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.includes(`tz=${encodeURIComponent(zone)}`)) cookie('tz', encodeURIComponent(zone));
  let asked;

  // theme: follows the system until chosen
  const dark = () => getComputedStyle(root).colorScheme === 'dark' || (!root.dataset.theme && matchMedia('(prefers-color-scheme:dark)').matches);
  const freshKey = f => { const k = f && $('[name=_key]', f); if (k) k.value = crypto.randomUUID(); };
  const acts = {
    theme() { keep('theme', dark() ? 'light' : 'dark'); say(`${root.dataset.theme} theme`); },
    nav() { keep('nav', root.dataset.nav === 'rail' ? 'full' : 'rail'); $('[data-do=nav]')?.setAttribute('aria-expanded', root.dataset.nav !== 'rail'); },
    palette() { const d = $('#palette'); if (!d || d.open) return; d.showModal(); const i = $('input', d); i.value = ''; list(); },
    keys() { $('#keys')?.showModal(); },
    close(b) { b.closest('dialog')?.close(); },
    drop(b) { b.closest('[data-drop]')?.remove(); },
    empty(b) { $(b.dataset.for)?.replaceChildren(); const s = $(b.dataset.for); if (s) { s.className = ''; s.hidden = true; } },
    copy(b) { navigator.clipboard?.writeText(b.dataset.text).then(() => say('Copied'), () => say('This browser did not copy')); },
    clear() { $$('.pick').forEach(c => { c.checked = false; }); count(); },
    show(b) { open($(b.dataset.for)); },
    bulk(b) { bulk(b.dataset.action); },
    'bulk-delete'() {
      const n = picked().length, d = $('#bulk-delete'), i = $('input', d), want = `delete ${n}`;
      $('[data-expect]', d).textContent = i.dataset.confirm = want; i.value = '';
      $('[data-names]', d).textContent = picked().map(c => c.dataset.name).join(', ');
      $('[data-armed]', d).setAttribute('aria-disabled', 'true'); open(d);
    }
  };
  window.novacron = { acts, say };
  const open = d => { if (d && !d.open) { d.showModal(); $('input:not([type=hidden])', d)?.focus(); } };
  document.addEventListener('click', e => {
    asked = e.target.closest('[popovertarget]') || asked;
    if (e.target.closest('[aria-disabled=true]')) {
      e.preventDefault(); e.stopPropagation();
      const b = e.target.closest('[aria-disabled=true]'); if (b.title) say(b.title);
      return;
    }
    const b = e.target.closest('[data-do]');
    if (b) { if (acts[b.dataset.do]) { e.preventDefault(); acts[b.dataset.do](b, e); } }
    else if (e.target.matches('dialog')) e.target.close(); // click on the backdrop
  }, true);
  $$('dialog[data-open]').forEach(d => { d.close(); open(d); });

  // menus open under the button that asked; a row's menu speaks of its row
  document.addEventListener('toggle', e => {
    const m = e.target, b = asked;
    if (!b || !m.matches?.('.menu') || e.newState !== 'open') return;
    freshKey($('form', m));
    if (b.dataset.path) for (const x of $$('[data-act]', m)) {
      const path = `${b.dataset.path}/${x.dataset.act}`;
      if (x.matches('a')) x.href = path; else { x.formAction = path; x.setAttribute('hx-post', path); }
    }
    const r = b.getBoundingClientRect(), w = m.offsetWidth, h = m.offsetHeight;
    m.style.left = Math.max(8, Math.min(r.right - w, innerWidth - w - 8)) + 'px';
    m.style.top = (r.bottom + h + 8 > innerHeight ? Math.max(8, r.top - h - 4) : r.bottom + 4) + 'px';
    $('a,button', m)?.focus();
  }, true);
  document.addEventListener('click', e => { const m = e.target.closest('.menu[popover] :is(a,button)'); if (m) m.closest('.menu').hidePopover(); });

  // palette: a combobox over a list box; the server searches, the page adds its own commands
  let at = 0;
  const opts = () => $$('#palette [role=option]:not([hidden])');
  /** @param early while the server searches: what is there already and does not fit is hidden */
  function list(early) {
    const i = $('#palette input'), box = $('#found'), q = i.value.trim().toLowerCase();
    $$('[data-press]', box).forEach(o => o.remove());
    const icon = $('.find .i use')?.getAttribute('href').replace(/#.*/, '#right');
    $$('[data-command]').filter(b => b.dataset.command.toLowerCase().includes(q) && b.getAttribute('aria-disabled') !== 'true').slice(0, 6).forEach((b, n) => {
      const o = document.createElement('a');
      o.setAttribute('role', 'option'); o.id = `c${n}`; o.tabIndex = -1; o.href = '#'; o.dataset.press = '';
      const s = document.createElementNS('http://www.w3.org/2000/svg', 'svg'), u = document.createElementNS('http://www.w3.org/2000/svg', 'use');
      s.setAttribute('class', 'i'); s.setAttribute('aria-hidden', 'true'); u.setAttribute('href', icon); s.append(u);
      const t = document.createElement('span'), h = document.createElement('small');
      t.textContent = b.dataset.command; h.textContent = 'Action here'; o.append(s, t, h);
      o.addEventListener('click', e => { e.preventDefault(); $('#palette').close(); b.click(); });
      box.insertBefore(o, $('[data-page]', box));
    });
    $$('[role=option]', box).forEach(o => { o.hidden = !!early && q !== '' && !o.textContent.toLowerCase().includes(q); });
    at = 0; mark(); const n = opts().length; $('#palette output').textContent = n ? `${n} result${n > 1 ? 's' : ''}` : 'Nothing found';
  }
  function mark() {
    $('#palette input').removeAttribute('aria-activedescendant');
    opts().forEach((o, n) => { o.setAttribute('aria-selected', n === at); if (n === at) { o.scrollIntoView({ block: 'nearest' }); $('#palette input').setAttribute('aria-activedescendant', o.id); } });
  }
  $('#palette input')?.addEventListener('input', () => list(true));
  $('#palette')?.addEventListener('keydown', e => {
    const n = opts().length, step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (step && n) { at = (at + step + n) % n; mark(); e.preventDefault(); }
    if (e.key === 'Enter' && opts()[at]) { e.preventDefault(); opts()[at].click(); }
  });

  // table selection: click, shift-click, x
  let last;
  const picked = () => $$('.pick').filter(c => c.checked);
  function count() {
    const p = $$('.pick'), n = picked().length, bar = $('.bulk'), all = $('.all');
    if (all) { all.checked = n > 0 && n === p.length; all.indeterminate = n > 0 && n < p.length; }
    if (bar) { bar.hidden = !n; $('output', bar).textContent = `${n} selected`; }
  }
  function bulk(action) {
    const f = $('#bulk'), d = $('#bulk-delete');
    $$('[name=id]', f).forEach(i => i.remove());
    for (const c of picked()) { const i = document.createElement('input'); i.type = 'hidden'; i.name = 'id'; i.value = c.value; f.append(i); }
    f.elements.action.value = action; f.elements.confirm.value = action === 'delete' ? $('input', d).value : '';
    freshKey(f); d.close(); f.requestSubmit(); acts.clear();
  }
  document.addEventListener('click', e => {
    const c = e.target;
    if (c.matches?.('.all')) $$('.pick').forEach(p => { p.checked = c.checked; });
    else if (c.matches?.('.pick')) {
      const p = $$('.pick');
      if (e.shiftKey && last) { const [a, b] = [p.indexOf(last), p.indexOf(c)].sort((x, y) => x - y); p.slice(a, b + 1).forEach(x => { x.checked = c.checked; }); }
      last = c;
    } else return;
    count();
  });
  count();

  // typed confirmation
  document.addEventListener('input', e => {
    const f = e.target.dataset?.confirm && e.target.form, b = f && $('[data-armed]', f);
    if (b) b.setAttribute('aria-disabled', refused || e.target.value !== e.target.dataset.confirm);
  });

  // keyboard: / and Ctrl-K search, j k x Enter in tables, g + letter goes, ? help
  const go = { o: '/', v: '/vms', n: '/nodes', p: '/operations', e: '/events' };
  const off = () => localStorage.getItem('keys') === 'off', box = $('[data-keys-off]');
  if (box) { box.checked = off(); box.addEventListener('change', () => localStorage.setItem('keys', box.checked ? 'off' : 'on')); }
  let g = 0;
  document.addEventListener('keydown', e => {
    if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === 'k') { e.preventDefault(); return acts.palette(); }
    if (e.ctrlKey || e.metaKey || e.altKey || typing(e) || $('dialog[open]') || off()) return;
    if (g && go[e.key]) { location.href = go[e.key]; return; }
    g = 0;
    const rows = $$('table[data-rows] tbody tr'), i = rows.findIndex(r => 'at' in r.dataset), k = e.key;
    if (k === '/') { e.preventDefault(); acts.palette(); }
    else if (k === 'f' && $('main [type=search]')) { e.preventDefault(); $('main [type=search]').focus(); }
    else if (k === 'g') { g = 1; setTimeout(() => { g = 0; }, 1200); }
    else if (k === '?') acts.keys();
    else if (k === 'c' && $('[data-key=c]')) $('[data-key=c]').click();
    else if (rows.length && (k === 'j' || k === 'k')) {
      const n = Math.max(0, Math.min(rows.length - 1, i + (k === 'j' ? 1 : -1)));
      if (rows[i]) delete rows[i].dataset.at;
      rows[n].dataset.at = ''; $('a', rows[n])?.focus();
    } else if (k === 'x' && rows[i]) $('.pick', rows[i])?.click();
  });

  // live: quorum, staleness, lost touch
  let refused = root.classList.contains('stale') && !!$('#alarm .alarm'), heard = Date.now(), gone = false, known;
  const title = document.title;
  const word = t => { const w = $('[data-live]'); if (w && w.textContent !== t) w.textContent = t; };
  const data = e => JSON.parse(e.detail.data);
  document.addEventListener('quorum', e => {
    const { quorum, refusal } = data(e);
    refused = !!refusal;
    for (const b of $$('[data-change]')) {
      if (refused && b.getAttribute('aria-disabled') !== 'true') { b.setAttribute('aria-disabled', 'true'); b.title = refusal; b.dataset.noq = ''; }
      else if (!refused && (b.dataset.noq !== undefined || known === undefined && b.title.includes('quorum'))) { b.removeAttribute('aria-disabled'); b.removeAttribute('title'); delete b.dataset.noq; }
    }
    if (known === false && quorum) say('Quorum is back. Everything can be changed again.');
    if (known !== false && !quorum) say('This node has no quorum.');
    known = quorum;
    document.title = quorum ? title : `(!) ${title}`;
  });
  document.addEventListener('stale', e => root.classList.toggle('stale', data(e).stale));
  // who signs out is on the way to /login already: the stream that ends by it must not send them elsewhere
  let leaving = false;
  document.addEventListener('submit', e => { leaving ||= (e.submitter?.getAttribute('formaction') || e.target.getAttribute('action')) === '/logout'; });
  const leave = () => { if (!leaving) location.href = `/login?next=${encodeURIComponent(location.pathname + location.search)}`; };
  document.addEventListener('logout', leave);
  const hear = () => { heard = Date.now(); if (gone) { gone = false; word('Live'); } };
  for (const n of ['after:message', 'after:connection']) document.addEventListener(`htmx:sse:${n}`, hear);
  document.addEventListener('htmx:sse:error', e => { if (e.detail.status === 401) leave(); });
  const live = $('#live-source');
  let tries = 0;
  if (live) setInterval(() => {
    const silent = Date.now() - heard;
    if (document.hidden) { heard = Date.now(); return; }
    // The extension tries again after a cut, but not where the first connection failed.
    if (silent > 2000 && !live._htmx?.sse && ++tries % 3 === 0) htmx.ajax('GET', live.getAttribute('hx-sse:connect'), { source: live });
    // A host that lost its power says no goodbye: without this the browser waits most of a minute on a connection that nobody has.
    if (silent > 8000) live._htmx?.sse?.reader?.cancel().catch(() => {});
    if (silent > 5000 && !gone) { gone = true; word('Reconnecting'); }
    if (gone && silent > 10000 && !root.classList.contains('stale')) { root.classList.add('stale'); const a = $('#as-of'); if (a) a.textContent = `as of ${new Date(heard).toLocaleTimeString('en-GB')}`; }
  }, 1000);

  // after a swap: options, selection, errors and toasts
  document.addEventListener('htmx:after:swap', () => {
    if ($('#palette')?.open) list();
    count();
    const err = $('#form-errors'); if (err && !err.dataset.seen) { err.dataset.seen = ''; err.focus(); }
    for (const t of $$('[data-toast]')) {
      if (t.dataset.toast) continue;
      t.dataset.toast = 'on';
      const end = () => { if (t.matches(':hover,:focus-within')) setTimeout(end, 2000); else t.remove(); };
      setTimeout(end, 8000);
    }
  });
  $('#form-errors')?.focus();
})();
