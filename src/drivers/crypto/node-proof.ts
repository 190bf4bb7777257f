// A node proves that it holds the Ed25519 key its peer id is made of: a signature that anybody can check who knows the peer id.
import { createPublicKey, sign, verify } from 'node:crypto'
import { privateKeyOf } from './identity.ts'

const alphabet = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
/** A peer id of an Ed25519 key is base58 of this and the 32 bytes of the key: identity multihash, protobuf {type: 1, data} (libp2p, peer-ids). */
const peerIdPrefix = Buffer.from('002408011220', 'hex')
const peerIdCharactersMax = 64
/** RFC 8410: SPKI of an Ed25519 key is this and then the key. */
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex')

/** base64url of 64 bytes. @param seed the node's Ed25519 seed, 32 bytes */
export function signAsNode(seed: Uint8Array, text: string): string {
  return sign(null, Buffer.from(text), privateKeyOf('ed25519', seed)).toString('base64url')
}

/** False also where peer id or signature are none. */
export function verifyNode(peerId: string, text: string, signature: string): boolean {
  const raw = publicKeyOf(peerId)
  const bytes = Buffer.from(signature, 'base64url')
  if (raw === null || bytes.length !== 64) return false
  return verify(null, Buffer.from(text), createPublicKey({ key: Buffer.concat([spkiPrefix, raw]), format: 'der', type: 'spki' }), bytes)
}

function publicKeyOf(peerId: string): Uint8Array | null {
  const bytes = decodeBase58(peerId)
  if (bytes === null || bytes.length !== peerIdPrefix.length + 32 || !bytes.subarray(0, peerIdPrefix.length).equals(peerIdPrefix)) return null
  return bytes.subarray(peerIdPrefix.length)
}

/** Base58 as Bitcoin has it: big-endian, each leading "1" is a zero byte. Null where the text is none, or too long for a peer id. */
function decodeBase58(text: string): Buffer | null {
  if (text.length > peerIdCharactersMax) return null
  let value = 0n
  for (const character of text) {
    const digit = alphabet.indexOf(character)
    if (digit === -1) return null
    value = value * 58n + BigInt(digit)
  }
  const hex = value === 0n ? '' : value.toString(16)
  const zeros = /^1*/.exec(text)![0].length
  return Buffer.concat([Buffer.alloc(zeros), Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')])
}
