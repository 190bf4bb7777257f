// The vault of one node: the crypto drivers behind the Vault port.
import type { Vault } from '../../ports/vault.ts'
import { fingerprint } from './certificate.ts'
import type { NodeIdentity } from './identity.ts'
import { signAsNode, verifyNode } from './node-proof.ts'
import { createPasswordHasher } from './passwords.ts'
import { passphraseKey, passphraseParameters } from './passphrase.ts'
import { open, seal, unwrapKey, wrapKey } from './sealing.ts'
import { createApiTokenSecret, createReadablePassword, createSecret, encodeJoinToken, equalSecrets, parseJoinToken, sha256Hex } from './secrets.ts'
import { signSession, verifySession } from './sessions.ts'

export function createVault(identity: Pick<NodeIdentity, 'x25519Private' | 'ed25519Seed'>): Vault {
  const hasher = createPasswordHasher()
  return {
    hashPassword: (password) => hasher.hash(password),
    verifyPassword: (password, hash) => hasher.verify(password, hash),
    signSession, verifySession, sha256Hex, equalSecrets, encodeJoinToken, parseJoinToken,
    apiTokenSecret: () => createApiTokenSecret(),
    secret: () => createSecret(),
    readablePassword: () => createReadablePassword(),
    passphraseParameters: () => passphraseParameters(),
    passphraseKey,
    seal: (key, plaintext, purpose) => seal(key, plaintext, purpose),
    open,
    wrapKey: (recipient, key) => wrapKey(Buffer.from(recipient, 'base64url'), key),
    unwrapKey: (wrapped) => unwrapKey(identity.x25519Private, wrapped),
    signAsNode: (text) => signAsNode(identity.ed25519Seed, text),
    verifyNode,
    createAuthority: async (options) => (await import('./authority.ts')).createAuthority(options),
    issueCertificate: async ({ publicKeyPem, ...rest }) => {
      const { issueCertificate, nodeCertificateDays } = await import('./authority.ts')
      return issueCertificate({ ...rest, key: { kind: 'publicKey', pem: publicKeyPem }, days: nodeCertificateDays })
    },
    fingerprint,
  }
}
