// Holds src/drivers/crypto/authority.ts to its word.
import 'reflect-metadata'
import { X509Certificate } from 'node:crypto'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { once } from 'node:events'
import { webcrypto } from 'node:crypto'
import { Pkcs10CertificateRequestGenerator } from '@peculiar/x509'
import { describe, expect, test } from 'vitest'
import { createAuthority, issueCertificate, selfSigned } from '../../../../src/drivers/crypto/authority.ts'
import { createTlsKey, fingerprint, validity } from '../../../../src/drivers/crypto/certificate.ts'

const nowMs = Date.now()
const day = 86_400_000
const issued = async (days = 365) => {
  const authority = await createAuthority({ clusterName: 'atlas', nowMs })
  const key = await createTlsKey()
  const certificatePem = await issueCertificate({
    caCertificatePem: authority.certificatePem, caKeyPem: authority.keyPem, key: { kind: 'publicKey', pem: key.publicKeyPem },
    commonName: 'n1', names: ['n1', 'localhost'], addresses: ['127.0.0.1', '10.1.2.3', 'fd00::1'], days, nowMs,
  })
  return { authority, key, certificatePem }
}

describe('authority', () => {
  test('is a CA for leaves only, by a P-256 key', async () => {
    const { authority } = await issued()
    const certificate = new X509Certificate(authority.certificatePem)
    expect(certificate.ca).toBe(true)
    expect(certificate.subject).toBe('CN=NovaCron CA of atlas')
    expect(certificate.checkIssued(certificate)).toBe(true)
    expect(certificate.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1')
  })
  test('issues leaves with names and addresses', async () => {
    const { authority, certificatePem, key } = await issued()
    const leaf = new X509Certificate(certificatePem)
    expect(leaf.ca).toBe(false)
    expect(leaf.verify(new X509Certificate(authority.certificatePem).publicKey)).toBe(true)
    expect(leaf.checkHost('n1')).toBe('n1')
    expect(leaf.checkHost('n2')).toBeUndefined()
    expect(leaf.checkIP('10.1.2.3')).toBe('10.1.2.3')
    expect(leaf.checkIP('fd00::1')).toBe('fd00::1')
    expect(leaf.checkIP('10.1.2.4')).toBeUndefined()
    expect(leaf.publicKey.export({ format: 'pem', type: 'spki' }).toString().trim()).toBe(key.publicKeyPem.trim())
  })
  test('a leaf never outlives the CA', async () => {
    const { authority, certificatePem } = await issued(100_000)
    expect(validity(certificatePem).untilMs).toBe(validity(authority.certificatePem).untilMs)
    const one = await issued(1)
    expect(validity(one.certificatePem).untilMs).toBe(Math.floor((nowMs + day) / 1000) * 1000)
  })
  test('takes a signed request, and refuses rubbish and bad addresses', async () => {
    const authority = await createAuthority({ clusterName: 'atlas', nowMs })
    const keys = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify'])
    const request = await Pkcs10CertificateRequestGenerator.create({ name: 'CN=evil', keys, signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' } }, webcrypto)
    const base = { caCertificatePem: authority.certificatePem, caKeyPem: authority.keyPem, commonName: 'n1', names: [], addresses: [], days: 1, nowMs }
    expect(new X509Certificate(await issueCertificate({ ...base, key: { kind: 'request', pem: request.toString('pem') } })).subject).toBe('CN=n1')
    await expect(issueCertificate({ ...base, key: { kind: 'request', pem: 'x' } })).rejects.toMatchObject({ code: 'INVALID' })
    await expect(issueCertificate({ ...base, key: { kind: 'publicKey', pem: 'x' } })).rejects.toMatchObject({ code: 'INVALID' })
    const key = await createTlsKey()
    await expect(issueCertificate({ ...base, addresses: ['999.1.1.1'], key: { kind: 'publicKey', pem: key.publicKeyPem } })).rejects.toMatchObject({ code: 'INVALID' })
  })
  test('both ends of a TLS connection accept issued certificates, and no self-signed one', async () => {
    const { authority, certificatePem, key } = await issued()
    const own = await selfSigned({ commonName: 'n9', names: ['n1'], addresses: [], days: 1, nowMs })
    const server = createServer({ cert: certificatePem, key: key.keyPem, ca: authority.certificatePem, requestCert: true, rejectUnauthorized: true })
    const authorized: boolean[] = []
    server.on('secureConnection', (socket: TLSSocket) => { authorized.push(socket.authorized); socket.end('hello') })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const ask = async (cert: string, clientKey: string) => {
      const socket = connect({ host: '127.0.0.1', port, servername: 'n1', ca: authority.certificatePem, cert, key: clientKey })
      let text = ''
      socket.on('data', (data) => { text += data.toString() })
      await once(socket, 'close').catch(() => undefined)
      return text
    }
    try {
      expect(await ask(certificatePem, key.keyPem)).toBe('hello')
      expect(await ask(own.certificatePem, own.keyPem)).toBe('')
      expect(authorized).toEqual([true])
    } finally {
      server.close()
    }
  })
  test('a fingerprint is that of the DER', async () => {
    const { certificatePem } = await issued()
    expect(fingerprint(certificatePem)).toBe(new X509Certificate(certificatePem).fingerprint256.replaceAll(':', '').toLowerCase())
  })
})
