// A node proves that it holds the key its peer id is made of; the peer id is libp2p's, made by another room.
import { expect, test } from 'vitest'
import { createIdentity } from '../../../../src/drivers/crypto/identity.ts'
import { signAsNode, verifyNode } from '../../../../src/drivers/crypto/node-proof.ts'
import { peerIdOfPrivateKey } from '../../../../src/p2p/peer-id.ts'

const identities = Array.from({ length: 20 }, () => createIdentity('01890a5d-ac96-774b-bcce-b302099a8057'))

test('whoever knows the peer id can check it', () => {
  for (const { ed25519Seed } of identities) {
    const peerId = peerIdOfPrivateKey(ed25519Seed)
    const signature = signAsNode(ed25519Seed, 'what is said')
    expect(signature).toHaveLength(86)
    expect(verifyNode(peerId, 'what is said', signature)).toBe(true)
    expect(verifyNode(peerId, 'what is not said', signature)).toBe(false)
  }
})

test.each([
  ['another node\'s', peerIdOfPrivateKey(identities[1]!.ed25519Seed), null],
  ['no peer id', 'peer-n1-000000', null],
  ['an empty one', '', null],
  ['one that is too long', `1${peerIdOfPrivateKey(identities[0]!.ed25519Seed)}${'1'.repeat(40)}`, null],
  ['an RSA one', 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N', null],
  ['no signature', peerIdOfPrivateKey(identities[0]!.ed25519Seed), ''],
  ['half a signature', peerIdOfPrivateKey(identities[0]!.ed25519Seed), 'AAAA'],
])('%s proves nothing', (_what, peerId, signature) => {
  expect(verifyNode(peerId, 'text', signature ?? signAsNode(identities[0]!.ed25519Seed, 'text'))).toBe(false)
})
