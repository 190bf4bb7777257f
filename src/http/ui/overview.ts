// The overview page.
import { Hono } from 'hono'
import { html } from 'hono/html'
import type { Caller } from '../../app/face.ts'
import { overviewAttention, overviewConsensus, overviewFigures, overviewHead, overviewMap, overviewOperations, overviewPage, type Overview } from '../../../ui/views/overview.ts'
import { chartScripts, chartsSection, chartStyles } from '../../../ui/views/metrics.ts'
import type { Frame } from '../../../ui/views/frame.ts'
import { callerOf, type HttpEnv } from '../context.ts'
import type { Cell } from './cell.ts'
import { chartCells, rangeOf, readCharts } from './charts.ts'
import { answerPage, requestFrame, type Ui } from './page.ts'

const nodesMax = 1000
/** Above this the drawing shows counts instead of squares. */
const vmsDrawnMax = 600
const troubledMax = 8
const operationsMax = 6

export function overviewRoutes(ui: Ui): Hono<HttpEnv> {
  return new Hono<HttpEnv>().get('/', (context) => {
    const frame = requestFrame(ui, context)
    // Whoever may not look at the whole cluster begins with what is theirs.
    if (!frame.user.cluster) return context.redirect(frame.user.looks ? '/vms' : '/access', 303)
    const read = readCharts(ui, callerOf(context), { kind: 'cluster' }, rangeOf(context))
    const data = { ...readOverview(ui, callerOf(context)), charts: read === null ? html`` : chartsSection(frame, read) }
    return answerPage(ui, context, frame, { title: 'Overview', section: 'overview', live: 'page=overview', scripts: chartScripts(frame), styles: chartStyles(frame) }, overviewPage(frame, data))
  })
}

export function readOverview(ui: Ui, caller: Caller): Overview {
  const { app } = ui
  const phases = app.vms.counts(caller)
  const total = Object.values(phases).reduce((sum, value) => sum + value, 0)
  const all = { limit: 1000, after: null, sort: null, filter: null }
  const troubled = (phase: string) => ((phases[phase] ?? 0) === 0 ? [] : app.vms.list(caller, { ...all, limit: troubledMax, filter: `phase:${phase}` }).items)
  return {
    cluster: app.membership.view(caller),
    nodes: app.nodes.list(caller, { ...all, limit: nodesMax }).items,
    vms: total > vmsDrawnMax ? null : app.vms.list(caller, all).items,
    phases,
    troubled: [...troubled('failed'), ...troubled('unknown')].slice(0, troubledMax),
    operations: app.operations.list(caller, { ...all, limit: operationsMax }).items,
    charts: html``,
  }
}

export function overviewCells(ui: Ui, caller: Caller): (frame: Frame) => Cell[] {
  return (frame) => {
    const data = readOverview(ui, caller)
    return [
      { id: 'ov-head', html: overviewHead(frame, data) },
      { id: 'figures', html: overviewFigures(frame, data) },
      { id: 'ov-map', html: overviewMap(frame, data) },
      { id: 'ov-attention', html: overviewAttention(frame, data) },
      { id: 'ov-ops', html: overviewOperations(frame, data.operations) },
      { id: 'ov-raft', html: overviewConsensus(data) },
      ...chartCells(ui, caller, frame, { kind: 'cluster' }),
    ]
  }
}
