// Keys, hashes and certificates, as the engines see them; the formats are the driver's.

import type { PassphraseParameters } from '../model/backup.ts'
import type { JoinTokenContent } from '../model/token.ts'

export type SessionClaims = { readonly sid: string; readonly sub: string; readonly csrf: string; readonly issuedMs: number; readonly expiresMs: number }

export interface Vault {
  /** Argon2id; at most a few at once. @throws OperationalError OVERLOADED */
  hashPassword(password: string): Promise<string>
  /** A null hash takes as long and is false. */
  verifyPassword(password: string, hash: string | null): Promise<boolean>
  signSession(key: Uint8Array, claims: SessionClaims): Promise<string>
  verifySession(key: Uint8Array, cookie: string, nowMs: number): Promise<SessionClaims | null>
  sha256Hex(data: string | Uint8Array): string
  equalSecrets(left: string, right: string): boolean
  apiTokenSecret(): string
  secret(): string
  readablePassword(): string
  encodeJoinToken(content: JoinTokenContent): string
  /** @throws OperationalError TOKEN_INVALID */
  parseJoinToken(text: string): JoinTokenContent
  /** AES-256-GCM; `purpose` is authenticated with it. */
  seal(key: Uint8Array, plaintext: Uint8Array, purpose: string): string
  open(key: Uint8Array, sealed: string, purpose: string): Uint8Array
  /** With a salt of its own. */
  passphraseParameters(): PassphraseParameters
  /** 32 bytes, slowly. */
  passphraseKey(passphrase: string, parameters: PassphraseParameters): Promise<Uint8Array>
  /** For the holder of an X25519 public key, base64url. */
  wrapKey(recipient: string, key: Uint8Array): string
  /** With this node's own private key. */
  unwrapKey(wrapped: string): Uint8Array
  /** With this node's own Ed25519 key; base64url. */
  signAsNode(text: string): string
  /** Was it signed by the key that the peer id is made of? */
  verifyNode(peerId: string, text: string, signature: string): boolean
  createAuthority(options: { readonly clusterName: string; readonly nowMs: number }): Promise<{ readonly certificatePem: string; readonly keyPem: string }>
  issueCertificate(options: {
    readonly caCertificatePem: string; readonly caKeyPem: string; readonly publicKeyPem: string
    readonly commonName: string; readonly names: readonly string[]; readonly addresses: readonly string[]; readonly nowMs: number
    /** Written into it, so that a peer is known whatever the node is called. */
    readonly nodeId?: string
  }): Promise<string>
  fingerprint(certificatePem: string): string
}
