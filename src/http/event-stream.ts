// Events as a live stream (server-sent events), resumable at any node, with a bound on what waits for a slow reader.
import type { App, Caller } from '../app/face.ts'
import { OperationalError } from '../model/error.ts'
import type { Cancel, Clock } from '../ports/clock.ts'
import { watchCredential } from './authentication.ts'
import type { WatchEvents } from './api/events.ts'
import type { RouteRequest } from './route.ts'

const streamsMax = 512
const waitingBytesMax = 1024 * 1024
const heartbeatMs = 15_000
/** Orders after every event of its index: ordinals are small. */
const lastOrdinal = 999_999_999

/** Makes the opener of streams; one per server, since it counts them. */
export function createEventStreams(dependencies: { readonly clock: Clock; readonly stopping: AbortSignal }): WatchEvents {
  let open = 0
  return (caller, request, after) => {
    if (open >= streamsMax) throw new OperationalError('OVERLOADED', 'Too many event streams are open on this node.', { data: { retryAfterSeconds: 5 } })
    const stream = openStream({ caller, request, after, clock: dependencies.clock, onClose: () => open-- })
    open++
    return new Response(stream, {
      headers: { 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'no-store', 'Novacron-Index': String(request.app.freshness().index) },
    })
  }
}

type Options = { readonly caller: Caller; readonly request: RouteRequest; readonly after: string | null; readonly clock: Clock; readonly onClose: () => void }

/** @throws EVENTS_GONE before anything is answered */
function openStream({ caller, request, after, clock, onClose }: Options): ReadableStream<Uint8Array> {
  const { app, signal, headers, address } = request
  const encoder = new TextEncoder()
  const early: string[] = []
  let controller: ReadableStreamDefaultController<Uint8Array> | null = null
  let closed = false
  const cancels: Cancel[] = []
  const close = () => {
    if (closed) return
    closed = true
    for (const cancel of cancels) cancel()
    signal.removeEventListener('abort', close)
    onClose()
    try {
      controller?.close()
    } catch {
      // The reader had gone already.
    }
  }
  const send = (text: string) => {
    if (closed) return
    if (controller === null) early.push(text)
    else if ((controller.desiredSize ?? 0) <= 0) {
      // The reader is too slow: it lists anew rather than have us keep what it missed.
      controller.enqueue(encoder.encode(resetMessage))
      close()
    } else controller.enqueue(encoder.encode(text))
  }
  // The start names a place to resume from even before the first event.
  if (after === null) early.push(message({ id: startPlace(app), event: 'start', data: '{}' }))
  else early.push(': resumed\n\n')
  cancels.push(app.records.watch(caller, after, {
    event: (event) => send(message({ id: event.id, data: JSON.stringify(event) })),
    reset() {
      send(resetMessage)
      close()
    },
  }, request.query['filter'] === undefined ? null : String(request.query['filter'])))
  cancels.push(clock.every(heartbeatMs, () => send(': alive\n\n')))
  cancels.push(watchCredential({ app, caller, headers, address, clock }, close))
  signal.addEventListener('abort', close)
  return new ReadableStream<Uint8Array>({
    start(started) {
      controller = started
      for (const text of early) controller.enqueue(encoder.encode(text))
      if (closed) controller.close()
      else if (signal.aborted) close()
    },
    cancel: close,
  }, { highWaterMark: waitingBytesMax, size: (chunk) => chunk?.byteLength ?? 0 })
}

/** The place of a watch that begins now. */
export function startPlace(app: App): string {
  return `${app.freshness().index}.${lastOrdinal}`
}

const resetMessage = message({ event: 'reset', data: '{}' })

function message(fields: { readonly id?: string; readonly event?: string; readonly data: string }): string {
  return `${fields.id === undefined ? '' : `id: ${fields.id}\n`}${fields.event === undefined ? '' : `event: ${fields.event}\n`}data: ${fields.data}\n\n`
}
