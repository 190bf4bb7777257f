// A node's certificate is renewed by itself at two thirds of its life, and not before.
import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { CertificateRenewal, isDue } from '../../../src/certificate-renewal.ts'
import { nodeCertificateDays } from '../../../src/drivers/crypto/authority.ts'
import { createTlsKey } from '../../../src/drivers/crypto/certificate.ts'
import { createIdentity } from '../../../src/drivers/crypto/identity.ts'
import { createVault } from '../../../src/drivers/crypto/vault.ts'
import { createLog } from '../../../src/drivers/host/log.ts'
import type { MembershipRecord } from '../../../src/membership-file.ts'

const dayMs = 86_400_000
const startMs = Date.parse('2026-01-01T00:00:00Z')

async function certified() {
  const vault = createVault(createIdentity('01890a5d-ac96-774b-bcce-b302099a8057'))
  const authority = await vault.createAuthority({ clusterName: 'test', nowMs: startMs })
  const names = { commonName: 'n1', names: ['n1'], addresses: ['192.0.2.1'] }
  const key = await createTlsKey()
  const certificatePem = await vault.issueCertificate({ caCertificatePem: authority.certificatePem, caKeyPem: authority.keyPem, publicKeyPem: key.publicKeyPem, ...names, nowMs: startMs })
  const record: MembershipRecord = { format: 1, clusterId: 'c', clusterName: 'test', caCertificate: authority.certificatePem, certificatePem, tlsKeyPem: key.keyPem, members: [] }
  let nowMs = startMs
  const adopted: MembershipRecord[] = []
  const renewal = new CertificateRenewal(record, {
    clock: { nowMs: () => nowMs, monotonicMs: () => nowMs, after: () => () => {}, every: () => () => {} },
    log: createLog({ level: 'error' }), vault, names: () => names,
    keys: { authority: () => ({ certificatePem: authority.certificatePem, keyPem: authority.keyPem }) },
    adopt: (renewed) => {
      adopted.push(renewed)
      return Promise.resolve()
    },
  })
  return { renewal, adopted, record, authority, passDays: (days: number) => (nowMs += days * dayMs) }
}

test('nothing before two thirds of its life', async () => {
  const { renewal, adopted, record, passDays } = await certified()
  passDays((nodeCertificateDays * 2) / 3 - 1)
  await renewal.look()
  expect(adopted).toEqual([])
  expect(isDue(record.certificatePem, startMs)).toBe(false)
})

test('then a new certificate of the same authority, with a new key, once', async () => {
  const { renewal, adopted, record, authority, passDays } = await certified()
  passDays((nodeCertificateDays * 2) / 3 + 1)
  await renewal.look()
  await renewal.look()
  expect(adopted).toHaveLength(1)
  const renewed = new X509Certificate(adopted[0]?.certificatePem ?? '')
  expect(renewed.verify(new X509Certificate(authority.certificatePem).publicKey)).toBe(true)
  expect(renewed.subjectAltName).toContain('192.0.2.1')
  expect(adopted[0]?.tlsKeyPem).not.toBe(record.tlsKeyPem)
  expect(adopted[0]?.members).toEqual(record.members)
})
