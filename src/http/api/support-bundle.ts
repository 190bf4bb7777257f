// The route of the support bundle.
import { Readable } from 'node:stream'
import { readParameters } from '../query.ts'
import type { CallerRoute } from '../route.ts'
import { bundleHeaders, bundleType, packBundle } from '../support-bundle.ts'

export const supportBundleRoutes: readonly CallerRoute[] = [
  {
    method: 'GET', path: '/api/v1/cluster/support-bundle', operationId: 'getSupportBundle', tag: 'Cluster', credential: 'caller', right: 'administer cluster', query: readParameters,
    summary: 'The support bundle of the node that answers: its log, state, configuration, figures and last log lines, without secrets; gzip of JSON lines',
    answers: { 200: { description: 'The bundle; without its last line it is not whole', types: [bundleType] } }, errors: ['FORBIDDEN', 'OVERLOADED'],
    handle: (caller, { app }) => {
      const { node, nowMs, lines } = app.supportBundle(caller)
      return new Response(Readable.toWeb(packBundle(lines)) as ReadableStream<Uint8Array>, { headers: { ...bundleHeaders(node, nowMs), 'Novacron-Index': String(app.freshness().index) } })
    },
  },
]
