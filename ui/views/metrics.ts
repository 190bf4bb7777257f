// Charts of the last hour, drawn here as SVG, which charts.js makes explorable; the same as a table; and the small lines of lists.
import { html } from 'hono/html'
import type { MetricsView, SeriesUnit, Usage } from '../../src/model/metrics.ts'
import { bytes, clock, percent, unknown } from './figures.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { state } from './state.ts'

export type ChartRange = '10m' | '1h'
export type Charts = {
  readonly metrics: MetricsView
  readonly range: ChartRange
  /** Path of the API's series and of this page. */
  readonly source: string
  readonly page: string
}

type Chart = { readonly key: string; readonly title: string; readonly names: readonly string[]; readonly words: readonly string[]; readonly top?: 'one' | 'memory' | 'storage' }

const usage: readonly Chart[] = [
  { key: 'network', title: 'Network', names: ['receive', 'transmit'], words: ['received', 'sent'] },
  { key: 'disks', title: 'Disks', names: ['read', 'write'], words: ['read', 'written'] },
]
const charts: Readonly<Record<MetricsView['kind'], readonly Chart[]>> = {
  cluster: [
    { key: 'cpu', title: 'CPU', names: ['cpu'], words: ['in use'], top: 'one' },
    { key: 'memory', title: 'Memory', names: ['memoryUsed'], words: ['in use'], top: 'memory' }, ...usage,
  ],
  node: [
    { key: 'cpu', title: 'CPU', names: ['cpu'], words: ['in use'], top: 'one' },
    { key: 'memory', title: 'Memory', names: ['memoryUsed'], words: ['in use'], top: 'memory' }, ...usage,
    { key: 'append', title: 'Log write', names: ['append'], words: ['mean'] },
    { key: 'loop', title: 'Event loop delay', names: ['loopDelay'], words: ['99th percentile'] },
    { key: 'daemon', title: 'Daemon CPU', names: ['daemonCpu'], words: ['of one core'] },
    { key: 'daemon-memory', title: 'Daemon memory', names: ['daemonMemory'], words: ['resident'] },
  ],
  vm: [
    { key: 'cpu', title: 'CPU', names: ['cpu'], words: ['in use'], top: 'one' },
    { key: 'memory', title: 'Memory', names: ['memoryResident'], words: ['taken of the host'] }, ...usage,
  ],
}

/** The section with all charts. Only `metrics-state` and the figures of now are live cells; charts.js feeds the rest. */
export function chartsSection(frame: Frame, data: Charts): Html {
  const { metrics, range, source, page } = data
  const link = (to: ChartRange, text: string) => html`<a href="${page}?range=${to}#charts"${to === range ? html` aria-current="page"` : ''}>${text}</a>`
  return html`<section class="charts" id="charts" aria-labelledby="ch-h" data-charts="${source}?range=${range}" data-every="${range === '1h' ? '15' : '5'}"><div class="head"><div class="row title"><h2 id="ch-h">${range === '1h' ? 'Last hour' : 'Last 10 minutes'}</h2>${metricsState(frame, metrics)}</div><nav class="views" aria-label="Time shown">${link('10m', '10 minutes')}${link('1h', '1 hour')}</nav></div>
<p class="note warn" data-charts-note hidden role="status"></p>
<div class="grid same">${charts[metrics.kind].map((chart) => chartCard(frame, metrics, chart))}</div>
<details class="card"><summary>Show as table</summary><div class="in scroll" role="region" aria-label="The figures as a table" tabindex="0">${seriesTable(frame, metrics)}</div></details></section>`
}

/** What the figures are worth: a live cell. */
export function metricsState(frame: Frame, metrics: MetricsView): Html {
  const word =
    metrics.heardAt === null
      ? state(frame, { word: 'Nothing measured yet', tone: 'off', icon: 's-unknown' })
      : metrics.stale
        ? state(frame, { word: '', tone: 'warn', icon: 's-warn' }, { text: `Last heard ${clock(frame, metrics.heardAt)}` })
        : html`<span class="dim small">${metrics.series.every((series) => series.latest === null) ? `Measured until ${clock(frame, metrics.heardAt)}` : ''}</span>`
  return html`<span id="metrics-state">${word}</span>`
}

