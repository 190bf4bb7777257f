// The Hypervisor port on a simulated machine: one daemon's driver, with latencies, failures, hangs and lies on simulated time.
import { OperationalError } from '../../model/error.ts'
import type { Cancel, Clock, Random } from '../../ports/clock.ts'
import type { Domain, DomainEvent, DomainSpec, DomainStats, Hypervisor, HypervisorInfo, MigrateRequest, MigrationProgress } from '../../ports/hypervisor.ts'
import type { LocalStore } from '../../ports/state-store.ts'
import type { ByteStream } from '../../ports/transport.ts'
import { EpochGuard, staleEpoch } from '../epoch-guard.ts'
import { SimConsole } from './console.ts'
import { SimScreen } from './screen.ts'
import { SimTransfer } from './migration.ts'
import { isExecuting, type SimDomain, type SimMachine } from './machine.ts'
import { statsOf } from './stats.ts'

const defaultCallTimeoutMs = 10_000
/** A call that hangs is carried out at most so long after its time-out, if at all. */
const lateMsMax = 5_000
const reconnectMs = 100
/** A frozen service is given up after so many periods without an answer. */
const keepaliveMissesMax = 4

type Pending = { reject(error: Error): void }

export class SimHypervisor implements Hypervisor {
  readonly machine: SimMachine
  readonly #clock: Clock
  readonly #random: Random
  readonly #epochs: EpochGuard
  readonly #callTimeoutMs: number
  readonly #keepaliveMs: number
  readonly #listeners = new Set<(event: DomainEvent) => void>()
  readonly #pending = new Set<Pending>()
  readonly #cancels: Cancel[] = []
  #connected = false
  #misses = 0

  /** `clock` is the daemon's: when it dies no call ever ends, though the machine still carries out what it was sent. */
  constructor(
    options: { readonly machine: SimMachine; readonly callTimeoutMs?: number; readonly keepaliveMs?: number },
    dependencies: { readonly epochs: LocalStore; readonly clock: Clock; readonly random: Random },
  ) {
    this.machine = options.machine
    this.#callTimeoutMs = options.callTimeoutMs ?? defaultCallTimeoutMs
    this.#keepaliveMs = options.keepaliveMs ?? 5_000
    this.#clock = dependencies.clock
    this.#random = dependencies.random
    this.#epochs = new EpochGuard(dependencies.epochs)
  }

  async start(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    this.#cancels.push(
      this.machine.subscribe((event) => this.#heard(event)),
      this.#clock.every(this.#keepaliveMs, () => this.#keepalive()),
    )
    if (this.machine.reachable && !this.machine.frozen) this.#connect()
  }

  async stop(): Promise<void> {
    this.detach()
    this.#lose('stopping')
  }

