// A VM's serial console as a WebSocket: binary frames both ways, with back-pressure both ways.
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer, type RawData, type WebSocket } from 'ws'
import type { App } from '../app/face.ts'
import { OperationalError } from '../model/error.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { ByteStream } from '../ports/transport.ts'
import { authenticate, checkOrigin, unauthenticated } from './authentication.ts'
import { addressOf } from './context.ts'
import { problemHeaders, problemOf, problemType } from './problem.ts'
import { securityHeaders } from './security.ts'

const frameBytesMax = 64 * 1024
const consolesMax = 128
const pingMs = 15_000
const recheckMs = 2_000
/** Frames that may wait for a slow guest before we stop reading from the browser. */
const waitingFramesMax = 64
const closeCodes = { ended: 1000, going: 1001, unsupported: 1003, policy: 1008, failed: 1011 } as const

export type Consoles = { upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void }

export function createConsoles(dependencies: { readonly app: () => App | null; readonly clock: Clock; readonly log: Log; readonly stopping: AbortSignal }): Consoles {
  const { clock, log, stopping } = dependencies
  const server = new WebSocketServer({ noServer: true, maxPayload: frameBytesMax, perMessageDeflate: false, clientTracking: false })
  server.on('wsClientError', (_error, socket) => refuse(socket, new OperationalError('MALFORMED', 'This is no WebSocket handshake.')))
  let open = 0
  return {
    upgrade(request, socket, head) {
      const gone = new AbortController()
      const onClose = () => gone.abort()
      socket.on('close', onClose)
      // Before the handshake only; afterwards ws owns the socket.
      const onError = () => undefined
      socket.on('error', onError)
      const accept = async () => {
        if (open >= consolesMax) throw new OperationalError('OVERLOADED', 'Too many consoles are open on this node.')
        const app = dependencies.app()
        const headers = headersOf(request)
        const caller = app === null ? null : await authenticate(app, headers, addressOf(request))
        if (app === null || caller === null) throw unauthenticated()
        // A WebSocket is no write by its method, but everything typed is: the browser's Origin is all that tells whose page it is.
        checkOrigin(headers, caller.session !== null)
        const ref = refOf(request.url ?? '')
        const stream = await app.vms.console(caller, ref, AbortSignal.any([gone.signal, stopping]))
        if (socket.destroyed) return stream.abort()
        open++
        // Also where ws refuses the handshake itself.
        socket.on('close', () => {
          open--
          stream.abort()
        })
        socket.off('error', onError)
        const valid = async () => (await authenticate(app, headers, addressOf(request))) !== null
        server.handleUpgrade(request, socket, head, (websocket) => join({ websocket, stream, clock, stopping, valid, log }))
      }
      accept().catch((error: unknown) => {
        if (!(error instanceof OperationalError)) log.error('console request failed', { error: String(error) })
        refuse(socket, error)
      })
    },
  }
}

/** The path was matched by nobody yet: an upgrade does not pass the router. */
function refOf(target: string): string {
  const ref = /^\/api\/v1\/vms\/([^/?#]+)\/console$/.exec(target)?.[1]
  if (ref === undefined) throw new OperationalError('NOT_FOUND', 'There is no WebSocket at this path.')
  try {
    return decodeURIComponent(ref)
  } catch {
    throw new OperationalError('NOT_FOUND', 'There is no WebSocket at this path.')
  }
}

function headersOf(request: IncomingMessage): Headers {
  const headers = new Headers()
  for (const [name, value] of Object.entries(request.headers)) if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(', ') : value)
  return headers
}

function refuse(socket: Duplex, error: unknown): void {
  if (socket.destroyed) return
  const problem = problemOf(error)
  const body = JSON.stringify(problem)
  const headers = { ...securityHeaders, ...problemHeaders(error), 'Content-Type': problemType, 'Content-Length': String(Buffer.byteLength(body)), Connection: 'close' }
  socket.end(`HTTP/1.1 ${problem.status} ${problem.code}\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`)
}

type Pair = {
  readonly websocket: WebSocket
  readonly stream: ByteStream
  readonly clock: Clock
  readonly stopping: AbortSignal
  /** Whether the credential still is. */
  readonly valid: () => Promise<boolean>
  readonly log: Log
}

function join({ websocket, stream, clock, stopping, valid, log }: Pair): void {
  let answered = true
  const close = (code: number, reason: string) => {
    // Reasons are bounded by RFC 6455 §5.5.
    websocket.close(code, reason.slice(0, 100))
    // A peer that does not answer the close is dropped.
    clock.after(5_000, () => websocket.terminate())
  }
  const cancels = [
    clock.every(pingMs, () => {
      if (!answered) return websocket.terminate()
      answered = false
      websocket.ping()
    }),
    clock.every(recheckMs, () => void valid().then((still) => still || close(closeCodes.policy, 'signed out'), () => close(closeCodes.failed, 'credential check failed'))),
  ]
  const onStopping = () => close(closeCodes.going, 'the node is stopping')
  stopping.addEventListener('abort', onStopping)
  websocket.on('pong', () => {
    answered = true
  })
  websocket.on('close', () => {
    for (const cancel of cancels) cancel()
    stopping.removeEventListener('abort', onStopping)
    stream.abort()
  })
  websocket.on('error', (error) => log.debug('console connection failed', { error: error.message }))
  carryInput(websocket, stream, close)
  carryOutput(websocket, stream).then(
    () => close(closeCodes.ended, 'the console ended'),
    (error: unknown) => close(closeCodes.failed, error instanceof OperationalError ? error.code : 'the console failed'),
  )
}

function carryInput(websocket: WebSocket, stream: ByteStream, close: (code: number, reason: string) => void): void {
  let waiting = 0
  let last = Promise.resolve()
  websocket.on('message', (data: RawData, isBinary: boolean) => {
    if (!isBinary) return close(closeCodes.unsupported, 'binary frames only')
    const chunk = Array.isArray(data) ? Buffer.concat(data) : new Uint8Array(data as Buffer)
    if (++waiting >= waitingFramesMax) websocket.pause()
    last = last.then(() => stream.write(chunk)).then(
      () => {
        if (--waiting < waitingFramesMax) websocket.resume()
      },
      () => close(closeCodes.failed, 'the console failed'),
    )
  })
}

async function carryOutput(websocket: WebSocket, stream: ByteStream): Promise<void> {
  for await (const chunk of stream.readable) {
    await new Promise<void>((resolve, reject) => websocket.send(chunk, { binary: true }, (error) => {
      if (error) reject(error)
      else resolve()
    }))
  }
}