/** The figures of now: live cells. */
export function chartFigures(metrics: MetricsView): readonly { readonly id: string; readonly html: Html }[] {
  return charts[metrics.kind].map((chart) => ({ id: `now-${chart.key}`, html: figureNow(metrics, chart) }))
}

function figureNow(metrics: MetricsView, chart: Chart): Html {
  const series = seriesOf(metrics, chart)
  const values = series.map((each, at) => html`${at === 0 ? '' : ' '}<b>${valueText(each.unit, each.latest)}</b>${series.length === 1 ? '' : html` <span class="dim">${chart.words[at] ?? ''}</span>`}`)
  return html`<p class="now" id="now-${chart.key}">${values}</p>`
}

function seriesOf(metrics: MetricsView, chart: Chart): readonly MetricsView['series'][number][] {
  return chart.names.flatMap((name) => metrics.series.find((series) => series.name === name) ?? [])
}

function chartCard(frame: Frame, metrics: MetricsView, chart: Chart): Html {
  const series = seriesOf(metrics, chart)
  const known = series.flatMap((each) => each.points).filter((point) => point !== null)
  const limit = chart.top === 'one' ? 1 : chart.top === 'memory' ? metrics.limits.memoryBytes : chart.top === 'storage' ? (metrics.limits.storageBytes ?? 0) : 0
  const top = Math.max(limit, niceTop(Math.max(0, ...known)))
  const unit = series[0]?.unit ?? 'count'
  const body = known.length === 0
    ? html`<p class="none dim">${metrics.kind === 'vm' && chart.key === 'network' ? 'Not counted for networks in user mode.' : 'Nothing was measured in this time.'}</p>`
    : html`<div class="chart"><svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true"><path class="gl" d="M0 0H100M0 50H100M0 100H100"/>${series.map((each, at) => lines(each.points, top, at))}</svg><div class="y" aria-hidden="true"><span>${valueText(unit, top)}</span><span>${valueText(unit, top / 2)}</span><span>${valueText(unit, 0)}</span></div><div class="x" aria-hidden="true"><span>${clock(frame, metrics.startAt)}</span><span>${clock(frame, Date.parse(metrics.startAt) + (series[0]?.points.length ?? 0) * metrics.stepSeconds * 1000)}</span></div></div>`
  const names = series.map((each, at) => html`<span class="${at === 0 ? 'solid' : 'dashed'}">${chart.words[at] ?? each.title}</span>`)
  return html`<figure class="card stat c3 plot"><figcaption><h3>${chart.title}</h3>${figureNow(metrics, chart)}</figcaption><div class="area" role="img" aria-label="${sentence(chart, series)}" data-plot="${chart.names.join(',')}" data-words="${chart.words.join(',')}" data-unit="${unit}" data-top="${String(limit)}" hx-morph-skip>${body}</div><p class="key" aria-hidden="true">${names}</p></figure>`
}

/** "CPU: now 37 %, between 2 % and 80 %." */
function sentence(chart: Chart, series: readonly MetricsView['series'][number][]): string {
  const parts = series.map((each, at) => {
    const known = each.points.filter((point) => point !== null)
    const name = series.length === 1 ? chart.title : `${chart.title} ${chart.words[at] ?? ''}`
    if (known.length === 0) return `${name}: nothing measured`
    return `${name}: now ${each.latest === null ? 'not known' : valueText(each.unit, each.latest)}, between ${valueText(each.unit, Math.min(...known))} and ${valueText(each.unit, Math.max(...known))}`
  })
  return `${parts.join('; ')}.`
}

/** A line with gaps where nothing was heard; a point alone is a short dash. */
function lines(points: readonly (number | null)[], top: number, at: number): Html {
  const path = linePath(points, { width: 100, height: 100, top })
  return html`<path class="ln${at === 0 ? '' : ' two'}" d="${path}"/>`
}

