// Asks a member for admission over HTTPS, trusting nothing but the CA whose fingerprint the join token carries.
import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { connect, type DetailedPeerCertificate } from 'node:tls'
import { OperationalError } from '../model/error.ts'
import { joinAnswerSchema, type JoinAnswer, type JoinRequest } from '../model/join.ts'
import { askNode, splitAddress } from './node-https.ts'

const connectTimeoutMs = 5_000
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
      const answer = await askNode({
        address, trust: { kind: 'authority', pem: ca }, method: 'POST', path: '/api/v1/cluster/join', authorization: `Bearer ${options.token}`, body: options.request,
      })
      return joinAnswerSchema.parse(answer)
    } catch (error) {
      if (error instanceof OperationalError && error.code !== 'PEER_UNREACHABLE' && error.code !== 'NO_QUORUM') throw error
      unreachable = error
    }
  }
  if (unreachable instanceof OperationalError) throw unreachable
  throw new OperationalError('PEER_UNREACHABLE', `None of the cluster's nodes answers: ${options.addresses.join(', ')}.`, { cause: unreachable })
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
