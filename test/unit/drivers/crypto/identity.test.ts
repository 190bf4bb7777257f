// Holds src/drivers/crypto/identity.ts to its word.
import { createPublicKey } from 'node:crypto'
import { expect, test } from 'vitest'
import { createIdentity, parseIdentity, privateKeyOf, serializeIdentity } from '../../../../src/drivers/crypto/identity.ts'

const nodeId = '01890a5d-ac96-774b-bcce-b302099a8057'

test('an identity survives its file', () => {
  const identity = createIdentity(nodeId)
  expect(parseIdentity(serializeIdentity(identity))).toEqual(identity)
  expect(createIdentity(nodeId).ed25519Seed).not.toEqual(identity.ed25519Seed)
})

test('public keys match RFC 8032 §7.1 test 1 and RFC 7748 §5.2', () => {
  const bytes = (hex: string) => Buffer.from(hex, 'hex')
  const publicHex = (curve: 'ed25519' | 'x25519', hex: string) =>
    Buffer.from(createPublicKey(privateKeyOf(curve, bytes(hex))).export({ format: 'jwk' }).x ?? '', 'base64url').toString('hex')
  expect(publicHex('ed25519', '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60')).toBe('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a')
  expect(publicHex('x25519', '09'.padEnd(64, '0'))).toBe('422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079')
})

test.each(['', '{', '{}', JSON.stringify({ version: 1, nodeId, ed25519Seed: 'AAAA', x25519Private: 'AAAA' }), JSON.stringify({ version: 2 })])('a damaged file is told (%#)', (text) => {
  expect(() => parseIdentity(text)).toThrow(expect.objectContaining({ code: 'SECRET_UNREADABLE' }))
})
