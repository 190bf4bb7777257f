// A VM's serial console or screen as a WebSocket: opened by a ticket, binary frames both ways, with back-pressure both ways.
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer, type RawData, type WebSocket } from 'ws'
import type { App, ConsoleSeat } from '../app/face.ts'
import { consoleCloseCodes as codes } from '../model/console.ts'
import { OperationalError } from '../model/error.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { ByteStream } from '../ports/transport.ts'
import { authenticate, unauthenticated } from './authentication.ts'
import { addressOf } from './context.ts'
import { headersOf, refuseUpgrade } from './upgrade.ts'

const frameBytesMax = 64 * 1024
const consolesMax = 128
const pingMs = 15_000
/** How soon a console ends whose holder was signed out or lost the role, at the latest. */
const recheckMs = 500
/** Without a byte from the viewer: nobody sits there. */
const idleMsMax = 3_600_000
const openMsMax = 12 * 3_600_000
const openTimeoutMs = 10_000
const closeTimeoutMs = 5_000
/** Frames that may wait for a slow guest before we stop reading from the browser. */
const waitingFramesMax = 64
/** RFC 6455 §5.5. */
const reasonBytesMax = 123

export type Consoles = { upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void }
type Dependencies = { readonly app: () => App | null; readonly clock: Clock; readonly log: Log; readonly stopping: AbortSignal }

export function createConsoles(dependencies: Dependencies): Consoles {
  const { log } = dependencies
  const server = new WebSocketServer({ noServer: true, maxPayload: frameBytesMax, perMessageDeflate: false, clientTracking: false })
  server.on('wsClientError', (_error, socket) => refuseUpgrade(socket, new OperationalError('MALFORMED', 'This is no WebSocket handshake.')))
  let open = 0
  return {
    upgrade(request, socket, head) {
      // Before the handshake only; afterwards ws owns the socket.
      const onError = () => undefined
      socket.on('error', onError)
      const accept = async () => {
        if (open >= consolesMax) throw new OperationalError('OVERLOADED', 'Too many consoles are open on this node.')
        const seat = await admit(dependencies.app(), request)
        if (socket.destroyed) return
        open++
        // Also where ws refuses the handshake itself.
        socket.on('close', () => open--)
        socket.off('error', onError)
        server.handleUpgrade(request, socket, head, (websocket) => new ConsoleConnection(websocket, seat, dependencies))
      }
      accept().catch((error: unknown) => {
        if (!(error instanceof OperationalError)) log.error('console request failed', { error: String(error) })
        refuseUpgrade(socket, error)
      })
    },
  }
}

/**
 * The ticket is the credential: a page of another site has none, so its Origin does not matter.
 * @throws UNAUTHENTICATED, TICKET_INVALID, NOT_FOUND and what redeeming throws
 */
async function admit(app: App | null, request: IncomingMessage): Promise<ConsoleSeat> {
  if (app === null) throw unauthenticated()
  const { ref, ticket, type } = targetOf(request.url ?? '')
  if (ref !== null && ticket !== null) return app.consoles.redeem(ticket, { ref, type }, addressOf(request))
  const caller = await authenticate(app, headersOf(request), addressOf(request))
  if (caller === null) throw unauthenticated()
  if (ref === null) throw new OperationalError('NOT_FOUND', 'There is no WebSocket at this path.')
  throw new OperationalError('TICKET_INVALID', 'A console opens with a ticket: POST to this path for one, and connect to the url it names.')
}

