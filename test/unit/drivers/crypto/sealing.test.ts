// Holds src/drivers/crypto/sealing.ts to its word.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createIdentity } from '../../../../src/drivers/crypto/identity.ts'
import { systemRandom } from '../../../../src/drivers/crypto/random.ts'
import { open, seal, unwrapKey, wrapKey } from '../../../../src/drivers/crypto/sealing.ts'

const unreadable = expect.objectContaining({ code: 'SECRET_UNREADABLE' })
const nodeId = '01890a5d-ac96-774b-bcce-b302099a8057'

function flip(text: string, bit: number): string {
  const bytes = Buffer.from(text, 'base64url')
  const at = bit % (bytes.length * 8)
  bytes[at >> 3]! ^= 1 << (at & 7)
  return bytes.toString('base64url')
}

describe('seal', () => {
  test('opens to what was sealed, and not once any bit is changed', () => {
    const key = systemRandom.bytes(32)
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), fc.string(), fc.nat(), (plaintext, aad, bit) => {
      const sealed = seal(key, plaintext, aad)
      expect(sealed).toMatch(/^[A-Za-z0-9_-]+$/)
      expect(open(key, sealed, aad)).toEqual(plaintext)
      expect(() => open(key, flip(sealed, bit), aad)).toThrow(unreadable)
    }), { numRuns: 100 })
  })
  test('another key, another name or a cut text does not open', () => {
    const key = systemRandom.bytes(32)
    const sealed = seal(key, Buffer.from('secret'), 'cluster.caKey')
    expect(() => open(systemRandom.bytes(32), sealed, 'cluster.caKey')).toThrow(unreadable)
    expect(() => open(key, sealed, 'cluster.sessionKey')).toThrow(unreadable)
    for (const length of [0, 1, 10, sealed.length - 2]) expect(() => open(key, sealed.slice(0, length), 'cluster.caKey')).toThrow(unreadable)
  })
  test('never says the same twice', () => {
    const key = systemRandom.bytes(32)
    expect(seal(key, Buffer.from('x'), '')).not.toBe(seal(key, Buffer.from('x'), ''))
  })
})

describe('wrapKey', () => {
  test('only the recipient unwraps, and only unaltered', () => {
    const [recipient, other] = [createIdentity(nodeId), createIdentity(nodeId)]
    const key = systemRandom.bytes(32)
    const wrapped = wrapKey(recipient.x25519Public, key)
    expect(unwrapKey(recipient.x25519Private, wrapped)).toEqual(key)
    expect(() => unwrapKey(other.x25519Private, wrapped)).toThrow(unreadable)
    expect(() => unwrapKey(recipient.x25519Private, wrapped.slice(0, 20))).toThrow(unreadable)
    // The top bit of an X25519 point is ignored by the curve (RFC 7748 §5); binding the bytes into the key still catches it.
    for (let bit = 0; bit < Buffer.from(wrapped, 'base64url').length * 8; bit += 3) expect(() => unwrapKey(recipient.x25519Private, flip(wrapped, bit))).toThrow(unreadable)
    expect(() => unwrapKey(recipient.x25519Private, flip(wrapped, 255))).toThrow(unreadable)
  })
  test('a point of low order is refused', () => {
    expect(() => wrapKey(new Uint8Array(32), systemRandom.bytes(32))).toThrow(unreadable)
  })
})
