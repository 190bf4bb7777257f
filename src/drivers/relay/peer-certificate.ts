// Whether a certificate of the cluster's authority is that of one certain node.
import type { X509Certificate } from 'node:crypto'
import type { RelayPeer } from './messages.ts'

/** New certificates carry the node's id, which outlives a renaming. */
const nodeUri = /^URI:urn:novacron:node:(.+)$/

/** The chain was checked before. @returns null where it is the peer's, else why not */
export function peerFault(certificate: X509Certificate, peer: RelayPeer): string | null {
  const alternatives = certificate.subjectAltName ?? ''
  // Node quotes names that could be taken for several; an honest certificate has none.
  if (alternatives.includes('"')) return 'its certificate has names that cannot be told apart'
  const ids = alternatives.split(', ').flatMap((each) => nodeUri.exec(each)?.[1] ?? [])
  if (ids.length > 0) return ids.length === 1 && ids[0] === peer.nodeId ? null : `its certificate is of node ${ids.join(', ')}, not of ${peer.nodeId}`
  const names = certificate.subject.split('\n').flatMap((line) => (line.startsWith('CN=') ? [line.slice(3)] : []))
  return names.length === 1 && names[0] === peer.name ? null : `its certificate is of ${names.join(', ') || 'nobody'}, not of ${peer.name}`
}
