// Events as a WebSocket, beside the stream of server-sent events: the same filter, the same place to resume from, the same rights.
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer, type WebSocket } from 'ws'
import type { App, Caller } from '../app/face.ts'
import { OperationalError } from '../model/error.ts'
import type { Cancel, Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import { eventParameters, placeOf } from './api/events.ts'
import { authenticate, checkOrigin, unauthenticated, watchCredential } from './authentication.ts'
import { addressOf } from './context.ts'
import { startPlace } from './event-stream.ts'
import { parseQuery } from './query.ts'
import { headersOf, refuseUpgrade } from './upgrade.ts'

const eventSocketPath = '/api/v1/events'
const socketsMax = 512
const waitingBytesMax = 1024 * 1024
const pingMs = 15_000
const closeTimeoutMs = 5_000
/** Nothing is to be said to us but pongs. */
const frameBytesMax = 1024
/** Private codes are those of HTTP behind a 4 (RFC 6455 §7.4.2). */
const eventCloseCodes = { going: 1001, unsupported: 1003, policy: 1008, gone: 4410 } as const

type Dependencies = { readonly app: () => App | null; readonly clock: Clock; readonly log: Log; readonly stopping: AbortSignal }
export type EventSockets = {
  /** Whether the request is for events. */
  takes(request: IncomingMessage): boolean
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
}

export function createEventSockets(dependencies: Dependencies): EventSockets {
  const server = new WebSocketServer({ noServer: true, maxPayload: frameBytesMax, perMessageDeflate: false, clientTracking: false })
  server.on('wsClientError', (_error, socket) => refuseUpgrade(socket, new OperationalError('MALFORMED', 'This is no WebSocket handshake.')))
  let open = 0
  return {
    takes: (request) => (request.url ?? '').split('?', 1)[0] === eventSocketPath,
    upgrade(request, socket, head) {
      const onError = () => undefined
      socket.on('error', onError)
      const accept = async () => {
        if (open >= socketsMax) throw new OperationalError('OVERLOADED', 'Too many event streams are open on this node.', { data: { retryAfterSeconds: 5 } })
        const asked = await admit(dependencies.app(), request)
        if (socket.destroyed) return
        open++
        socket.on('close', () => open--)
        socket.off('error', onError)
        server.handleUpgrade(request, socket, head, (websocket) => watch(websocket, asked, dependencies))
      }
      accept().catch((error: unknown) => {
        if (!(error instanceof OperationalError)) dependencies.log.error('event socket failed', { error: String(error) })
        refuseUpgrade(socket, error)
      })
    },
  }
}

type Asked = { readonly app: App; readonly caller: Caller; readonly headers: Headers; readonly address: string; readonly after: string | null; readonly filter: string | null }

/** A browser sends the session's cookie from any site: Origin tells ours. @throws UNAUTHENTICATED, CROSS_ORIGIN, INVALID, OUTCOME_UNKNOWN */
async function admit(app: App | null, request: IncomingMessage): Promise<Asked> {
  const headers = headersOf(request)
  const address = addressOf(request)
  const caller = app === null ? null : await authenticate(app, headers, address)
  if (app === null || caller === null) throw unauthenticated()
  checkOrigin(headers, caller.session !== null)
  const query = parseQuery(new URL(request.url ?? '', 'https://node').searchParams, eventParameters)
  const after = await placeOf(app, query['after'] === undefined ? null : String(query['after']), AbortSignal.timeout(closeTimeoutMs * 2))
  const filter = query['filter'] === undefined ? null : String(query['filter'])
  // A filter that cannot be read is told before there is a WebSocket: browsers hear no more of a close than its code.
  if (filter !== null) app.records.events(caller, { limit: 1, after: null, sort: null, filter })
  return { app, caller, headers, address, after, filter }
}

function watch(websocket: WebSocket, asked: Asked, { clock, stopping, log }: Dependencies): void {
  const { app, caller, after, filter } = asked
  const cancels: Cancel[] = []
  let answered = true
  let closed = false
  const close = (code: number, reason: string) => {
    if (closed) return
    closed = true
    for (const cancel of cancels) cancel()
    websocket.close(code, reason)
    // A peer that does not answer the close is dropped.
    clock.after(closeTimeoutMs, () => websocket.terminate())
  }
  const send = (value: unknown) => {
    if (closed) return
    // The reader is too slow: it lists anew rather than have us keep what it missed.
    if (websocket.bufferedAmount > waitingBytesMax) close(eventCloseCodes.gone, 'too slow: list anew')
    else websocket.send(JSON.stringify(value))
  }
  websocket.on('close', () => close(eventCloseCodes.going, ''))
  websocket.on('error', (error) => log.debug('event socket failed', { error: error.message }))
  websocket.on('pong', () => {
    answered = true
  })
  websocket.on('message', () => close(eventCloseCodes.unsupported, 'nothing is to be sent here'))
  const onStopping = () => close(eventCloseCodes.going, 'the node is stopping')
  stopping.addEventListener('abort', onStopping)
  cancels.push(
    () => stopping.removeEventListener('abort', onStopping),
    watchCredential({ ...asked, clock }, () => close(eventCloseCodes.policy, 'signed out, or of other roles than before')),
    clock.every(pingMs, () => {
      if (!answered) return websocket.terminate()
      answered = false
      websocket.ping()
    }),
  )
  try {
    if (after === null) send({ start: startPlace(app) })
    const cancel = app.records.watch(caller, after, { event: send, reset: () => close(eventCloseCodes.gone, 'list anew') }, filter)
    if (closed) cancel()
    else cancels.push(cancel)
  } catch (error) {
    if (error instanceof OperationalError && error.code === 'EVENTS_GONE') close(eventCloseCodes.gone, 'EVENTS_GONE')
    else close(eventCloseCodes.unsupported, error instanceof OperationalError ? error.code : 'INTERNAL')
  }
}
