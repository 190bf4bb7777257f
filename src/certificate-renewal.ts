// Renews this node's certificate at two thirds of its life, and when name or address changed: every member can open the CA's key, so none has to be asked.
import { X509Certificate } from 'node:crypto'
import type { ClusterKeys } from './app/keys.ts'
import { createTlsKey, validity } from './drivers/crypto/certificate.ts'
import type { MembershipRecord } from './membership-file.ts'
import type { Cancel, Clock } from './ports/clock.ts'
import type { Log } from './ports/log.ts'
import type { Vault } from './ports/vault.ts'

const lookMs = 3_600_000
const dueRatio = 2 / 3

export type RenewalPorts = {
  readonly clock: Clock
  readonly log: Log
  readonly vault: Vault
  readonly keys: Pick<ClusterKeys, 'authority'>
  readonly names: () => CertificateNames
  /** Keeps the record and serves with it. */
  readonly adopt: (record: MembershipRecord) => Promise<void>
}

export type CertificateNames = { readonly commonName: string; readonly names: readonly string[]; readonly addresses: readonly string[]; readonly nodeId?: string }

/** Does it stand for the node's present name and addresses? */
function isFor(certificatePem: string, { commonName, names, addresses }: CertificateNames): boolean {
  const certificate = new X509Certificate(certificatePem)
  const alternatives = (certificate.subjectAltName ?? '').split(', ')
  return certificate.subject.split('\n').includes(`CN=${commonName}`) && names.every((name) => alternatives.includes(`DNS:${name}`)) && addresses.every((address) => alternatives.includes(`IP Address:${address}`))
}

/** Is the certificate past two thirds of its life? */
export function isDue(certificatePem: string, nowMs: number): boolean {
  const { fromMs, untilMs } = validity(certificatePem)
  return nowMs >= fromMs + (untilMs - fromMs) * dueRatio
}

export class CertificateRenewal {
  readonly #ports: RenewalPorts
  #record: MembershipRecord
  #cancel: Cancel | null = null
  #busy = false

  constructor(record: MembershipRecord, ports: RenewalPorts) {
    this.#record = record
    this.#ports = ports
  }

  /** Looks now and then every hour. */
  start(): void {
    this.#cancel = this.#ports.clock.every(lookMs, () => void this.look())
    void this.look()
  }

  stop(): void {
    this.#cancel?.()
  }

  /** Renews where it is due; what fails is tried again at the next look. */
  async look(): Promise<void> {
    const { clock, log, vault, keys, names, adopt } = this.#ports
    const wanted = names()
    if (this.#busy || (!isDue(this.#record.certificatePem, clock.nowMs()) && isFor(this.#record.certificatePem, wanted))) return
    this.#busy = true
    try {
      const authority = keys.authority()
      const tlsKey = await createTlsKey()
      const certificatePem = await vault.issueCertificate({
        caCertificatePem: authority.certificatePem, caKeyPem: authority.keyPem, publicKeyPem: tlsKey.publicKeyPem, ...wanted, nowMs: clock.nowMs(),
      })
      const renewed = { ...this.#record, certificatePem, tlsKeyPem: tlsKey.keyPem }
      await adopt(renewed)
      this.#record = renewed
      log.info('certificate renewed', { until: new Date(validity(certificatePem).untilMs).toISOString() })
    } catch (error) {
      log.warn('certificate was not renewed; it will be tried again', { error: String(error) })
    } finally {
      this.#busy = false
    }
  }
}
