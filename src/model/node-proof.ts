// What a node signs with its own key, as text: so that a signature for one purpose says nothing for another.
import type { JoinRequest } from './join.ts'

/** Of a joiner: everything it asks for, under this very token. */
export function joinProofText(tokenId: string, request: Omit<JoinRequest, 'proof'>): string {
  const { node, announcement, tlsPublicKeyPem, names, addresses, bring } = request
  return JSON.stringify(['novacron/join', tokenId, node.id, node.name, node.peerId, node.wrapKey, announcement.peerAddress, announcement.httpAddress, tlsPublicKeyPem, names, addresses, bring ?? null])
}

/** Of a node that asks whether it is still a member. */
export function standingProofText(clusterId: string, nodeId: string): string {
  return JSON.stringify(['novacron/standing', clusterId, nodeId])
}
