// Keys without cryptography, for simulated nodes: everything can be opened, nothing takes time, all of it repeats with the seed.
import { createHash } from 'node:crypto'
import { OperationalError } from '../../src/model/error.ts'
import type { JoinTokenContent } from '../../src/model/token.ts'
import type { Random } from '../../src/ports/clock.ts'
import type { SessionClaims, Vault } from '../../src/ports/vault.ts'

const encodeText = (text: string): string => Buffer.from(text).toString('base64url')
const decodeText = (text: string): string => Buffer.from(text, 'base64url').toString()

export function createSimVault(random: Random): Vault {
  const secret = (): string => Buffer.from(random.bytes(32)).toString('base64url')
  const sha256Hex = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex')
  return {
    hashPassword: async (password) => `sim:${password}`,
    verifyPassword: async (password, hash) => hash === `sim:${password}`,
    signSession: async (_key, claims) => encodeText(JSON.stringify(claims)),
    verifySession: async (_key, cookie, nowMs) => {
      const claims = JSON.parse(decodeText(cookie)) as SessionClaims
      return claims.expiresMs > nowMs ? claims : null
    },
    sha256Hex,
    equalSecrets: (left, right) => left === right,
    apiTokenSecret: () => `nct_${secret()}`,
    secret,
    readablePassword: secret,
    encodeJoinToken: (content) => `ncj_${encodeText(JSON.stringify(content))}`,
    parseJoinToken: (text) => {
      if (!text.startsWith('ncj_')) throw new OperationalError('TOKEN_INVALID', 'This is no join token.')
      return JSON.parse(decodeText(text.slice(4))) as JoinTokenContent
    },
    passphraseParameters: () => ({ function: 'argon2id', memoryKib: 8, passes: 1, parallelism: 1, salt: secret() }),
    passphraseKey: async (passphrase) => Buffer.from(passphrase),
    seal: (_key, plaintext, purpose) => JSON.stringify([purpose, Buffer.from(plaintext).toString('base64url')]),
    open: (_key, sealed, purpose) => {
      const [sealedFor, text] = JSON.parse(sealed) as [string, string]
      if (sealedFor !== purpose) throw new Error(`sealed for ${sealedFor}, opened for ${purpose}`)
      return Buffer.from(text, 'base64url')
    },
    wrapKey: (_recipient, key) => Buffer.from(key).toString('base64url'),
    unwrapKey: (wrapped) => Buffer.from(wrapped, 'base64url'),
    signAsNode: (text) => sha256Hex(text),
    verifyNode: (_peerId, text, signature) => signature === sha256Hex(text),
    createAuthority: async ({ clusterName }) => ({ certificatePem: `certificate of ${clusterName}`, keyPem: `key of ${clusterName}` }),
    issueCertificate: async ({ commonName }) => `certificate of ${commonName}`,
    fingerprint: (certificatePem) => sha256Hex(certificatePem),
  }
}
