// A simulated host as a hypervisor sees it: its domains and their guests. It outlives the daemon; a power cut stops every guest.
import { domainDigest } from '../../ports/domain-digest.ts'
import type { Cancel, Clock, Random } from '../../ports/clock.ts'
import type { Domain, DomainEvent, DomainSpec, DomainState, OffReason } from '../../ports/hypervisor.ts'
import type { SimLink } from './relay.ts'

/** Plain knobs, to be set at any time. Ratios are chances in [0, 1]. */
export type MachineFaults = {
  /** Each half of a call takes so long. */
  latencyMsMin: number
  latencyMsMax: number
  /** A call fails; half of these were carried out nevertheless. */
  failRatio: number
  /** A call is not answered in time; half of these are carried out, late. */
  hangRatio: number
  /** A look shows the domain as it was before its last change, if that is no longer than `lieMsMax` ago. */
  lieRatio: number
  lieMsMax: number
  /** A guest ignores being asked to power off. */
  deafRatio: number
  bootMs: number
  shutdownMs: number
  /** A migration takes between these. */
  migrateMsMin: number
  migrateMsMax: number
}

export const calmMachine: Readonly<MachineFaults> = {
  latencyMsMin: 0.2, latencyMsMax: 2, failRatio: 0, hangRatio: 0, lieRatio: 0, lieMsMax: 2_000, deafRatio: 0, bootMs: 1_500, shutdownMs: 800,
  migrateMsMin: 400, migrateMsMax: 6_000,
}

export type GuestListener = (bytes: Uint8Array | null) => void

/** A migration under way, as the machine it leaves sees it. */
export type Transfer = { fail(why: string): void }

export type SimDomain = {
  readonly id: string
  name: string
  spec: DomainSpec | null
  state: DomainState
  reason: OffReason
  /** Rises with every boot and end; timers of an earlier run do nothing. */
  run: number
  bootedMs: number
  before: { readonly shown: Domain | null; readonly untilMs: number } | null
  /** Who reads the serial console; null tells it that it is over. */
  console: GuestListener | null
  /** Who looks at the screen. */
  readonly screens: Set<{ abort(): void }>
  /** It is still coming in from another host: paused, and forgotten if the rest does not come. */
  incoming: boolean
}

export class SimMachine {
  readonly clock: Clock
  readonly random: Random
  readonly cpus: number
  readonly memoryMiB: number
  readonly faults: MachineFaults = { ...calmMachine }
  /** How often guests were booted and how often they ended, so far. */
  boots = 0
  stops = 0
  /** Sockets of the relay on this host, by path. */
  readonly links = new Map<string, SimLink>()
  readonly #transfers = new Map<string, Transfer>()
  readonly #domains = new Map<string, SimDomain>()
  readonly #listeners = new Set<(event: DomainEvent) => void>()
  #reachable = true
  #frozen = false
  /** Rises when the power is cut: what was on its way is lost. */
  #power = 0

  constructor(options: { readonly clock: Clock; readonly random: Random; readonly cpus?: number; readonly memoryMiB?: number }) {
    this.clock = options.clock
    this.random = options.random
    this.cpus = options.cpus ?? 16
    this.memoryMiB = options.memoryMiB ?? 64 * 1024
  }

