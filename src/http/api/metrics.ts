// Routes of what was measured: series of the last hour, and who uses how much now.
import { z } from 'zod'
import type { Caller, SeriesQuery } from '../../app/face.ts'
import { historySeconds } from '../../model/metrics.ts'
import { listParameters, listQueryOf, readParameters, type Query, type QueryParameters } from '../query.ts'
import type { CallerRoute, RouteRequest } from '../route.ts'
import { schemas } from './schemas.ts'

const base = '/api/v1'
const rangeSecondsMin = 60
const unitSeconds = { s: 1, m: 60, h: 3600 } as const

const durationSeconds = (text: string): number => {
  const [, amount, unit] = /^(\d{1,5})([smh])$/.exec(text) ?? []
  return unit === undefined ? Number.NaN : Number(amount) * unitSeconds[unit as keyof typeof unitSeconds]
}
const rangeWords = `must be a time from ${rangeSecondsMin}s to 1h, as 5m`
const range = z.string().max(8).refine((text) => durationSeconds(text) >= rangeSecondsMin && durationSeconds(text) <= historySeconds, rangeWords)
const step = z.string().max(8).refine((text) => durationSeconds(text) >= 5, 'must be a time of at least 5s, as 30s')

const seriesParameters = {
  ...readParameters,
  range: { from: 'text', schema: range.default('1h').describe('How far back, 60s to 1h: 10m, 1h') },
  step: { from: 'text', schema: step.optional().describe('Time between two points: a multiple of 5s up to a range of 10m, of 30s beyond; as fits the range where left out') },
} as const satisfies QueryParameters

function seriesQueryOf(query: Query): SeriesQuery {
  const asked = query['step']
  return { rangeSeconds: durationSeconds(String(query['range'])), stepSeconds: asked === undefined ? null : durationSeconds(String(asked)) }
}

type Of = { readonly path: string; readonly operationId: string; readonly tag: string; readonly summary: string; readonly right: CallerRoute['right'] }

function seriesRoute(of: Of, read: (caller: Caller, request: RouteRequest, query: SeriesQuery) => unknown): CallerRoute {
  return {
    method: 'GET', ...of, credential: 'caller', query: seriesParameters,
    answers: { 200: { description: 'Series of equal steps, oldest first; null is a gap', schema: schemas.metrics } }, errors: ['NOT_FOUND', 'INVALID'],
    handle: (caller, request) => ({ status: 200, body: read(caller, request, seriesQueryOf(request.query)) }),
  }
}

export const metricsRoutes: readonly CallerRoute[] = [
  seriesRoute({ path: `${base}/nodes/{ref}/metrics`, operationId: 'nodeMetrics', tag: 'Nodes', summary: 'What a node measured of itself in the last hour', right: 'read cluster' },
    (caller, { app, params }, query) => app.measures.node(caller, params['ref']!, query)),
  seriesRoute({ path: `${base}/vms/{ref}/metrics`, operationId: 'vmMetrics', tag: 'VMs', summary: 'What was measured of a VM in the last hour', right: 'read project' },
    (caller, { app, params }, query) => app.measures.vm(caller, params['ref']!, query)),
  seriesRoute({ path: `${base}/cluster/metrics`, operationId: 'clusterMetrics', tag: 'Cluster', summary: 'All nodes added up, over the last hour', right: 'read cluster' },
    (caller, { app }, query) => app.measures.cluster(caller, query)),
  {
    method: 'GET', path: `${base}/cluster/usage/nodes`, operationId: 'nodeUsage', tag: 'Cluster', summary: 'Who uses how much now: nodes', credential: 'caller', right: 'read cluster', query: listParameters,
    answers: { 200: { description: 'A page of nodes; sorted by cpu, memory, read, write, receive, transmit or name', schema: schemas.usageList } }, errors: ['INVALID'],
    handle: (caller, { app, query }) => ({ status: 200, body: app.measures.nodeUsage(caller, listQueryOf(query)) }),
  },
  {
    method: 'GET', path: `${base}/cluster/usage/vms`, operationId: 'vmUsage', tag: 'Cluster', summary: 'Who uses how much now: VMs', credential: 'caller', right: 'any', query: listParameters,
    answers: { 200: { description: 'A page of VMs; sorted by cpu, memory, read, write, receive, transmit, node, project or name', schema: schemas.usageList } }, errors: ['INVALID'],
    handle: (caller, { app, query }) => ({ status: 200, body: app.measures.vmUsage(caller, listQueryOf(query)) }),
  },
]
