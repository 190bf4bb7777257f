// What there is to do with certificates and their keys short of making one, by the runtime's own means.
import { createHash, KeyObject, webcrypto, X509Certificate } from 'node:crypto'

export type CertificateAndKey = { readonly certificatePem: string; readonly keyPem: string }

export const curve = { name: 'ECDSA', namedCurve: 'P-256' } as const

/** A fresh P-256 key pair for a TLS certificate, as PEM (PKCS #8, SPKI). */
export async function createTlsKey(): Promise<{ readonly keyPem: string; readonly publicKeyPem: string }> {
  const keys = await generateKeys()
  return { keyPem: exportKey(keys.privateKey), publicKeyPem: KeyObject.from(keys.publicKey).export({ format: 'pem', type: 'spki' }).toString() }
}

export function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(curve, true, ['sign', 'verify'])
}

/** PEM, PKCS #8. */
export function exportKey(key: webcrypto.CryptoKey): string {
  return KeyObject.from(key).export({ format: 'pem', type: 'pkcs8' }).toString()
}

/** SHA-256 of the certificate's DER, lower-case hex. */
export function fingerprint(certificatePem: string): string {
  return createHash('sha256').update(new X509Certificate(certificatePem).raw).digest('hex')
}

/** When a certificate begins and ends, in milliseconds since the epoch. */
export function validity(certificatePem: string): { readonly fromMs: number; readonly untilMs: number } {
  const certificate = new X509Certificate(certificatePem)
  return { fromMs: certificate.validFromDate.getTime(), untilMs: certificate.validToDate.getTime() }
}
