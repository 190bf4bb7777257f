// Holds src/drivers/crypto/sessions.ts to its word.
import { SignJWT } from 'jose'
import { expect, test } from 'vitest'
import { systemRandom } from '../../../../src/drivers/crypto/random.ts'
import { signSession, verifySession } from '../../../../src/drivers/crypto/sessions.ts'

const key = systemRandom.bytes(32)
const nowMs = 1_800_000_000_000
const claims = { sid: 's1', sub: 'u1', csrf: 'c1', issuedMs: nowMs, expiresMs: nowMs + 60_000 }

test('a session is what was signed, until it ends', async () => {
  const cookie = await signSession(key, claims)
  expect(await verifySession(key, cookie, nowMs)).toEqual(claims)
  expect(await verifySession(key, cookie, nowMs + 59_000)).toEqual(claims)
  expect(await verifySession(key, cookie, nowMs + 60_000)).toBeNull()
})

test('altered, foreign or unsigned ones are nothing', async () => {
  const cookie = await signSession(key, claims)
  const [head = '', body = '', signature = ''] = cookie.split('.')
  const forged = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(body, 'base64url').toString()), sub: 'admin' })).toString('base64url')
  const none = Buffer.from(JSON.stringify({ alg: 'none', typ: 'novacron-session+jwt' })).toString('base64url')
  for (const text of ['', 'x', 'a.b.c', `${head}.${forged}.${signature}`, `${none}.${body}.`, `${head}.${body}.`, 'x'.repeat(100_000)]) expect(await verifySession(key, text, nowMs)).toBeNull()
  expect(await verifySession(systemRandom.bytes(32), cookie, nowMs)).toBeNull()
})

test('a token signed by the same key for another purpose is no session', async () => {
  const other = await new SignJWT({ sid: 's1', csrf: 'c1' }).setProtectedHeader({ alg: 'HS256' }).setSubject('u1').setIssuedAt(nowMs / 1000).setExpirationTime(nowMs / 1000 + 60).sign(key)
  expect(await verifySession(key, other, nowMs)).toBeNull()
})
