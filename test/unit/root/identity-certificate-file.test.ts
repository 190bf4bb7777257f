// The certificate by which members know this node is made once and kept.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { X509Certificate } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { createIdentity } from '../../../src/drivers/crypto/identity.ts'
import { identityCertificateOf } from '../../../src/identity-certificate-file.ts'
import { recordingLog, type LogLine } from '../http/harness.ts'

const dataDir = mkdtempSync(join(tmpdir(), 'nc-'))
afterAll(() => rmSync(dataDir, { recursive: true }))
const path = join(dataDir, 'identity.crt')
const identity = createIdentity('019a0000-0000-7000-8000-000000000001')
const lines: LogLine[] = []
const log = recordingLog(lines)
const nowMs = Date.UTC(2026, 0, 1)

test('it is kept, and its key is the identity\'s', async () => {
  const made = await identityCertificateOf({ dataDir, identity }, nowMs, log)
  expect(readFileSync(path, 'utf8')).toBe(made.certificatePem)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  const again = await identityCertificateOf({ dataDir, identity }, nowMs + 1, log)
  expect(again).toEqual(made)
  expect(new X509Certificate(again.certificatePem).subject).toBe(`CN=${identity.nodeId}`)
})

test('one of another key, or none at all, is made anew', async () => {
  const other = createIdentity(identity.nodeId)
  const first = readFileSync(path, 'utf8')
  const made = await identityCertificateOf({ dataDir, identity: other }, nowMs, log)
  expect(made.certificatePem).not.toBe(first)
  writeFileSync(path, 'no certificate')
  expect((await identityCertificateOf({ dataDir, identity: other }, nowMs, log)).certificatePem).toMatch(/^-----BEGIN CERTIFICATE/)
})

test('one that can be neither read nor written is made anew at each start, with a word: the node comes up all the same', async () => {
  const blocked = join(dataDir, 'blocked')
  // A folder in its place fails both for root, too.
  mkdirSync(join(blocked, 'identity.crt', 'x'), { recursive: true })
  lines.splice(0)
  const made = await identityCertificateOf({ dataDir: blocked, identity }, nowMs, log)
  expect(new X509Certificate(made.certificatePem).subject).toBe(`CN=${identity.nodeId}`)
  expect(lines.map(({ level, message }) => `${level}: ${message}`)).toEqual([
    'warn: the certificate of the node\'s key cannot be read; it is made anew', 'warn: the certificate of the node\'s key could not be kept; it is made anew at the next start',
  ])
  const full = join(dataDir, 'not-there')
  expect((await identityCertificateOf({ dataDir: full, identity }, nowMs, log)).certificatePem).toMatch(/^-----BEGIN CERTIFICATE/)
  expect(existsSync(full)).toBe(false)
})
