// One host's hypervisor: domains that are ours, and how to change them. Behind it: libvirt, or the simulator's.
import type { ByteStream } from './transport.ts'
import type { Cancel } from './clock.ts'
import type { MigrationSockets } from './migration.ts'

export type DomainState = 'running' | 'paused' | 'shuttingDown' | 'off' | 'crashed'
/** Why it is off, where the hypervisor knows: `shutdown` the guest powered off; `destroyed` somebody cut the power. */
export type OffReason = 'none' | 'shutdown' | 'destroyed' | 'crashed' | 'migrated' | 'saved' | 'failed' | 'unknown'

/** A domain of ours as seen. `epoch` and `definition` come from the metadata we wrote when defining it. */
export type Domain = {
  /** The VM's id; libvirt's UUID. */
  readonly id: string
  readonly domainName: string
  readonly state: DomainState
  readonly reason: OffReason
  readonly epoch: number
  /** Digest of the DomainSpec it was defined from; another one means it has to be defined again. */
  readonly definition: string
}

export type DomainDisk = { readonly name: string; readonly path: string; readonly format: 'qcow2' | 'raw'; readonly bus: 'virtio' | 'scsi' | 'sata'; readonly readOnly: boolean }
export type DomainNic = { readonly network: string; readonly mac: string }

/** All that is needed to define a domain; free of libvirt's words. */
export type DomainSpec = {
  readonly id: string
  readonly domainName: string
  readonly title: string
  readonly epoch: number
  readonly cpus: number
  readonly memoryMiB: number
  readonly firmware: 'bios' | 'uefi'
  readonly disks: readonly DomainDisk[]
  /** NoCloud seed, where there is cloud-init data. */
  readonly seedPath: string | null
  readonly nics: readonly DomainNic[]
}

export type HypervisorInfo = {
  readonly accelerator: 'kvm' | 'tcg' | 'simulated'
  readonly description: string
  readonly cpus: number
  readonly memoryMiB: number
}

export type DomainEvent =
  /** Something about the domain changed; look again. `event` only informs. */
  | { readonly kind: 'domain'; readonly id: string; readonly event: string; readonly detail: string }
  /** Events may have been missed: list again. */
  | { readonly kind: 'connected' }
  | { readonly kind: 'disconnected'; readonly detail: string }

/** Cumulative use of a domain that is on; what the hypervisor does not tell (a network in user mode, say) is left out. */
export type DomainStats = {
  readonly id: string
  readonly cpuSeconds: number
  readonly memoryResidentBytes: number
  readonly memoryBalloonBytes: number
  readonly disks: readonly { readonly name: string; readonly readBytes: number; readonly writtenBytes: number; readonly reads: number; readonly writes: number }[]
  readonly nics: readonly {
    readonly name: string
    readonly receiveBytes: number
    readonly receivePackets: number
    readonly receiveErrors: number
    readonly receiveDrops: number
    readonly transmitBytes: number
    readonly transmitPackets: number
    readonly transmitErrors: number
    readonly transmitDrops: number
  }[]
}

export type MigrateRequest = {
  readonly id: string
  readonly sockets: MigrationSockets
  /** The domain as it shall be at the target: its epoch, its paths there, its digest. Guest-visible hardware is the live domain's. */
  readonly target: DomainSpec
  /** MiB per second for memory and disks together; null: as fast as it goes. */
  readonly bandwidthMiBps: number | null
}

export type MigrationProgress = {
  readonly phase: 'starting' | 'disks' | 'memory' | 'switching'
  readonly totalBytes: number
  readonly processedBytes: number
  readonly remainingBytes: number
  readonly elapsedMs: number
  /** Expected while it runs, measured once it is over; null where unknown. */
  readonly downtimeMs: number | null
}

/** Every call has a time-out of its own (HYPERVISOR_TIMEOUT) and fails with HYPERVISOR_UNREACHABLE while libvirt is away. */
export interface Hypervisor {
  start(signal: AbortSignal): Promise<void>
  stop(): Promise<void>
  info(): Promise<HypervisorInfo>
  /** Our domains only; others are left alone and never shown. */
  list(): Promise<readonly Domain[]>
  /** Null where there is no domain of ours with that id. */
  find(id: string): Promise<Domain | null>
  /** Defines or redefines (a running domain takes it at its next boot). Refused with EPOCH_STALE below the highest epoch seen for the id. */
  define(spec: DomainSpec): Promise<void>
  /** Starts vCPUs. Already running is fine. Refused with EPOCH_STALE below the highest epoch seen for the id, which is kept on disk. */
  boot(id: string, epoch: number): Promise<void>
  /** Asks the guest to power off (ACPI, and the agent where there is one); returns at once. Off is fine. */
  shutdown(id: string): Promise<void>
  /** Cuts the power. Off is fine. */
  destroy(id: string): Promise<void>
  reset(id: string): Promise<void>
  pause(id: string): Promise<void>
  resume(id: string): Promise<void>
  /** Forgets a domain that is off. Unknown is fine. */
  undefine(id: string): Promise<void>
  /** Of all our domains that are on, in one call; one whose monitor is busy may be left out. Empty where the driver does not know. */
  stats(): Promise<readonly DomainStats[]>
  /** Addresses as the guest agent tells them, without loopback and link-local. AGENT_UNAVAILABLE where there is none. */
  addresses(id: string): Promise<readonly string[]>
  /** The serial console, both directions. A second opening takes it over. */
  console(id: string, signal: AbortSignal): Promise<ByteStream>
  /** The screen, as a server of the RFB protocol (RFC 6143) speaks first; several may look at once. CONSOLE_BUSY while it is off, SCREEN_MISSING where it was started without one. */
  screen(id: string, signal: AbortSignal): Promise<ByteStream>
  /**
   * Moves a running or paused domain, its disks copied onto those that lie ready at the target. Resolves when QEMU here is gone and the target
   * holds the domain *paused*, whatever it was: the target starts vCPUs only by `boot`, at the target's epoch, once Raft says that it owns the VM.
   * Rejects with MIGRATION_FAILED where it came to nothing; the domain is then here, running as before (or paused: see `recoverMigration`).
   * Abort cuts it at once.
   */
  migrate(request: MigrateRequest, onProgress: (progress: MigrationProgress) => void, signal: AbortSignal): Promise<MigrationProgress>
  /**
   * After a migration of which nothing is known (this daemon was dead): aborts one that still runs, waits until libvirt has let go of the
   * domain, and says what is: `here`: it is (again) this host's; `gone`: it was migrated and QEMU here is gone; `off`: it is off for another reason.
   */
  recoverMigration(id: string): Promise<'here' | 'gone' | 'off'>
  watch(listener: (event: DomainEvent) => void): Cancel
}

/** Cumulative use of a host, for load. */
export interface HostProbe {
  load(): Promise<import('../model/node.ts').NodeLoad>
}
