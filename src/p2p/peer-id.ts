// The libp2p peer id of an Ed25519 key: how a node's key becomes the name other nodes dial and admit.
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { privateKeyFromRaw, publicKeyFromRaw } from '@libp2p/crypto/keys'

const keyBytes = 32
/** RFC 8410: PKCS#8 of an Ed25519 seed is this and then the seed. */
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex')

/** @param publicKey raw Ed25519 public key, 32 bytes */
export function peerIdOfPublicKey(publicKey: Uint8Array): string {
  if (publicKey.length !== keyBytes) throw new RangeError('an Ed25519 public key has 32 bytes')
  return publicKeyFromRaw(publicKey).toString()
}

/** @param seed raw Ed25519 private key (seed), 32 bytes */
export function peerIdOfPrivateKey(seed: Uint8Array): string {
  return peerIdOfPublicKey(publicKeyOf(seed))
}

/** libp2p's form of a key. It is given the public half, which it would otherwise compute in JavaScript, as slowly as all else in a start of the host. */
export function keyPairOf(seed: Uint8Array): ReturnType<typeof privateKeyFromRaw> {
  return privateKeyFromRaw(new Uint8Array([...seed, ...publicKeyOf(seed)]))
}

function publicKeyOf(seed: Uint8Array): Uint8Array {
  if (seed.length !== keyBytes) throw new RangeError('an Ed25519 seed has 32 bytes')
  const privateKey = createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: 'der', type: 'pkcs8' })
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  return new Uint8Array(spki.subarray(spki.length - keyBytes))
}
