// Asks a member for admission over HTTPS, trusting nothing but the CA whose fingerprint the join token carries.
import { X509Certificate } from 'node:crypto'
import { request as httpsRequest } from 'node:https'
import { isIP } from 'node:net'
import { connect, type DetailedPeerCertificate } from 'node:tls'
import { isErrorCode, OperationalError } from '../model/error.ts'
import { joinAnswerSchema, type JoinAnswer, type JoinRequest } from '../model/join.ts'

const connectTimeoutMs = 5_000
const answerTimeoutMs = 20_000
const answerBytesMax = 1024 * 1024
const chainMax = 10

/**
 * Tries the addresses in turn until one answers.
 * @throws TOKEN_OTHER_CLUSTER where who answers has another CA; PEER_UNREACHABLE where nobody does; else what the member answered
 */
export async function askToJoin(options: { readonly token: string; readonly fingerprint: string; readonly addresses: readonly string[]; readonly request: JoinRequest }): Promise<JoinAnswer> {
  let unreachable: unknown
  for (const address of options.addresses) {
    try {
      const { host, port } = splitAddress(address)
      const ca = await trustedAuthority({ host, port, fingerprint: options.fingerprint })
      return await post({ host, port, ca, token: options.token, body: JSON.stringify(options.request) })
    } catch (error) {
      if (error instanceof OperationalError && error.code !== 'PEER_UNREACHABLE' && error.code !== 'NO_QUORUM') throw error
      unreachable = error
    }
  }
  if (unreachable instanceof OperationalError) throw unreachable
  throw new OperationalError('PEER_UNREACHABLE', `None of the cluster's nodes answers: ${options.addresses.join(', ')}.`, { cause: unreachable })
}

function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(':')
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(address.slice(colon + 1)) }
}

/** The CA certificate that the server sends, once it is the one the token means. */
function trustedAuthority(options: { readonly host: string; readonly port: number; readonly fingerprint: string }): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const { host, port } = options
  // Nothing is sent here; the certificate is looked at, and the real request then trusts this CA alone.
  const socket = connect({ host, port, rejectUnauthorized: false, ...(isIP(host) === 0 ? { servername: host } : {}) }, () => {
    const found = chainOf(socket.getPeerCertificate(true)).find((certificate) => certificate.fingerprint256.replaceAll(':', '').toLowerCase() === options.fingerprint)
    socket.destroy()
    if (found !== undefined) resolve(found.toString())
    else reject(new OperationalError('TOKEN_OTHER_CLUSTER', `${host}:${port} belongs to another cluster than the join token: its authority is another one.`))
  })
  socket.setTimeout(connectTimeoutMs, () => socket.destroy(new Error('timed out')))
  socket.on('error', (error) => reject(new OperationalError('PEER_UNREACHABLE', `${host}:${port} cannot be reached: ${error.message}.`, { cause: error })))
  return promise
}

function chainOf(leaf: DetailedPeerCertificate): readonly X509Certificate[] {
  const chain: X509Certificate[] = []
  let next: DetailedPeerCertificate | undefined = leaf
  while (next?.raw !== undefined && chain.length < chainMax) {
    chain.push(new X509Certificate(next.raw))
    next = next.issuerCertificate === next ? undefined : next.issuerCertificate
  }
  return chain
}

function post(options: { readonly host: string; readonly port: number; readonly ca: string; readonly token: string; readonly body: string }): Promise<JoinAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<JoinAnswer>()
  const { host, port, ca, token, body } = options
  const unreachable = (error: Error) => reject(new OperationalError('PEER_UNREACHABLE', `${host}:${port} did not answer: ${error.message}.`, { cause: error }))
  const request = httpsRequest(
    {
      host, port, ca, method: 'POST', path: '/api/v1/cluster/join', timeout: answerTimeoutMs,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    },
    (response) => {
      const chunks: Buffer[] = []
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes > answerBytesMax) request.destroy(new Error('the answer is too long'))
        else chunks.push(chunk)
      })
      response.on('error', unreachable)
      response.on('end', () => {
        try {
          resolve(parseAnswer(response.statusCode ?? 0, Buffer.concat(chunks).toString()))
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)))
        }
      })
    },
  )
  request.on('timeout', () => request.destroy(new Error('timed out')))
  request.on('error', unreachable)
  request.end(body)
  return promise
}

function parseAnswer(status: number, text: string): JoinAnswer {
  let answer: unknown
  try {
    answer = JSON.parse(text)
  } catch {
    throw new OperationalError('PEER_UNREACHABLE', `The node answered with status ${status} and no JSON.`)
  }
  if (status >= 200 && status < 300) return joinAnswerSchema.parse(answer)
  const { code, detail } = answer as { readonly code?: unknown; readonly detail?: unknown }
  const known = typeof code === 'string' && isErrorCode(code) ? code : 'PEER_UNREACHABLE'
  throw new OperationalError(known, typeof detail === 'string' ? detail : `The node answered with status ${status}.`)
}
