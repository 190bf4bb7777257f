// Routes of events and of the audit record.
import { z } from 'zod'
import type { App } from '../../app/face.ts'
import { eventSchema } from '../../model/event.ts'
import { OperationalError } from '../../model/error.ts'
import { answerAuditExport, auditFormats, type AuditFormat } from '../audit-export.ts'
import { listParameters, listQueryOf, readParameters, type QueryParameters } from '../query.ts'
import type { CallerRoute, RouteRequest } from '../route.ts'
import { schemas } from './schemas.ts'

/** Opens the live stream; a route cannot know of clocks and stopping servers. */
export type WatchEvents = (caller: Parameters<CallerRoute['handle']>[0], request: RouteRequest, after: string | null) => Response

export const eventParameters = {
  ...listParameters,
  watch: { from: 'boolean', schema: z.boolean().describe('Stream events as they come (text/event-stream); so does Accept: text/event-stream. `after`, or Last-Event-ID, is then the last event seen, and `filter` holds for the stream too') },
} as const satisfies QueryParameters

/**
 * A place to resume from, once this node has come there: it may be a little behind the one that gave it.
 * @throws INVALID, OUTCOME_UNKNOWN
 */
export async function placeOf(app: App, after: string | null, signal: AbortSignal): Promise<string | null> {
  if (after === null) return null
  if (!eventSchema.shape.id.safeParse(after).success) {
    throw new OperationalError('INVALID', 'An event\'s id has the form "index.ordinal".', { data: { fields: [{ path: 'after', message: 'must be an event\'s id' }] } })
  }
  await app.waitIndex(Number(after.split('.', 1)[0]), signal)
  return after
}

const exportParameters = {
  ...readParameters, sort: listParameters.sort, filter: listParameters.filter,
  format: { from: 'text', schema: z.enum(auditFormats).default('csv').describe('csv or jsonl') },
} as const satisfies QueryParameters

export const eventRoutes = (watchEvents: WatchEvents): readonly CallerRoute[] => [
  {
    method: 'GET', path: '/api/v1/events', operationId: 'listEvents', tag: 'Events', summary: 'List events, the newest first, or watch them (text/event-stream, or a WebSocket)', credential: 'caller', right: 'any', query: eventParameters,
    answers: { 200: { description: 'A page of events, or the stream', schema: schemas.eventList }, 101: { description: 'With Upgrade: websocket, a WebSocket: each event a text message; {"start": id} first, close code 4410 where it must be listed anew, 1008 where the credential is no longer valid, 1001 where the node stops' } }, errors: ['INVALID', 'EVENTS_GONE', 'OVERLOADED'],
    handle: async (caller, request) => {
      const { app, query, headers } = request
      const streamed = query['watch'] === true || (query['watch'] === undefined && (headers.get('Accept') ?? '').includes('text/event-stream'))
      if (!streamed) return { status: 200, body: app.records.events(caller, listQueryOf(query)) }
      const after = headers.get('Last-Event-ID') ?? (query['after'] === undefined ? null : String(query['after']))
      await placeOf(app, after, request.signal)
      return watchEvents(caller, request, after)
    },
  },
  {
    method: 'GET', path: '/api/v1/audit', operationId: 'listAudit', tag: 'Events', summary: 'List what was commanded, by whom, and what came of it; the newest first', credential: 'caller', right: 'administer cluster', query: listParameters,
    answers: { 200: { description: 'A page of audit records', schema: schemas.auditList } }, errors: ['INVALID', 'FORBIDDEN'],
    handle: (caller, { app, query }) => ({ status: 200, body: app.records.audit(caller, listQueryOf(query)) }),
  },
  {
    method: 'GET', path: '/api/v1/audit/export', operationId: 'exportAudit', tag: 'Events', summary: 'All audit records that match, as a file: CSV, or a JSON document on each line', credential: 'caller', right: 'administer cluster', query: exportParameters,
    answers: { 200: { description: 'The file', types: ['text/csv', 'application/jsonl'] } }, errors: ['INVALID', 'FORBIDDEN'],
    handle: (caller, { app, query }) => {
      const { sort, filter } = listQueryOf(query)
      // The first record is looked for before anything is answered: a filter that cannot be read is an error, not half a file.
      app.records.audit(caller, { limit: 1, after: null, sort, filter })
      return answerAuditExport(app.records.exportAudit(caller, { sort, filter }), query['format'] as AuditFormat, app.freshness().index)
    },
  },
]
