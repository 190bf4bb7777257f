// Makes certificates, X.509 v3: the cluster's authority, those it issues (ECDSA P-256), a node's own. Loaded when one is made: its library is large, and most starts make none.
import 'reflect-metadata'
import { createPublicKey, webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
import {
  AuthorityKeyIdentifierExtension, BasicConstraintsExtension, ExtendedKeyUsage, ExtendedKeyUsageExtension, KeyUsageFlags, KeyUsagesExtension,
  PemConverter, Pkcs10CertificateRequest, SubjectAlternativeNameExtension, SubjectKeyIdentifierExtension, X509Certificate, X509CertificateGenerator,
} from '@peculiar/x509'
import { OperationalError } from '../../model/error.ts'
import type { Random } from '../../ports/clock.ts'
import { curve, exportKey, generateKeys, type CertificateAndKey } from './certificate.ts'
import { privateKeyOf } from './identity.ts'
import { systemRandom } from './random.ts'

const algorithm = { ...curve, hash: 'SHA-256' } as const
const dayMs = 86_400_000
/** Clocks of nodes differ: a certificate is valid from a little before it was made. */
const backdatedMs = 5 * 60_000
export const authorityDays = 3650
export const nodeCertificateDays = 365

export type CertificateNames = {
  readonly commonName: string
  /** DNS names. */
  readonly names: readonly string[]
  /** IP addresses. */
  readonly addresses: readonly string[]
  /** Written into it as a URI: the node's name may change while the certificate lasts. */
  readonly nodeId?: string
}

/** A self-signed CA that may sign leaf certificates only. */
export async function createAuthority(options: { readonly clusterName: string; readonly nowMs: number }, random: Random = systemRandom): Promise<CertificateAndKey> {
  const keys = await generateKeys()
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(random),
    name: [{ CN: [`NovaCron CA of ${options.clusterName}`] }],
    notBefore: new Date(options.nowMs - backdatedMs),
    notAfter: new Date(options.nowMs + authorityDays * dayMs),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
    ],
  }, webcrypto)
  return { certificatePem: certificate.toString('pem'), keyPem: exportKey(keys.privateKey) }
}

/**
 * Issues a certificate that serves as both TLS server and client.
 * @param options `key` is the subject's: a public key (SPKI PEM) or a request signed by it; the request's own names are not looked at
 * @throws INVALID where the key or request cannot be read or its signature is wrong
 */
export async function issueCertificate(options: CertificateNames & {
  readonly caCertificatePem: string
  readonly caKeyPem: string
  readonly key: { readonly kind: 'publicKey'; readonly pem: string } | { readonly kind: 'request'; readonly pem: string }
  readonly days: number
  readonly nowMs: number
}, random: Random = systemRandom): Promise<string> {
  const authority = new X509Certificate(options.caCertificatePem)
  const publicKey = await subjectKey(options.key)
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serialNumber(random),
    subject: [{ CN: [options.commonName] }],
    issuer: authority.subject,
    notBefore: new Date(options.nowMs - backdatedMs),
    // Never longer than the authority itself: clients would refuse the chain anyway, and later.
    notAfter: new Date(Math.min(options.nowMs + options.days * dayMs, authority.notAfter.getTime())),
    signingAlgorithm: algorithm,
    publicKey,
    signingKey: await importPrivateKey(options.caKeyPem),
    extensions: [...(await leafExtensions(publicKey, options)), await AuthorityKeyIdentifierExtension.create(authority, false, webcrypto)],
  }, webcrypto)
  return certificate.toString('pem')
}

/** Own key and certificate of a node that is in no cluster yet. */
export async function selfSigned(options: CertificateNames & { readonly days: number; readonly nowMs: number }, random: Random = systemRandom): Promise<CertificateAndKey> {
  const keys = await generateKeys()
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(random),
    name: [{ CN: [options.commonName] }],
    notBefore: new Date(options.nowMs - backdatedMs),
    notAfter: new Date(options.nowMs + options.days * dayMs),
    signingAlgorithm: algorithm,
    keys,
    extensions: await leafExtensions(keys.publicKey, options),
  }, webcrypto)
  return { certificatePem: certificate.toString('pem'), keyPem: exportKey(keys.privateKey) }
}

/**
 * A certificate of the node's own Ed25519 key, signed by itself: TLS between nodes proves by it who holds the key. It never ends: members are known by
 * their keys, not by the word of an authority.
 */
export async function identityCertificate(seed: Uint8Array, options: { readonly nodeId: string; readonly nowMs: number }, random: Random = systemRandom): Promise<CertificateAndKey> {
  const privateKey = privateKeyOf('ed25519', seed)
  const ed25519 = { name: 'Ed25519' } as const
  const keys = {
    privateKey: privateKey.toCryptoKey(ed25519, true, ['sign']),
    publicKey: createPublicKey(privateKey).toCryptoKey(ed25519, true, ['verify']),
  }
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(random),
    name: [{ CN: [options.nodeId] }],
    notBefore: new Date(options.nowMs - backdatedMs),
    // RFC 5280 §4.1.2.5: no well-defined end.
    notAfter: new Date('9999-12-31T23:59:59Z'),
    signingAlgorithm: ed25519,
    keys,
    extensions: await leafExtensions(keys.publicKey, { commonName: options.nodeId, names: [], addresses: [] }),
  }, webcrypto)
  return { certificatePem: certificate.toString('pem'), keyPem: exportKey(keys.privateKey) }
}

async function leafExtensions(publicKey: webcrypto.CryptoKey, names: CertificateNames) {
  const alternatives = [
    ...names.names.map((value) => ({ type: 'dns' as const, value })),
    ...names.addresses.map((value) => {
      if (isIP(value) === 0) throw new OperationalError('INVALID', `${JSON.stringify(value)} is no IP address.`)
      return { type: 'ip' as const, value }
    }),
    ...(names.nodeId === undefined ? [] : [{ type: 'url' as const, value: `urn:novacron:node:${names.nodeId}` }]),
  ]
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth], false),
    ...(alternatives.length === 0 ? [] : [new SubjectAlternativeNameExtension(alternatives, false)]),
    await SubjectKeyIdentifierExtension.create(publicKey, false, webcrypto),
  ]
}

async function subjectKey(key: { readonly kind: 'publicKey' | 'request'; readonly pem: string }): Promise<webcrypto.CryptoKey> {
  try {
    if (key.kind === 'request') {
      const request = new Pkcs10CertificateRequest(key.pem)
      if (!(await request.verify(webcrypto))) throw new TypeError('the request is not signed by its own key')
      return await request.publicKey.export(webcrypto)
    }
    const spki = createPublicKey(key.pem).export({ format: 'der', type: 'spki' })
    return await webcrypto.subtle.importKey('spki', spki, algorithm, true, ['verify'])
  } catch (cause) {
    throw new OperationalError('INVALID', 'The public key or certificate request cannot be used; it must be ECDSA P-256 in PEM.', { cause })
  }
}

function importPrivateKey(pem: string): Promise<webcrypto.CryptoKey> {
  return webcrypto.subtle.importKey('pkcs8', PemConverter.decodeFirst(pem), algorithm, false, ['sign'])
}

/** RFC 5280 §4.1.2.2: positive, at most 20 octets. */
function serialNumber(random: Random): string {
  const bytes = random.bytes(16)
  bytes[0] = (bytes[0]! & 0x7f) | 0x40
  return Buffer.from(bytes).toString('hex')
}
