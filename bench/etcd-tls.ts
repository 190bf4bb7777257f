// A CA and a certificate for loopback, for both sides of every connection of etcd's.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createAuthority, issueCertificate } from '../src/drivers/crypto/authority.ts'
import { createTlsKey } from '../src/drivers/crypto/certificate.ts'

/** Files under `directory`; `ca` is the authority's certificate for clients. */
export async function makeTls(directory: string): Promise<{ readonly certFile: string; readonly keyFile: string; readonly caFile: string; readonly ca: string; readonly peers: true }> {
  const authority = await createAuthority({ clusterName: 'bench', nowMs: Date.now() })
  const key = await createTlsKey()
  const certificate = await issueCertificate({
    caCertificatePem: authority.certificatePem, caKeyPem: authority.keyPem, key: { kind: 'publicKey', pem: key.publicKeyPem }, commonName: 'bench', names: ['localhost'], addresses: ['127.0.0.1'], days: 1, nowMs: Date.now(),
  })
  const [certFile, keyFile, caFile] = [join(directory, 'etcd.crt'), join(directory, 'etcd.key'), join(directory, 'ca.crt')]
  await Promise.all([writeFile(certFile, certificate), writeFile(keyFile, key.keyPem, { mode: 0o600 }), writeFile(caFile, authority.certificatePem)])
  return { certFile, keyFile, caFile, ca: await readFile(caFile, 'utf8'), peers: true }
}
