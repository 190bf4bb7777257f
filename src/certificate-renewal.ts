// Renews this node's certificate at two thirds of its life: every member can open the CA's key, so none has to be asked.
import type { ClusterKeys } from './app/keys.ts'
import { createTlsKey, validity } from './drivers/crypto/authority.ts'
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
  readonly names: { readonly commonName: string; readonly names: readonly string[]; readonly addresses: readonly string[] }
  /** Keeps the record and serves with it. */
  readonly adopt: (record: MembershipRecord) => Promise<void>
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
    if (this.#busy || !isDue(this.#record.certificatePem, clock.nowMs())) return
    this.#busy = true
    try {
      const authority = keys.authority()
      const tlsKey = await createTlsKey()
      const certificatePem = await vault.issueCertificate({
        caCertificatePem: authority.certificatePem, caKeyPem: authority.keyPem, publicKeyPem: tlsKey.publicKeyPem, ...names, nowMs: clock.nowMs(),
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
