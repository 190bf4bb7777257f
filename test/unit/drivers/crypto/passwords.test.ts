// Holds src/drivers/crypto/passwords.ts to its word.
import { expect, test } from 'vitest'
import { createPasswordHasher } from '../../../../src/drivers/crypto/passwords.ts'

const hasher = createPasswordHasher()

test('a password verifies against its own hash only', async () => {
  const phc = await hasher.hash('correct horse battery')
  expect(phc).toMatch(/^\$argon2id\$v=19\$m=32768,t=3,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
  expect(await hasher.verify('correct horse battery', phc)).toBe(true)
  expect(await hasher.verify('correct horse batterY', phc)).toBe(false)
  expect(await hasher.verify('', phc)).toBe(false)
  expect(await hasher.hash('correct horse battery')).not.toBe(phc)
})

test('both Unicode forms of a password are the same', async () => {
  expect(await hasher.verify('cafe\u0301 au lait', await hasher.hash('caf\u00e9 au lait'))).toBe(true)
})

test('a hash that the reference argon2 tool made verifies', async () => {
  // The C implementation's test vector: argon2id, v 19, t=2, m=65536, p=1.
  expect(await hasher.verify('password', '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc')).toBe(true)
})

test('nobody, damaged hashes and ones that ask for too much take their time and are false', async () => {
  const started = performance.now()
  expect(await hasher.verify('x', null)).toBe(false)
  expect(performance.now() - started).toBeGreaterThan(10)
  for (const phc of ['', 'x', '$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc', '$argon2id$v=19$m=1,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc']) {
    expect(await hasher.verify('password', phc)).toBe(false)
  }
})

test('a flood is refused beyond a bound, and all that were let in end', async () => {
  const flooded = createPasswordHasher()
  const outcomes = await Promise.allSettled(Array.from({ length: 40 }, () => flooded.verify('x', null)))
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
  expect(refused.length).toBe(40 - 2 - 32)
  expect(refused[0]).toMatchObject({ reason: { code: 'OVERLOADED', data: { retryAfterSeconds: 2 } } })
  expect(await flooded.verify('x', null)).toBe(false)
})
