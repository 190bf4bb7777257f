// The charts of a page: what they show now, and the cells of them that are live.
import type { Caller } from '../../app/face.ts'
import { OperationalError } from '../../model/error.ts'
import { chartFigures, metricsState, sparkCell, type ChartRange, type Charts } from '../../../ui/views/metrics.ts'
import type { Frame } from '../../../ui/views/frame.ts'
import type { Cell } from './cell.ts'
import type { Ui, UiContext } from './page.ts'

export type ChartSubject = { readonly kind: 'cluster' } | { readonly kind: 'node' | 'vm'; readonly id: string; readonly page: string }

/** The time to show as asked for; an hour by default. */
export function rangeOf(context: UiContext): ChartRange {
  return context.req.query('range') === '10m' ? '10m' : '1h'
}

/** Null where the reader may not see it, as the cluster's for who belongs to a project. */
export function readCharts(ui: Ui, caller: Caller, subject: ChartSubject, range: ChartRange): Charts | null {
  const { measures } = ui.app
  const query = { rangeSeconds: range === '1h' ? 3600 : 600, stepSeconds: null }
  try {
    if (subject.kind === 'cluster') return { metrics: measures.cluster(caller, query), range, source: '/api/v1/cluster/metrics', page: '/' }
    const metrics = subject.kind === 'node' ? measures.node(caller, subject.id, query) : measures.vm(caller, subject.id, query)
    return { metrics, range, source: `/api/v1/${subject.kind}s/${subject.id}/metrics`, page: subject.page }
  } catch (error) {
    if (error instanceof OperationalError && error.code === 'FORBIDDEN') return null
    throw error
  }
}

/** State and figures of now; the lines are fetched by the page's script. */
export function chartCells(ui: Ui, caller: Caller, frame: Frame, subject: ChartSubject): readonly Cell[] {
  const charts = readCharts(ui, caller, subject, '10m')
  return charts === null ? [] : [{ id: 'metrics-state', html: metricsState(frame, charts.metrics) }, ...chartFigures(charts.metrics)]
}

/** The small lines of a list, by id. */
export function sparkCells(ui: Ui, caller: Caller, frame: Frame, list: { readonly kind: 'node' | 'vm'; readonly ids: readonly string[] }): ReadonlyMap<string, Cell> {
  const points = ui.app.measures.sparks(caller, list.kind, list.ids)
  return new Map(list.ids.map((id) => [id, { id: `use-${id}`, html: sparkCell(frame, { id, points: points.get(id), usage: ui.app.measures.usageOf(caller, list.kind, id) }) }]))
}
