// Peer ids of Ed25519 keys, against the first test vector of RFC 8032 §7.1 and libp2p's own derivation.
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { expect, test } from 'vitest'
import { multiaddrOf } from '../../../src/p2p/host.ts'
import { keyPairOf, peerIdOfPrivateKey, peerIdOfPublicKey } from '../../../src/p2p/peer-id.ts'

const seed = new Uint8Array(Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex'))
const publicKey = new Uint8Array(Buffer.from('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a', 'hex'))

test('both halves of a key give one peer id, the one that libp2p derives', async () => {
  const fromLibp2p = (await generateKeyPairFromSeed('Ed25519', seed)).publicKey.toString()
  expect(peerIdOfPrivateKey(seed)).toBe(fromLibp2p)
  expect(peerIdOfPublicKey(publicKey)).toBe(fromLibp2p)
})

test('libp2p gets the key that it would have made of the seed itself', async () => {
  const made = await generateKeyPairFromSeed('Ed25519', seed)
  expect(keyPairOf(seed)).toEqual(made)
  expect(keyPairOf(seed).publicKey.raw).toEqual(publicKey)
})

test('a key of another length is refused', () => {
  expect(() => peerIdOfPrivateKey(new Uint8Array(31))).toThrow(RangeError)
  expect(() => keyPairOf(new Uint8Array(64))).toThrow(RangeError)
  expect(() => peerIdOfPublicKey(new Uint8Array(64))).toThrow(RangeError)
})

test('addresses become multiaddrs by their family', () => {
  expect(multiaddrOf('10.1.2.3:7000')).toBe('/ip4/10.1.2.3/tcp/7000')
  expect(multiaddrOf('[fd00::1]:7000')).toBe('/ip6/fd00::1/tcp/7000')
  expect(multiaddrOf('node1.lan:7000')).toBe('/dns/node1.lan/tcp/7000')
})
