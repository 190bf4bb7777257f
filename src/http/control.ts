// The control socket: HTTP over a unix socket that only root on this host can open; its file mode is the credential.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { chmod, unlink } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import type { Control } from '../app/face.ts'
import { OperationalError } from '../model/error.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import { answerBackup } from './api/cluster-backup.ts'
import { hasBody, parseJson, readBody } from './body.ts'
import { bundleHeaders, packBundle } from './support-bundle.ts'
import { problemHeaders, problemOf, problemType } from './problem.ts'

export type ControlServer = { stop(): Promise<void> }

/** sun_path of unix(7), without its closing zero. */
const pathBytesMax = 107
const headersTimeoutMs = 5_000

type Handler = (body: unknown) => unknown
const restorePath = '/restore'
const routesOf = (control: Control): Readonly<Record<string, Handler>> => ({
  'GET /status': () => control.status(),
  'GET /members': () => control.members(),
  'GET /doctor': () => control.doctor(),
  'POST /init': (body) => control.init(body),
  'POST /leave': () => control.leave(),
  'POST /reset-password': (body) => control.resetPassword(body),
  'POST /join': (body) => control.join(body),
  'POST /recover': (body) => control.recover(body),
})

/** @throws RangeError for a path that is too long; the system's error where it cannot be listened on */
export async function startControl(options: { readonly path: string; readonly control: Control; readonly clock: Clock; readonly log: Log }): Promise<ControlServer> {
  const { path, control, clock, log } = options
  if (Buffer.byteLength(path) > pathBytesMax) throw new RangeError(`the path of the control socket has more than ${pathBytesMax} bytes: ${path}`)
  const routes = routesOf(control)
  const server = createServer({ headersTimeout: headersTimeoutMs, requestTimeout: 0 }, (incoming, outgoing) => void serve({ incoming, outgoing, control, routes, clock, log }))
  // A daemon that was killed leaves its socket behind; the data directory's lock keeps a living one from losing it.
  await unlink(path).catch(() => undefined)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    const former = process.umask(0o177)
    try {
      // Binds within the call, so the socket never exists with a wider mode.
      server.listen(path, resolve)
    } finally {
      process.umask(former)
    }
  })
  await chmod(path, 0o600)
  return {
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
    },
  }
}

/** What is still sent is not wanted, but whoever sends a file has to be done before it reads the answer. */
async function dropRest(incoming: IncomingMessage): Promise<void> {
  if (incoming.complete || incoming.destroyed) return
  const { promise, resolve } = Promise.withResolvers<void>()
  incoming.once('end', resolve).once('close', resolve).resume()
  await promise
}

/** Beside a body that is a file. @throws MALFORMED */
function optionsOf(incoming: IncomingMessage): unknown {
  const text = incoming.headers['novacron-options']
  if (typeof text !== 'string') throw new OperationalError('MALFORMED', 'The options are missing.')
  return parseJson(Buffer.from(text, 'base64url'))
}

type Exchange = { readonly incoming: IncomingMessage; readonly outgoing: ServerResponse; readonly control: Control; readonly routes: Readonly<Record<string, Handler>>; readonly clock: Clock; readonly log: Log }

async function serve({ incoming, outgoing, control, routes, clock, log }: Exchange): Promise<void> {
  try {
    const key = `${incoming.method} ${incoming.url}`
    if (key === `POST ${restorePath}`) {
      respond(outgoing, 200, { 'Content-Type': 'application/json' }, await control.restore(optionsOf(incoming), incoming.iterator({ destroyOnReturn: false })))
      return
    }
    if (key === 'GET /support-bundle') {
      await sendBundle(control, outgoing)
      return
    }
    if (key === 'POST /backup') {
      await sendBackup(control, outgoing, hasBody(incoming) ? parseJson(await readBody(incoming, outgoing, clock)) : {})
      return
    }
    const handler = Object.hasOwn(routes, key) ? routes[key] : undefined
    if (handler === undefined) throw new OperationalError('NOT_FOUND', `The control socket does not know ${key}.`)
    const bytes = hasBody(incoming) ? await readBody(incoming, outgoing, clock) : new Uint8Array()
    respond(outgoing, 200, { 'Content-Type': 'application/json' }, (await handler(bytes.length === 0 ? {} : parseJson(bytes))) ?? null)
  } catch (error) {
    if (outgoing.headersSent) {
      log.warn('an answer on the control socket broke off', { error: String(error) })
      outgoing.destroy()
      return
    }
    if (!(error instanceof OperationalError)) log.error('control request failed', { error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    if (incoming.url === restorePath) await dropRest(incoming)
    const problem = problemOf(error)
    respond(outgoing, problem.status, { 'Content-Type': problemType, ...problemHeaders(error) }, problem)
  }
}

/** A file, piece by piece; what fails in its midst breaks it off. */
async function sendBundle(control: Control, outgoing: ServerResponse): Promise<void> {
  const { node, nowMs, lines } = control.supportBundle()
  outgoing.writeHead(200, bundleHeaders(node, nowMs))
  await pipeline(packBundle(lines), outgoing)
}

/** Read as fast as it is taken. */
async function sendBackup(control: Control, outgoing: ServerResponse, body: unknown): Promise<void> {
  const { status, headers, body: pieces } = answerBackup(await control.backup(body))
  outgoing.writeHead(status, Object.fromEntries(headers))
  await pipeline(pieces ?? [], outgoing)
}

function respond(outgoing: ServerResponse, status: number, headers: Readonly<Record<string, string>>, body: unknown): void {
  const text = JSON.stringify(body)
  outgoing.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(text) })
  outgoing.end(text)
}
