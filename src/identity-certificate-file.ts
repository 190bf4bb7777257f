// The certificate of the node's own key, by which members know each other: made once, for it never ends.
import { X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { exportIdentityKey, type NodeIdentity } from './drivers/crypto/identity.ts'
import type { CertificateAndKey } from './drivers/crypto/certificate.ts'
import { readOrNull, writePrivateFile } from './membership-file.ts'
import type { Log } from './ports/log.ts'

const fileName = 'identity.crt'

/** One that is missing, unreadable or of another key is made anew, and need not be kept: nothing depends on its bytes. */
export async function identityCertificateOf({ dataDir, identity }: { readonly dataDir: string; readonly identity: NodeIdentity }, nowMs: number, log: Log): Promise<CertificateAndKey> {
  const path = join(dataDir, fileName)
  const kept = await readOrNull(path).catch((error: unknown) => {
    log.warn('the certificate of the node\'s key cannot be read; it is made anew', { error: String(error) })
    return null
  })
  if (kept !== null && isOf(identity, kept)) return { certificatePem: kept, keyPem: exportIdentityKey(identity) }
  const { identityCertificate } = await import('./drivers/crypto/authority.ts')
  const made = await identityCertificate(identity.ed25519Seed, { nodeId: identity.nodeId, nowMs })
  await writePrivateFile(path, made.certificatePem).catch((error: unknown) => log.warn('the certificate of the node\'s key could not be kept; it is made anew at the next start', { error: String(error) }))
  return made
}

function isOf(identity: NodeIdentity, certificatePem: string): boolean {
  try {
    const { publicKey, subject } = new X509Certificate(certificatePem)
    return publicKey.export({ format: 'jwk' }).x === Buffer.from(identity.ed25519Public).toString('base64url') && subject === `CN=${identity.nodeId}`
  } catch {
    return false
  }
}
