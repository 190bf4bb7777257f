// Routes of events and of the audit record.
import { z } from 'zod'
import { eventSchema } from '../../model/event.ts'
import { OperationalError } from '../../model/error.ts'
import { listParameters, listQueryOf, type QueryParameters } from '../query.ts'
import type { CallerRoute, RouteRequest } from '../route.ts'
import { schemas } from './schemas.ts'

/** Opens the live stream; a route cannot know of clocks and stopping servers. */
export type WatchEvents = (caller: Parameters<CallerRoute['handle']>[0], request: RouteRequest, after: string | null) => Response

const eventParameters = {
  ...listParameters,
  watch: { from: 'boolean', schema: z.boolean().describe('Stream events as they come (text/event-stream); so does Accept: text/event-stream. `after`, or Last-Event-ID, is then the last event seen') },
} as const satisfies QueryParameters

export const eventRoutes = (watchEvents: WatchEvents): readonly CallerRoute[] => [
  {
    method: 'GET', path: '/api/v1/events', operationId: 'listEvents', tag: 'Events', summary: 'List events, the newest first, or watch them', credential: 'caller', query: eventParameters,
    answers: { 200: { description: 'A page of events, or the stream', schema: schemas.eventList } }, errors: ['INVALID', 'EVENTS_GONE', 'OVERLOADED'],
    handle: async (caller, request) => {
      const { app, query, headers } = request
      const streamed = query['watch'] === true || (query['watch'] === undefined && (headers.get('Accept') ?? '').includes('text/event-stream'))
      if (!streamed) return { status: 200, body: app.records.events(caller, listQueryOf(query)) }
      const after = headers.get('Last-Event-ID') ?? (query['after'] === undefined ? null : String(query['after']))
      if (after !== null && !eventSchema.shape.id.safeParse(after).success) {
        throw new OperationalError('INVALID', 'An event\'s id has the form "index.ordinal".', { data: { fields: [{ path: 'after', message: 'must be an event\'s id' }] } })
      }
      // Resumed at a node that is a little behind the one that gave the id.
      if (after !== null) await app.waitIndex(Number(after.split('.', 1)[0]), request.signal)
      return watchEvents(caller, request, after)
    },
  },
  {
    method: 'GET', path: '/api/v1/audit', operationId: 'listAudit', tag: 'Events', summary: 'List what was commanded, by whom, and what came of it; the newest first', credential: 'caller', query: listParameters,
    answers: { 200: { description: 'A page of audit records', schema: schemas.auditList } }, errors: ['INVALID', 'FORBIDDEN'],
    handle: (caller, { app, query }) => ({ status: 200, body: app.records.audit(caller, listQueryOf(query)) }),
  },
]