  /** The daemon was killed: nothing more is heard and nothing pending ends. */
  detach(): void {
    for (const cancel of this.#cancels.splice(0)) cancel()
    this.#listeners.clear()
  }

  async info(): Promise<HypervisorInfo> {
    return this.#call('host information', () => ({ accelerator: 'simulated' as const, description: 'simulated', cpus: this.machine.cpus, memoryMiB: this.machine.memoryMiB }))
  }

  async list(): Promise<readonly Domain[]> {
    return this.#call('list domains', () => this.machine.domains().map((domain) => this.#look(domain)).filter((domain) => domain !== null))
  }

  async find(id: string): Promise<Domain | null> {
    return this.#call('look up domain', () => {
      const domain = this.machine.get(id)
      return domain === undefined ? null : this.#look(domain)
    })
  }

  async define(spec: DomainSpec): Promise<void> {
    await this.#epochs.admit(spec.id, spec.epoch, () =>
      this.#call('define domain', () => {
        const existing = this.machine.get(spec.id)
        const named = this.machine.named(spec.domainName)
        if (existing?.spec === null || (named !== undefined && named.id !== spec.id)) {
          throw new OperationalError('HYPERVISOR_REFUSED', `Another domain on this host has the id ${spec.id} or the name ${spec.domainName}. It was left alone.`, { data: { foreign: true } })
        }
        if (existing !== undefined && existing.spec.epoch > spec.epoch) throw staleEpoch(spec.id, spec.epoch, existing.spec.epoch)
        this.machine.define(spec)
      }),
    )
  }

  async boot(id: string, epoch: number): Promise<void> {
    await this.#epochs.admit(id, epoch, () =>
      this.#callOwn('boot domain', id, (domain) => {
        const seen = domain.spec?.epoch ?? 0
        if (seen > epoch) throw staleEpoch(id, epoch, seen)
        if (domain.state === 'paused') this.machine.setPaused(domain, false)
        else if (!isExecuting(domain)) this.machine.boot(domain)
      }),
    )
  }

  async shutdown(id: string): Promise<void> {
    await this.#callOwn('shut down domain', id, (domain) => this.machine.askShutdown(domain))
  }

  async destroy(id: string): Promise<void> {
    await this.#callOwn('destroy domain', id, () => this.machine.destroy(id))
  }

  async reset(id: string): Promise<void> {
    await this.#callOn('reset', id, (domain) => this.machine.reset(domain))
  }

  async pause(id: string): Promise<void> {
    await this.#callOn('paused', id, (domain) => {
      if (domain.state !== 'paused') this.machine.setPaused(domain, true)
    })
  }

  async resume(id: string): Promise<void> {
    await this.#callOn('resumed', id, (domain) => {
      if (domain.state === 'paused') this.machine.setPaused(domain, false)
    })
  }

  async undefine(id: string): Promise<void> {
    await this.#call('undefine domain', () => {
      const domain = this.machine.get(id)
      if (domain === undefined || domain.spec === null) return
      if (!isOff(domain)) throw new OperationalError('STATE_CONFLICT', `Domain ${domain.name} is ${domain.state}; only one that is off can be forgotten.`)
      this.machine.remove(id)
    })
  }

  /** A guest with a NIC tells an address once it has booted. */
  async addresses(id: string): Promise<readonly string[]> {
    return this.#callOwn('ask the guest agent for addresses', id, (domain) => {
      const up = domain.state === 'running' && this.machine.clock.monotonicMs() - domain.bootedMs >= this.machine.faults.bootMs
      if (!up || domain.spec === null || domain.spec.nics.length === 0) throw new OperationalError('AGENT_UNAVAILABLE', `The guest agent of ${domain.name} does not answer.`)
      return domain.spec.nics.map((_, index) => `10.0.2.${15 + index}`)
    })
  }

  async stats(): Promise<readonly DomainStats[]> {
    return this.#call('read statistics', () => this.machine.domains().filter((domain) => domain.spec !== null && !isOff(domain)).map((domain) => statsOf(domain, this.machine.clock.monotonicMs())))
  }

  async console(id: string, signal: AbortSignal): Promise<ByteStream> {
    return this.#callOwn('open console', id, (domain) => {
      if (isOff(domain)) throw new OperationalError('CONSOLE_BUSY', `Domain ${domain.name} is off: it has no console.`)
      const stream = new SimConsole((bytes) => this.machine.type(domain, bytes), () => {
        if (domain.console === listener) domain.console = null
      })
      const listener = (bytes: Uint8Array | null): void => stream.received(bytes)
      domain.console?.(null)
      domain.console = listener
      signal.addEventListener('abort', () => stream.abort(), { once: true })
      if (signal.aborted) stream.abort()
      return stream
    })
  }

  /** The order to begin may be lost like any call; afterwards the machines go on by themselves, and only the answer can be lost. */
  async migrate(request: MigrateRequest, onProgress: (progress: MigrationProgress) => void, signal: AbortSignal): Promise<MigrationProgress> {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<MigrationProgress>()
    promise.catch(() => undefined)
    const pending: Pending = { reject }
    this.#pending.add(pending)
    const later = (action: () => void): void => void this.#clock.after(this.#latencyMs(), action)
    const abort = (): void => this.machine.transferOf(request.id)?.fail('aborted')
    signal.addEventListener('abort', abort, { once: true })
    try {
      await this.#callOn('migrated', request.id, (domain) => {
        const link = this.machine.links.get(request.sockets.control)
        if (link === undefined || !link.alive) throw new OperationalError('MIGRATION_FAILED', `The sockets of the migration of ${domain.name} lead nowhere.`)
        if (this.machine.transferOf(request.id) !== undefined) throw new OperationalError('MIGRATION_FAILED', `${domain.name} is being migrated already.`)
        const { migrateMsMin, migrateMsMax } = this.machine.faults
        const durationMs = migrateMsMin + this.machine.random.integer(migrateMsMax - migrateMsMin + 1)
        const transfer = new SimTransfer({ source: this.machine, domain, target: request.target, link, durationMs }, {
          onProgress: (progress) => later(() => onProgress(progress)),
          onEnd: (result) => later(() => (result instanceof OperationalError ? reject(result) : resolve(result))),
        })
        if (!transfer.over) this.machine.transferBegins(request.id, transfer)
      })
      if (signal.aborted) abort()
      return await promise
    } finally {
      signal.removeEventListener('abort', abort)
      this.#pending.delete(pending)
    }
  }

  async recoverMigration(id: string): Promise<'here' | 'gone' | 'off'> {
    return this.#callOwn('recover from a migration', id, (domain) => {
      this.machine.transferOf(id)?.fail('aborted')
      if (!isOff(domain)) return 'here'
      return domain.reason === 'migrated' ? 'gone' : 'off'
    })
  }

  async screen(id: string, signal: AbortSignal): Promise<ByteStream> {
    return this.#callOwn('open screen', id, (domain) => {
      if (isOff(domain)) throw new OperationalError('CONSOLE_BUSY', `Domain ${domain.name} is off: it has no screen.`)
      const stream = new SimScreen(domain.name, () => domain.screens.delete(stream))
      domain.screens.add(stream)
      signal.addEventListener('abort', () => stream.abort(), { once: true })
      if (signal.aborted) stream.abort()
      return stream
    })
  }

  watch(listener: (event: DomainEvent) => void): Cancel {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #callOwn<T>(what: string, id: string, effect: (domain: SimDomain) => T): Promise<T> {
    return this.#call(what, () => {
      const domain = this.machine.get(id)
      if (domain === undefined || domain.spec === null) throw new OperationalError('DOMAIN_MISSING', `Domain ${id} is not on this host.`)
      return effect(domain)
    })
  }

  #callOn(verb: string, id: string, effect: (domain: SimDomain) => void): Promise<void> {
    return this.#callOwn(verb, id, (domain) => {
      if (isOff(domain)) throw new OperationalError('STATE_CONFLICT', `Domain ${domain.name} is off: it cannot be ${verb}.`)
      effect(domain)
    })
  }

  /** There and back, each with its latency; on the way it may fail, hang, or be carried out without its answer ever coming. */
  async #call<T>(what: string, effect: () => T): Promise<T> {
    if (!this.#connected) throw new OperationalError('HYPERVISOR_UNREACHABLE', 'libvirt cannot be reached; it is tried again and again')
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const pending: Pending = { reject }
    this.#pending.add(pending)
    const cancelTimeout = this.#clock.after(this.#callTimeoutMs, () =>
      reject(new OperationalError('HYPERVISOR_TIMEOUT', `libvirt did not answer ${what} within ${this.#callTimeoutMs} ms; whether it was done is not known`)),
    )
    const hangs = this.machine.frozen || this.machine.chance(this.machine.faults.hangRatio)
    if (!hangs) this.#carryOut(what, effect, resolve, reject)
    else if (!this.machine.frozen && this.#random.integer(2) === 0) this.machine.arrive(this.#callTimeoutMs + this.#random.integer(lateMsMax), () => attempt(effect))
    try {
      return await promise
    } finally {
      cancelTimeout()
      this.#pending.delete(pending)
    }
  }

  #carryOut<T>(what: string, effect: () => T, resolve: (value: T) => void, reject: (error: unknown) => void): void {
    const fails = this.machine.chance(this.machine.faults.failRatio)
    const nevertheless = fails && this.#random.integer(2) === 0
    this.machine.arrive(this.#latencyMs(), () => {
      if (fails) {
        if (nevertheless) attempt(effect)
        this.#clock.after(this.#latencyMs(), () => reject(new OperationalError('HYPERVISOR_REFUSED', `libvirt refused ${what}: the simulated machine said so`)))
        return
      }
      try {
        const value = effect()
        this.#clock.after(this.#latencyMs(), () => resolve(value))
      } catch (error) {
        this.#clock.after(this.#latencyMs(), () => reject(error))
      }
    })
  }

  #look(domain: SimDomain): Domain | null {
    const { before } = domain
    const lies = before !== null && before.shown !== null && this.machine.clock.monotonicMs() < before.untilMs && this.machine.chance(this.machine.faults.lieRatio)
    return lies ? before.shown : this.machine.show(domain)
  }

  #heard(event: DomainEvent): void {
    if (event.kind === 'connected') this.#cancels.push(this.#clock.after(reconnectMs, () => this.#connect()))
    else if (event.kind === 'disconnected') this.#lose(event.detail)
    else if (this.#connected) this.#clock.after(this.#latencyMs(), () => this.#emit(event))
  }

  #keepalive(): void {
    if (!this.machine.frozen) {
      this.#misses = 0
      if (!this.#connected && this.machine.reachable) this.#connect()
    } else if (++this.#misses >= keepaliveMissesMax) {
      this.#lose('libvirt stopped answering')
    }
  }

  #connect(): void {
    if (this.#connected || !this.machine.reachable || this.machine.frozen) return
    this.#connected = true
    this.#emit({ kind: 'connected' })
  }

  #lose(detail: string): void {
    if (!this.#connected) return
    this.#connected = false
    for (const pending of this.#pending) pending.reject(new OperationalError('HYPERVISOR_UNREACHABLE', `no answer: ${detail}`))
    this.#emit({ kind: 'disconnected', detail })
  }

  #emit(event: DomainEvent): void {
    for (const listener of this.#listeners) listener(event)
  }

  #latencyMs(): number {
    const { latencyMsMin, latencyMsMax } = this.machine.faults
    return latencyMsMin + ((latencyMsMax - latencyMsMin) * this.#random.integer(1000)) / 1000
  }
}

function isOff(domain: SimDomain): boolean {
  return domain.state === 'off' || domain.state === 'crashed'
}

/** Carried out without anybody to tell: a refusal then is nobody's business. */
function attempt(effect: () => unknown): void {
  try {
    effect()
  } catch (error) {
    if (!(error instanceof OperationalError)) throw error
  }
}
