// The HTTPS server of a node: one port for pages, API, metrics and consoles.
import { createServer, type Server } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { getRequestListener } from '@hono/node-server'
import type { Hono } from 'hono'
import type { App, Control } from '../app/face.ts'
import { OperationalError } from '../model/error.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Assets } from './assets.ts'
import { createConsoles } from './console.ts'
import type { HttpEnv, UiOptions } from './context.ts'
import { createEventSockets } from './event-socket.ts'
import { createMetrics } from './metrics.ts'
import { waitSecondsMax } from './preconditions.ts'
import { problemHeaders, problemOf, problemResponse, problemType } from './problem.ts'
import { createRouter, type RouterDependencies } from './router.ts'
import { secure, securityHeaders } from './security.ts'

export type Tls = { readonly certPem: string; readonly keyPem: string }
export type HttpOptions = {
  /** Null while the node is in no cluster. */
  readonly app: App | null
  readonly control: Control
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  readonly tls: Tls
  readonly clock: Clock
  readonly log: Log
  readonly version: string
  readonly assets: Assets | null
  /** The pages: `uiRoutes` of http/ui. */
  readonly pages: ((app: App, options: UiOptions) => Hono<HttpEnv>) | null
}
export type Http = {
  readonly port: number
  /** The node became a member, or ceased to be one. */
  setApp(app: App | null): void
  /** New connections get the new certificate; the others go on. */
  setTls(tls: Tls): void
  stop(): Promise<void>
}

const headerBytesMax = 16 * 1024
const connectionsMax = 2048
/** A client may take so long to send the headers of a request, or to make the TLS handshake. */
const headersTimeoutMs = 10_000
const keepAliveMs = 30_000
/** Without a byte in either direction: longer than any wait that a request may ask for. Live streams send something every 15 s. */
const idleMs = (waitSecondsMax + 60) * 1000
const stopGraceMs = 2_000
/** Connections of a membership that is over end so soon. */
const farewellMs = 300

/** @throws the system's error where the port cannot be listened on */
export async function startHttp(options: HttpOptions): Promise<Http> {
  const { clock, log, version, assets, pages, control } = options
  const stopping = new AbortController()
  const metrics = createMetrics({ clock, version })
  const dependencies: RouterDependencies = { clock, log, version, assets, metrics, pages, stopping: stopping.signal, halted: () => control.status().halted, appliance: applianceOf(control) }
  let app = options.app
  let router = createRouter(app, dependencies)
  const listener = getRequestListener((request, env) => router.fetch(request, env), { errorHandler: (error) => answerUnreadable(error, log) })
  const server = createServer({
    cert: options.tls.certPem, key: options.tls.keyPem, minVersion: 'TLSv1.2', ALPNProtocols: ['http/1.1'], handshakeTimeout: headersTimeoutMs,
    maxHeaderSize: headerBytesMax, headersTimeout: headersTimeoutMs, keepAliveTimeout: keepAliveMs,
    // How often slow ones are looked for; Node's default is 30 s.
    connectionsCheckingInterval: headersTimeoutMs / 2,
    // Bodies have time-outs of their own: an image may take hours, JSON may not.
    requestTimeout: 0,
    shouldUpgradeCallback: (request) => request.headers.upgrade?.toLowerCase() === 'websocket',
  })
  server.maxConnections = connectionsMax
  server.timeout = idleMs
  const onRequest = (incoming: IncomingMessage, outgoing: ServerResponse) => void listener(incoming, outgoing)
  server.on('request', onRequest)
  // Without a listener Node would invite every body, also one that will be refused.
  server.on('checkContinue', onRequest)
  const consoles = createConsoles({ app: () => app, clock, log, stopping: stopping.signal })
  const eventSockets = createEventSockets({ app: () => app, clock, log, stopping: stopping.signal })
  server.on('upgrade', (request, socket, head) => (eventSockets.takes(request) ? eventSockets : consoles).upgrade(request, socket, head))
  server.on('clientError', answerClientError)
  const sockets = trackSockets(server)
  await listen(server, options.host, options.port)
  return {
    port: (server.address() as AddressInfo).port,
    setApp(next) {
      const former = app
      app = next
      router = createRouter(app, dependencies)
      if (former === null || former === next) return
      // Whoever looks at a page of the former cluster shall not go on believing it; what is being answered has a moment to get out.
      const before = [...sockets]
      clock.after(farewellMs, () => {
        for (const socket of before) socket.destroy()
      })
    },
    setTls: (tls) => server.setSecureContext({ cert: tls.certPem, key: tls.keyPem, minVersion: 'TLSv1.2' }),
    async stop() {
      stopping.abort()
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeIdleConnections()
      const cancel = clock.after(stopGraceMs, () => {
        for (const socket of sockets) socket.destroy()
      })
      await closed
      cancel()
    },
  }
}

/** Whether it may be invited does not change while it runs. */
function applianceOf(control: Control): RouterDependencies['appliance'] {
  return { status: () => control.status(), join: control.status().discovery ? (body) => control.join(body) : null }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

/** Upgraded connections leave the server's own count. */
function trackSockets(server: Server): ReadonlySet<Socket> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  return sockets
}

/** A request that the adapter could not turn into one: its URL or Host is no such thing. */
function answerUnreadable(error: unknown, log: Log): Response {
  const malformed = error instanceof Error && error.name === 'RequestError'
  if (!malformed) log.error('http request failed', { error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  const response = problemResponse(malformed ? new OperationalError('MALFORMED', 'The request target or Host header cannot be read.') : error)
  secure(response.headers)
  return response
}

/** What never became a request is answered on the bare connection. */
function answerClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const fault =
    error.code === 'HPE_HEADER_OVERFLOW' ? new OperationalError('HEADERS_TOO_LARGE', `The headers may have at most ${headerBytesMax} bytes.`)
    : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? new OperationalError('REQUEST_TIMEOUT', 'The request did not arrive in time.')
    : new OperationalError('MALFORMED', 'This is no HTTP request.')
  const problem = problemOf(fault)
  const body = JSON.stringify(problem)
  const headers = { ...securityHeaders, ...problemHeaders(fault), 'Content-Type': problemType, 'Content-Length': String(Buffer.byteLength(body)), Connection: 'close' }
  socket.end(`HTTP/1.1 ${problem.status} ${problem.code}\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`)
}
