// The certificate by which members know this node is made once and kept.
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { X509Certificate } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { createIdentity } from '../../../src/drivers/crypto/identity.ts'
import { identityCertificateOf } from '../../../src/identity-certificate-file.ts'

const dataDir = mkdtempSync(join(tmpdir(), 'nc-'))
afterAll(() => rmSync(dataDir, { recursive: true }))
const path = join(dataDir, 'identity.crt')
const identity = createIdentity('019a0000-0000-7000-8000-000000000001')
const nowMs = Date.UTC(2026, 0, 1)

test('it is kept, and its key is the identity\'s', async () => {
  const made = await identityCertificateOf(dataDir, identity, nowMs)
  expect(readFileSync(path, 'utf8')).toBe(made.certificatePem)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  const again = await identityCertificateOf(dataDir, identity, nowMs + 1)
  expect(again).toEqual(made)
  expect(new X509Certificate(again.certificatePem).subject).toBe(`CN=${identity.nodeId}`)
})

test('one of another key, or none at all, is made anew', async () => {
  const other = createIdentity(identity.nodeId)
  const first = readFileSync(path, 'utf8')
  const made = await identityCertificateOf(dataDir, other, nowMs)
  expect(made.certificatePem).not.toBe(first)
  writeFileSync(path, 'no certificate')
  expect((await identityCertificateOf(dataDir, other, nowMs)).certificatePem).toMatch(/^-----BEGIN CERTIFICATE/)
})
