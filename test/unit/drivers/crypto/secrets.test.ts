// Holds src/drivers/crypto/secrets.ts to its word.
import { expect, test } from 'vitest'
import {
  createApiTokenSecret, createReadablePassword, createSecret, encodeJoinToken, equalSecrets, parseJoinToken, sha256Hex,
} from '../../../../src/drivers/crypto/secrets.ts'
import { passwordSchema } from '../../../../src/model/user.ts'

test('API tokens and secrets hold 256 bits and never repeat', () => {
  expect(createApiTokenSecret()).toMatch(/^nct_[A-Za-z0-9_-]{43}$/)
  expect(createSecret()).toMatch(/^[A-Za-z0-9_-]{43}$/)
  expect(new Set(Array.from({ length: 100 }, () => createSecret())).size).toBe(100)
})

test('a join token holds what was put in', () => {
  const content = { c: 'cluster', t: 'token', s: createSecret(), f: 'ab', a: ['10.0.0.1:8443', '[::1]:8443'] }
  const text = encodeJoinToken(content)
  expect(text).toMatch(/^ncj_[A-Za-z0-9_-]+$/)
  expect(parseJoinToken(text)).toEqual(content)
})

test.each(['', 'ncj_', 'nct_abc', 'ncj_e30', 'ncj_!!!', `ncj_${'A'.repeat(9000)}`, encodeJoinToken({ c: '', t: '', s: '', f: '', a: [] })])('no join token (%#)', (text) => {
  expect(() => parseJoinToken(text)).toThrow(expect.objectContaining({ code: 'TOKEN_INVALID' }))
})

test('digests and comparison', () => {
  expect(sha256Hex('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  expect(equalSecrets('abc', 'abc')).toBe(true)
  expect(equalSecrets('abc', 'abd')).toBe(false)
  expect(equalSecrets('abc', 'ab')).toBe(false)
})

test('a readable password is long enough for our own rule', () => {
  const password = createReadablePassword()
  expect(password).toMatch(/^[a-km-np-z2-9]{4}(-[a-km-np-z2-9]{4}){4}$/)
  expect(passwordSchema.parse(password)).toBe(password)
  expect(createReadablePassword()).not.toBe(password)
})