  /** Ids whose vCPUs execute at this moment, sorted: what no two machines may share. */
  runningVcpus(): readonly string[] {
    return [...this.#domains.values()].filter((domain) => isExecuting(domain)).map((domain) => domain.id).toSorted()
  }

  /** Every guest is gone at once; definitions stay. */
  powerOff(): void {
    this.#power++
    for (const transfer of this.#transfers.values()) transfer.fail('the power was cut')
    for (const domain of this.#domains.values()) {
      if (domain.incoming) this.#domains.delete(domain.id)
      if (domain.state === 'off') continue
      domain.before = null
      this.#end(domain, 'unknown')
    }
  }

  /** A migration that sends a domain away; it goes on without the daemon. */
  transferBegins(id: string, transfer: Transfer): void {
    this.#transfers.set(id, transfer)
  }

  transferOf(id: string): Transfer | undefined {
    return this.#transfers.get(id)
  }

  transferOver(id: string): void {
    this.#transfers.delete(id)
  }

  /** A guest begins to come in. */
  receive(spec: DomainSpec): void {
    const domain = this.#add(spec.id, spec.domainName)
    domain.spec = spec
    domain.state = 'paused'
    domain.reason = 'none'
    domain.incoming = true
    domain.run++
    this.#tell(domain, 'defined', 'added')
  }

  /** All of it has come in; false where it is not here any more. */
  complete(id: string): boolean {
    const domain = this.#domains.get(id)
    if (domain?.incoming !== true) return false
    domain.incoming = false
    this.#tell(domain, 'suspended', 'migrated')
    return true
  }

  dropIncoming(id: string): void {
    if (this.#domains.get(id)?.incoming === true) this.remove(id)
  }

  endMigrated(id: string): void {
    this.#stop(id, 'migrated')
  }

  /** Changes some knobs; `calm` puts all of them back. */
  setFaults(change: Partial<MachineFaults>): void {
    Object.assign(this.faults, change)
  }

  calm(): void {
    Object.assign(this.faults, calmMachine)
  }

  get reachable(): boolean {
    return this.#reachable
  }

  get frozen(): boolean {
    return this.#frozen
  }

  /** The hypervisor's service goes away and comes back; guests do not notice. */
  setReachable(reachable: boolean): void {
    if (reachable === this.#reachable) return
    this.#reachable = reachable
    this.#emit(reachable ? { kind: 'connected' } : { kind: 'disconnected', detail: 'the service is away' })
  }

  /** The service hangs: it answers nothing until it is thawed. */
  setFrozen(frozen: boolean): void {
    this.#frozen = frozen
  }

  subscribe(listener: (event: DomainEvent) => void): Cancel {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Runs once the request has arrived; lost where the power is cut before. */
  arrive(delayMs: number, effect: () => void): void {
    const power = this.#power
    this.clock.after(delayMs, () => {
      if (power === this.#power) effect()
    })
  }

  get(id: string): SimDomain | undefined {
    return this.#domains.get(id)
  }

  named(name: string): SimDomain | undefined {
    return [...this.#domains.values()].find((domain) => domain.name === name)
  }

  domains(): readonly SimDomain[] {
    return [...this.#domains.values()].toSorted((left, right) => (left.id < right.id ? -1 : 1))
  }

  /** As a domain of ours, or null where it is not ours. */
  show(domain: SimDomain): Domain | null {
    if (domain.spec === null) return null
    return { id: domain.id, domainName: domain.name, state: domain.state, reason: domain.reason, epoch: domain.spec.epoch, definition: domainDigest(domain.spec) }
  }

  define(spec: DomainSpec): void {
    const domain = this.#domains.get(spec.id) ?? this.#add(spec.id, spec.domainName)
    this.#changing(domain)
    domain.spec = spec
    domain.name = spec.domainName
    this.#tell(domain, 'defined', 'updated')
  }

  /** Somebody else's. */
  defineForeign(id: string, name: string): void {
    this.#add(id, name)
  }

  remove(id: string): void {
    const domain = this.#domains.get(id)
    if (domain === undefined) return
    this.#domains.delete(id)
    this.#tell(domain, 'undefined', 'removed')
  }

  boot(domain: SimDomain): void {
    this.#changing(domain)
    domain.state = 'running'
    domain.reason = 'none'
    domain.run++
    domain.bootedMs = this.clock.monotonicMs()
    this.boots++
    this.#tell(domain, 'started', 'booted')
  }

  reset(domain: SimDomain): void {
    domain.bootedMs = this.clock.monotonicMs()
    domain.console?.(encode('>'))
    this.#tell(domain, 'rebooted', '')
  }

  setPaused(domain: SimDomain, paused: boolean): void {
    this.#changing(domain)
    domain.state = paused ? 'paused' : 'running'
    if (paused) this.#tell(domain, 'suspended', 'paused')
    else this.#tell(domain, 'resumed', 'unpaused')
  }

  /** The guest powers off after a while, unless it is deaf or paused. */
  askShutdown(domain: SimDomain): void {
    if (domain.state !== 'running' || this.chance(this.faults.deafRatio)) return
    const { run } = domain
    this.arrive(this.faults.shutdownMs, () => {
      if (domain.run === run && domain.state === 'running') this.guestPowerOff(domain.id)
    })
  }

  /** The guest's own doing. */
  guestPowerOff(id: string): void {
    this.#stop(id, 'shutdown')
  }

  /** The process that runs the guest dies. */
  crash(id: string): void {
    this.#stop(id, 'crashed')
  }

  /** The power is cut, by us or behind our back. */
  destroy(id: string): void {
    this.#stop(id, 'destroyed')
  }

  /** Bytes for the guest's serial port: it echoes them, and powers off at the letter q. */
  type(domain: SimDomain, bytes: Uint8Array): void {
    if (domain.state !== 'running') return
    const quits = bytes.indexOf(0x71)
    domain.console?.(quits === -1 ? bytes : bytes.subarray(0, quits))
    if (quits !== -1) this.guestPowerOff(domain.id)
  }

  chance(ratio: number): boolean {
    return ratio > 0 && this.random.integer(1_000_000) < ratio * 1_000_000
  }

  #add(id: string, name: string): SimDomain {
    const domain: SimDomain = { id, name, spec: null, state: 'off', reason: 'unknown', run: 0, bootedMs: 0, before: null, console: null, screens: new Set(), incoming: false }
    this.#domains.set(id, domain)
    return domain
  }

  #stop(id: string, reason: OffReason): void {
    const domain = this.#domains.get(id)
    if (domain === undefined || domain.state === 'off') return
    this.#changing(domain)
    this.#end(domain, reason)
    if (domain.incoming) this.remove(id)
  }

  #end(domain: SimDomain, reason: OffReason): void {
    domain.state = 'off'
    domain.reason = reason
    domain.run++
    this.stops++
    domain.console?.(null)
    domain.console = null
    for (const screen of domain.screens) screen.abort()
    this.#tell(domain, 'stopped', reason)
  }

  /** Keeps what liars show. */
  #changing(domain: SimDomain): void {
    domain.before = { shown: this.show(domain), untilMs: this.clock.monotonicMs() + this.faults.lieMsMax }
  }

  #tell(domain: SimDomain, event: string, detail: string): void {
    if (domain.spec !== null && this.#reachable && !this.#frozen) this.#emit({ kind: 'domain', id: domain.id, event, detail })
  }

  #emit(event: DomainEvent): void {
    for (const listener of this.#listeners) listener(event)
  }
}

export function isExecuting(domain: SimDomain): boolean {
  return domain.state === 'running' || domain.state === 'shuttingDown'
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
