// Charts that can be explored: uPlot in place of the drawing that came with the page, fed from the API as time goes by.
'use strict';
(() => {
  const section = document.querySelector('[data-charts]');
  if (!section || !window.uPlot) return;
  const note = section.querySelector('[data-charts-note]'), areas = [...section.querySelectorAll('[data-plot]')], every = Number(section.dataset.every) * 1000;
  const zone = document.cookie.match(/(?:^|; )tz=([^;]*)/), timeZone = zone ? decodeURIComponent(zone[1]) : 'UTC';
  const plots = new Map(), powers = Array.from({ length: 50 }, (_, i) => 2 ** i);
  let last = null, failures = 0;

  const bytes = v => { const u = ['B', 'KiB', 'MiB', 'GiB', 'TiB']; let i = 0; while (v >= 1024 && i < 4) { v /= 1024; i++; } return `${Number(v.toPrecision(3))}\u00a0${u[i]}`; };
  const words = {
    ratio: v => `${Number((v * 100).toPrecision(3))}\u00a0%`, bytes, bytesPerSecond: v => `${bytes(v)}/s`, perSecond: v => `${Number(v.toPrecision(3))}/s`,
    seconds: v => `${Number((v * 1000).toPrecision(3))}\u00a0ms`, count: v => String(Math.round(v))
  };
  const time = (s, seconds) => new Intl.DateTimeFormat('en-GB', { timeZone, hour: '2-digit', minute: '2-digit', ...(seconds ? { second: '2-digit' } : {}), hourCycle: 'h23' }).format(s * 1000);
  // Colours are tokens: an element that wears one tells what it is in this theme.
  const colour = name => { const e = document.createElement('span'); e.style.color = `var(${name})`; section.append(e); const c = getComputedStyle(e).color; e.remove(); return c; };

  function dataOf(area, metrics) {
    const start = Date.parse(metrics.startAt) / 1000, lines = area.dataset.plot.split(',').map(n => metrics.series.find(s => s.name === n)?.points ?? []);
    return [lines[0].map((_, i) => start + i * metrics.stepSeconds), ...lines];
  }

  function make(area, data) {
    const unit = words[area.dataset.unit] ?? String, names = area.dataset.words.split(','), top = Number(area.dataset.top);
    const ink = colour('--dim'), grid = { stroke: colour('--line'), width: 1 }, font = `11px ${getComputedStyle(document.body).fontFamily}`;
    const tones = [colour('--go'), colour('--two')];
    const axis = { stroke: ink, grid, ticks: { show: false }, font };
    area.replaceChildren();
    return new window.uPlot({
      width: area.clientWidth, height: 150, tzDate: ts => new Date(ts * 1000), padding: [8, 4, 0, 0],
      cursor: { y: false, drag: { x: true, y: false }, sync: { key: 'charts' }, points: { size: 6 } },
      scales: { x: { time: true }, y: { range: (_, __, max) => [0, Math.max(top, (max || 0) * 1.1) || 1] } },
      axes: [
        { ...axis, size: 24, space: 70, values: (_, splits) => splits.map(s => time(s, false)) },
        { ...axis, size: 62, space: 36, ...(area.dataset.unit.startsWith('bytes') ? { incrs: powers } : {}), values: (_, splits) => splits.map(v => unit(v)) }
      ],
      legend: { live: true, markers: { width: 2, dash: (_, i) => i === 2 ? 'dashed' : 'solid' } },
      series: [
        { label: 'At', value: (_, v) => v == null ? '–' : time(v, true) },
        ...data.slice(1).map((_, i) => ({ label: names[i] ?? '', stroke: tones[i], width: 1.5, dash: i === 0 ? undefined : [4, 3], spanGaps: false, points: { show: (u, s, a, b) => b - a < 2 }, value: (_, v) => v == null ? '–' : unit(v) }))
      ]
    }, data, area);
  }

  function draw(metrics) {
    last = metrics;
    for (const area of areas) {
      const data = dataOf(area, metrics), known = data.slice(1).some(line => line.some(v => v !== null)), plot = plots.get(area);
      if (!known) { if (plot) { plot.destroy(); plots.delete(area); } continue; }
      // While somebody looks closer at a part, it stays.
      if (plot) { const { min, max } = plot.scales.x, x = plot.data[0], zoomed = min > x[0] || max < x[x.length - 1]; plot.setData(data, !zoomed); if (zoomed) plot.redraw(); }
      else plots.set(area, make(area, data));
    }
  }

  function again() {
    for (const [area, plot] of plots) { plot.destroy(); plots.delete(area); }
    if (last) draw(last);
  }

  function tell(text) { if (note) { note.textContent = text; note.hidden = text === ''; } }

  async function load() {
    if (document.hidden) return;
    try {
      const answer = await fetch(section.dataset.charts, { headers: { Accept: 'application/json' }, credentials: 'same-origin' });
      if (answer.status === 404) { tell('This is not there any more.'); clearInterval(timer); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      draw(await answer.json());
      failures = 0; tell('');
    } catch { if (++failures > 1) tell('The figures cannot be read at the moment; what is shown stands still. Trying again.'); }
  }

  const timer = setInterval(load, every);
  document.addEventListener('visibilitychange', load);
  let width = 0;
  new ResizeObserver(() => { const now = areas[0]?.clientWidth ?? 0; if (now === width) return; width = now; for (const [area, plot] of plots) plot.setSize({ width: area.clientWidth, height: 150 }); }).observe(section);
  new MutationObserver(again).observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
  matchMedia('(prefers-color-scheme:dark)').addEventListener('change', again);
  section.dataset.ready = 'yes';
  load();
})();