/** The path was matched by nobody yet: an upgrade does not pass the router. */
function targetOf(target: string): { readonly ref: string | null; readonly ticket: string | null; readonly type: string } {
  const [path = '', query = ''] = target.split('?', 2)
  const parameters = new URLSearchParams(query)
  const ref = /^\/api\/v1\/vms\/([^/?#]+)\/console$/.exec(path)?.[1] ?? null
  return { ref: ref === null ? null : decoded(ref), ticket: parameters.get('ticket'), type: parameters.get('type') ?? 'serial' }
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}

/**
 * One viewer. The way to the guest is opened after the handshake, for a browser hears nothing of why a handshake was refused, but reads the reason
 * of a close.
 */
class ConsoleConnection {
  readonly #websocket: WebSocket
  readonly #seat: ConsoleSeat
  readonly #clock: Clock
  readonly #log: Log
  readonly #gone = new AbortController()
  readonly #openedMs: number
  #heardMs: number
  #answered = true
  #closing = false

  constructor(websocket: WebSocket, seat: ConsoleSeat, { clock, log, stopping }: Dependencies) {
    this.#websocket = websocket
    this.#seat = seat
    this.#clock = clock
    this.#log = log
    this.#openedMs = this.#heardMs = clock.monotonicMs()
    const cancels = [clock.every(pingMs, () => this.#ping()), clock.every(recheckMs, () => this.#recheck())]
    const onStopping = () => this.#close(codes.going, 'the node is stopping')
    stopping.addEventListener('abort', onStopping)
    websocket.on('pong', () => {
      this.#answered = true
    })
    websocket.on('close', () => {
      for (const cancel of cancels) cancel()
      stopping.removeEventListener('abort', onStopping)
      this.#gone.abort()
    })
    websocket.on('error', (error) => log.debug('console connection failed', { error: error.message }))
    // What is typed before the guest is reached waits.
    websocket.pause()
    this.#carry().catch((error: unknown) => this.#close(codes.failed, String(error)))
  }

  async #carry(): Promise<void> {
    const stream = await this.#open()
    if (stream === null) return
    const abandon = () => stream.abort()
    this.#gone.signal.addEventListener('abort', abandon)
    if (this.#gone.signal.aborted) return abandon()
    this.#carryInput(stream)
    this.#websocket.resume()
    try {
      await this.#carryOutput(stream)
      this.#close(codes.ended, 'the console ended')
    } catch (error) {
      this.#close(codes.failed, error instanceof OperationalError ? reasonOf(error) : 'the console broke off')
    }
  }

  async #open(): Promise<ByteStream | null> {
    const late = new AbortController()
    const cancel = this.#clock.after(openTimeoutMs, () => late.abort(new OperationalError('PEER_UNREACHABLE', 'The node where the VM is does not answer.')))
    try {
      return await this.#seat.open(AbortSignal.any([this.#gone.signal, late.signal]))
    } catch (error) {
      if (!this.#gone.signal.aborted && !(error instanceof OperationalError)) this.#log.error('console did not open', { error: String(error) })
      this.#websocket.resume()
      this.#close(codes.refused, error instanceof OperationalError ? reasonOf(error) : 'the console did not open')
      return null
    } finally {
      cancel()
    }
  }

  #carryInput(stream: ByteStream): void {
    let waiting = 0
    let last = Promise.resolve()
    this.#websocket.on('message', (data: RawData, isBinary: boolean) => {
      if (!isBinary) return this.#close(codes.unsupported, 'binary frames only')
      this.#heardMs = this.#clock.monotonicMs()
      const chunk = Array.isArray(data) ? Buffer.concat(data) : new Uint8Array(data as Buffer)
      if (++waiting >= waitingFramesMax) this.#websocket.pause()
      last = last.then(() => stream.write(chunk)).then(
        () => {
          if (--waiting < waitingFramesMax) this.#websocket.resume()
        },
        () => this.#close(codes.failed, 'the console broke off'),
      )
    })
  }

  async #carryOutput(stream: ByteStream): Promise<void> {
    for await (const chunk of stream.readable) {
      await new Promise<void>((resolve, reject) => this.#websocket.send(chunk, { binary: true }, (error) => {
        if (error) reject(error)
        else resolve()
      }))
    }
  }

  #ping(): void {
    if (!this.#answered) return this.#websocket.terminate()
    this.#answered = false
    this.#websocket.ping()
  }

  #recheck(): void {
    const nowMs = this.#clock.monotonicMs()
    if (!this.#seat.holds()) this.#close(codes.revoked, 'signed out, or the role was withdrawn')
    else if (nowMs - this.#heardMs > idleMsMax) this.#close(codes.idle, 'nothing was typed for an hour')
    else if (nowMs - this.#openedMs > openMsMax) this.#close(codes.overlong, 'it was open for twelve hours')
  }

  #close(code: number, reason: string): void {
    if (this.#closing) return
    this.#closing = true
    this.#websocket.close(code, Buffer.from(reason).subarray(0, reasonBytesMax).toString().replace(/\ufffd$/, ''))
    // The guest is let go at once; a viewer that does not answer the close is dropped.
    this.#gone.abort()
    this.#websocket.resume()
    this.#clock.after(closeTimeoutMs, () => this.#websocket.terminate())
  }
}

/** `CODE: sentence`, which pages and the command line read. */
function reasonOf(error: OperationalError): string {
  return `${error.code}: ${error.message}`
}