function linePath(points: readonly (number | null)[], box: { readonly width: number; readonly height: number; readonly top: number }): string {
  const x = (at: number) => round((at / Math.max(1, points.length - 1)) * box.width)
  const y = (value: number) => round(box.height - (Math.min(value, box.top) / (box.top || 1)) * box.height)
  let path = ''
  for (const [at, value] of points.entries()) {
    if (value === null) continue
    const before = points[at - 1] ?? null
    const after = points[at + 1] ?? null
    path += before === null ? `M${x(at)} ${y(value)}${after === null ? 'h.7' : ''}` : `L${x(at)} ${y(value)}`
  }
  return path
}

function round(value: number): string {
  return String(Math.round(value * 10) / 10)
}

/** 1, 2 or 5 times a power of ten, at least the value. */
function niceTop(value: number): number {
  if (value <= 0) return 0
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 5, 10].map((factor) => factor * power).find((top) => top >= value) ?? value
}

export function valueText(unit: SeriesUnit, value: number | null): string {
  if (value === null) return unknown
  switch (unit) {
    case 'ratio':
      return percent(value)
    case 'bytes':
      return bytes(value)
    case 'bytesPerSecond':
      return `${bytes(Math.round(value))}/s`
    case 'perSecond':
      return `${value < 10 ? value.toFixed(1) : Math.round(value)}/s`
    case 'seconds':
      return `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)}\u00a0ms`
    case 'count':
      return String(Math.round(value))
  }
}

const tableRows = 12

/** Every so many points as a row, so that the hour fits on a page: the mean of its steps. */
function seriesTable(frame: Frame, metrics: MetricsView): Html {
  const length = metrics.series[0]?.points.length ?? 0
  const per = Math.max(1, Math.ceil(length / tableRows))
  const rows = Array.from({ length: Math.ceil(length / per) }, (_, at) => at * per)
  const mean = (points: readonly (number | null)[]) => {
    const known = points.filter((point) => point !== null)
    return known.length === 0 ? null : known.reduce((sum, point) => sum + point, 0) / known.length
  }
  return html`<table class="tbl"><caption class="vh">Means of ${String(per * metrics.stepSeconds)} seconds each</caption><thead><tr><th scope="col">From</th>${metrics.series.map((series) => html`<th scope="col" class="num">${series.title}</th>`)}</tr></thead><tbody>${rows.map(
    (first) => html`<tr><th scope="row">${clock(frame, Date.parse(metrics.startAt) + first * metrics.stepSeconds * 1000)}</th>${metrics.series.map((series) => html`<td class="num nowrap">${valueText(series.unit, mean(series.points.slice(first, first + per)))}</td>`)}</tr>`,
  )}</tbody></table>`
}

/** The CPU of the last hour and of now, in a row of a list: a live cell. */
export function sparkCell(frame: Frame, options: { readonly id: string; readonly points: readonly (number | null)[] | undefined; readonly usage: Usage | null }): Html {
  const { id, usage: now } = options
  const points = options.points ?? []
  const known = points.some((point) => point !== null)
  if (!known) return html`<span id="use-${id}" class="dim">${unknown}</span>`
  const path = linePath(points, { width: 100, height: 22, top: 1 })
  const text = now?.cpuRatio === null || now === null ? unknown : percent(now.cpuRatio)
  const stale = now?.stale === true ? html`<span class="vh"> not heard of lately</span>${icon(frame, 's-warn', 'warn')}` : ''
  return html`<span class="meter" id="use-${id}"><svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true"><path class="ln" d="${path}"/></svg><span><span class="vh">CPU in use </span>${text}${stale}</span></span>`
}

/** A small line in a row, as high as the most of it. */
export function sparkLine(points: readonly (number | null)[]): Html {
  const top = niceTop(Math.max(0, ...points.filter((point) => point !== null)))
  return html`<svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true"><path class="ln" d="${linePath(points, { width: 100, height: 22, top })}"/></svg>`
}

export function chartScripts(frame: Frame): Html {
  return html`<script src="${frame.asset('uplot.iife.min.js')}" defer></script>
<script src="${frame.asset('charts.js')}" defer></script>
`
}

export function chartStyles(frame: Frame): Html {
  return html`<link rel="stylesheet" href="${frame.asset('uplot.min.css')}">
`
}
