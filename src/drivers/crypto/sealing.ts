// Secrets at rest: sealing by a key (AES-256-GCM), and wrapping of a key for a node (X25519, HKDF-SHA256, AES-256-GCM).
import { createCipheriv, createDecipheriv, createPublicKey, diffieHellman, hkdfSync } from 'node:crypto'
import { OperationalError } from '../../model/error.ts'
import type { Random } from '../../ports/clock.ts'
import { privateKeyOf } from './identity.ts'
import { systemRandom } from './random.ts'

const nonceBytes = 12
const tagBytes = 16
const keyBytes = 32
const wrapInfo = 'novacron wrap 1'

/**
 * Seals by AES-256-GCM (NIST SP 800-38D) under a random nonce.
 * @param key32 32 bytes; seal at most 2^32 times with one
 * @param aad what the secret is for ("cluster.caKey"); opening under another name fails
 * @returns base64url of nonce | ciphertext | tag
 */
export function seal(key32: Uint8Array, plaintext: Uint8Array, aad: string, random: Random = systemRandom): string {
  return Buffer.from(sealBytes(key32, plaintext, Buffer.from(aad), random)).toString('base64url')
}

/** @throws SECRET_UNREADABLE where key, name or text is another than at sealing */
export function open(key32: Uint8Array, sealed: string, aad: string): Uint8Array {
  return openBytes(key32, Buffer.from(sealed, 'base64url'), Buffer.from(aad))
}

/**
 * Wraps a key so that only the recipient can read it.
 * @param recipientX25519Public 32 raw bytes
 * @returns base64url of ephemeral public key | nonce | ciphertext | tag
 */
export function wrapKey(recipientX25519Public: Uint8Array, key32: Uint8Array, random: Random = systemRandom): string {
  const ephemeral = privateKeyOf('x25519', random.bytes(keyBytes))
  const ephemeralPublic = rawPublicOf(ephemeral)
  const wrapping = wrappingKey(ephemeral, recipientX25519Public, ephemeralPublic, recipientX25519Public)
  return Buffer.concat([ephemeralPublic, sealBytes(wrapping, key32, Buffer.from(wrapInfo), random)]).toString('base64url')
}

/**
 * @param x25519Private 32 raw bytes
 * @throws SECRET_UNREADABLE where it was wrapped for another, or altered
 */
export function unwrapKey(x25519Private: Uint8Array, wrapped: string): Uint8Array {
  const bytes = Buffer.from(wrapped, 'base64url')
  if (bytes.length < keyBytes + nonceBytes + tagBytes) throw unreadable()
  const own = privateKeyOf('x25519', x25519Private)
  const ephemeralPublic = bytes.subarray(0, keyBytes)
  return openBytes(wrappingKey(own, ephemeralPublic, ephemeralPublic, rawPublicOf(own)), bytes.subarray(keyBytes), Buffer.from(wrapInfo))
}

/** Both public keys are bound in, so that a wrapped key cannot be passed on as if wrapped for another. */
function wrappingKey(own: ReturnType<typeof privateKeyOf>, other: Uint8Array, ephemeralPublic: Uint8Array, recipientPublic: Uint8Array): Uint8Array {
  const otherKey = createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: Buffer.from(other).toString('base64url') }, format: 'jwk' })
  let secret: Uint8Array
  try {
    secret = diffieHellman({ privateKey: own, publicKey: otherKey })
  } catch (cause) {
    // OpenSSL refuses points of low order (RFC 7748 §6.1).
    throw unreadable(cause)
  }
  return new Uint8Array(hkdfSync('sha256', secret, Buffer.concat([ephemeralPublic, recipientPublic]), wrapInfo, keyBytes))
}

function sealBytes(key: Uint8Array, plaintext: Uint8Array, aad: Uint8Array, random: Random): Uint8Array {
  const nonce = random.bytes(nonceBytes)
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  cipher.setAAD(aad)
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

function openBytes(key: Uint8Array, bytes: Uint8Array, aad: Uint8Array): Uint8Array {
  if (bytes.length < nonceBytes + tagBytes) throw unreadable()
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, nonceBytes), { authTagLength: tagBytes })
  decipher.setAAD(aad)
  decipher.setAuthTag(bytes.subarray(bytes.length - tagBytes))
  try {
    return new Uint8Array(Buffer.concat([decipher.update(bytes.subarray(nonceBytes, bytes.length - tagBytes)), decipher.final()]))
  } catch (cause) {
    throw unreadable(cause)
  }
}

function rawPublicOf(key: ReturnType<typeof privateKeyOf>): Uint8Array {
  return Buffer.from(createPublicKey(key).export({ format: 'jwk' }).x ?? '', 'base64url')
}

function unreadable(cause?: unknown): OperationalError {
  return new OperationalError('SECRET_UNREADABLE', 'A secret cannot be opened: the key is another, or the text was altered.', { cause })
}
