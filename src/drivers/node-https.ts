// One HTTPS request to another node, trusting nothing but an authority, or a single certificate, that is known beforehand.
import { X509Certificate } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import { isIP } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import { isErrorCode, OperationalError } from '../model/error.ts'

const connectTimeoutMs = 5_000
const answerTimeoutMs = 20_000
const answerBytesMax = 1024 * 1024

/** `authority`: PEM of the only CA. `fingerprint`: SHA-256 of the very certificate, lower-case hex: nothing is sent to anybody else. */
export type Trust = { readonly kind: 'authority'; readonly pem: string } | { readonly kind: 'fingerprint'; readonly sha256: string }
export type NodeRequest = {
  /** host:port, IPv6 in brackets. */
  readonly address: string
  readonly trust: Trust
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly authorization: string
  readonly body?: unknown
  readonly timeoutMs?: number
}

/**
 * Resolves with the parsed answer of a 2xx.
 * @throws PEER_UNREACHABLE where nobody answers or who answers is not trusted; else the code that the node answered
 */
export async function askNode(request: NodeRequest): Promise<unknown> {
  const socket = await connectTo(request)
  const { promise, resolve, reject } = Promise.withResolvers<unknown>()
  const failed = (error: Error) => reject(new OperationalError('PEER_UNREACHABLE', `${request.address} did not answer: ${error.message}.`, { cause: error }))
  const text = request.body === undefined ? undefined : JSON.stringify(request.body)
  const headers = {
    host: request.address, authorization: request.authorization, connection: 'close',
    ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
  }
  const outgoing = httpRequest({ createConnection: () => socket, method: request.method, path: request.path, timeout: request.timeoutMs ?? answerTimeoutMs, headers }, (response) => {
    const chunks: Buffer[] = []
    let bytes = 0
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > answerBytesMax) outgoing.destroy(new Error('the answer is too long'))
      else chunks.push(chunk)
    })
    response.on('error', failed)
    response.on('end', () => {
      try {
        resolve(parseAnswer(response.statusCode ?? 0, Buffer.concat(chunks).toString()))
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)))
      }
    })
  })
  outgoing.on('timeout', () => outgoing.destroy(new Error('timed out')))
  outgoing.on('error', failed)
  outgoing.end(text)
  try {
    return await promise
  } finally {
    socket.destroy()
  }
}

/** A TLS connection to the one that is meant. @throws PEER_UNREACHABLE */
function connectTo({ address, trust }: NodeRequest): Promise<TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>()
  const { host, port } = splitAddress(address)
  const fail = (reason: string, cause?: unknown) => {
    socket.destroy()
    reject(new OperationalError('PEER_UNREACHABLE', `${address} cannot be reached: ${reason}.`, { cause }))
  }
  const socket = connect({
    host, port, ...(isIP(host) === 0 ? { servername: host } : {}), minVersion: 'TLSv1.2',
    ...(trust.kind === 'authority' ? { ca: trust.pem } : { rejectUnauthorized: false }),
  }, () => {
    const raw = socket.getPeerCertificate().raw
    if (trust.kind === 'fingerprint' && fingerprintOf(raw) !== trust.sha256) return fail('its certificate is another one than expected')
    socket.setTimeout(0)
    resolve(socket)
  })
  socket.setTimeout(connectTimeoutMs, () => fail('it does not answer in time'))
  socket.on('error', (error) => fail(error.message, error))
  return promise
}

function fingerprintOf(raw: Buffer | undefined): string {
  return raw === undefined ? '' : new X509Certificate(raw).fingerprint256.replaceAll(':', '').toLowerCase()
}

export function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(':')
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(address.slice(colon + 1)) }
}

function parseAnswer(status: number, text: string): unknown {
  let answer: unknown
  try {
    answer = text === '' ? null : JSON.parse(text)
  } catch {
    throw new OperationalError('PEER_UNREACHABLE', `The node answered with status ${status} and no JSON.`)
  }
  if (status >= 200 && status < 300) return answer
  const { code, detail } = (answer ?? {}) as { readonly code?: unknown; readonly detail?: unknown }
  const known = typeof code === 'string' && isErrorCode(code) ? code : 'PEER_UNREACHABLE'
  throw new OperationalError(known, typeof detail === 'string' ? detail : `The node answered with status ${status}.`)
}
