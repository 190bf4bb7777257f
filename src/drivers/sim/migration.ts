// A migration as two simulated machines carry it out: it goes on without the daemon, and ends wherever a link, a host or a guest ends it.
import { OperationalError } from '../../model/error.ts'
import type { Cancel } from '../../ports/clock.ts'
import type { DomainSpec, MigrationProgress } from '../../ports/hypervisor.ts'
import { isExecuting, type SimDomain, type SimMachine } from './machine.ts'
import type { SimLink } from './relay.ts'

const tickMs = 50
const memoryShare = 0.25
const mebibyte = 2 ** 20
/** Each of the switch's messages takes so long. */
const switchMsMax = 25
/** A target whose source is gone drops what came in within so long. */
const dropMsMax = 400

/**
 *   copying ──→ handed over ──→ (answer) ──→ gone: the source's guest has ended
 *      └──────────┴─ failed: the source's guest goes on; what the target holds stays paused or is dropped
 *
 * As libvirt does: the source ends its guest only after the target said that it holds all of it; where that answer is lost the source goes on.
 */
export class SimTransfer {
  readonly #source: SimMachine
  readonly #target: SimMachine
  readonly #domain: SimDomain
  readonly #link: SimLink
  readonly #run: number
  readonly #wasPaused: boolean
  readonly #onProgress: (progress: MigrationProgress) => void
  readonly #onEnd: (result: MigrationProgress | OperationalError) => void
  readonly #beganMs: number
  readonly #durationMs: number
  readonly #totalBytes: number
  #cancel: Cancel = () => undefined
  #processedBytes = 0
  #pausedMs = 0
  #handedOver = false
  #over = false

  /** Begins at once; the caller has seen that the domain is on and the link alive. */
  constructor(
    options: { readonly source: SimMachine; readonly domain: SimDomain; readonly target: DomainSpec; readonly link: SimLink; readonly durationMs: number },
    listeners: { readonly onProgress: (progress: MigrationProgress) => void; readonly onEnd: (result: MigrationProgress | OperationalError) => void },
  ) {
    const { source, domain, link } = options
    this.#source = source
    this.#domain = domain
    this.#link = link
    this.#target = link.machine
    this.#run = domain.run
    this.#wasPaused = domain.state === 'paused'
    this.#durationMs = options.durationMs
    this.#totalBytes = ((domain.spec?.memoryMiB ?? 64) + 64 * (domain.spec?.disks.length ?? 0)) * mebibyte
    this.#beganMs = source.clock.monotonicMs()
    this.#onProgress = listeners.onProgress
    this.#onEnd = listeners.onEnd
    link.onBroken((reason) => this.fail(`the connection was cut: ${reason}`))
    if (this.#target.get(domain.id) !== undefined || !this.#target.reachable) this.fail('the target refused it')
    else {
      this.#target.receive(options.target)
      this.#later(tickMs, () => this.#tick())
    }
  }

  get over(): boolean {
    return this.#over
  }

  /** Ends it here and now; afterwards the source's guest goes on, unless it was gone already. */
  fail(why: string): void {
    if (this.#over) return
    this.#over = true
    this.#cancel()
    this.#source.transferOver(this.#domain.id)
    const { id } = this.#domain
    if (this.#domain.run === this.#run && this.#domain.state === 'paused' && !this.#wasPaused) this.#source.setPaused(this.#domain, false)
    // What the target holds whole it keeps, paused; half of a guest it drops once it notices.
    if (!this.#handedOver) this.#target.arrive(this.#source.random.integer(dropMsMax), () => this.#target.dropIncoming(id))
    this.#onEnd(new OperationalError('MIGRATION_FAILED', `The migration failed: ${why}. The guest stayed where it was.`))
  }

  #tick(): void {
    const { state, run } = this.#domain
    if (run !== this.#run || !(isExecuting(this.#domain) || state === 'paused')) return this.fail('the guest ended')
    if (!this.#source.reachable || !this.#target.reachable) return this.fail('libvirt went away')
    if (this.#target.get(this.#domain.id)?.incoming !== true) return this.fail('the target lost it')
    if (!this.#link.stuck && !this.#source.frozen && !this.#target.frozen) this.#processedBytes += Math.ceil((this.#totalBytes * tickMs) / this.#durationMs)
    this.#link.bytes = Math.min(this.#processedBytes, this.#totalBytes)
    if (this.#processedBytes >= this.#totalBytes) return this.#switch()
    this.#onProgress(this.#progress(this.#processedBytes < this.#totalBytes * (1 - memoryShare) ? 'disks' : 'memory', null))
    this.#later(tickMs, () => this.#tick())
  }

  /** The source's vCPUs stop; the rest of the state goes over; the target says that it has it; the source ends. */
  #switch(): void {
    if (!this.#wasPaused) this.#source.setPaused(this.#domain, true)
    this.#pausedMs = this.#source.clock.monotonicMs()
    this.#onProgress(this.#progress('switching', null))
    this.#message(() => {
      this.#handedOver = this.#target.complete(this.#domain.id)
      if (!this.#handedOver) return this.fail('the target lost it')
      this.#message(() => this.#end())
    })
  }

  #end(): void {
    if (this.#domain.run !== this.#run) return this.fail('the guest ended')
    this.#over = true
    this.#source.transferOver(this.#domain.id)
    this.#source.endMigrated(this.#domain.id)
    this.#onEnd(this.#progress('switching', Math.round(this.#source.clock.monotonicMs() - this.#pausedMs)))
  }

  #message(action: () => void): void {
    this.#later(1 + this.#source.random.integer(switchMsMax), () => {
      if (!this.#source.reachable) this.fail('libvirt went away')
      else if (this.#link.stuck || !this.#target.reachable || this.#target.frozen || this.#source.frozen) this.#message(action)
      else action()
    })
  }

  /** On the source's host; lost when its power is cut. */
  #later(delayMs: number, action: () => void): void {
    this.#cancel = this.#source.clock.after(delayMs, () => {
      if (!this.#over) action()
    })
  }

  #progress(phase: MigrationProgress['phase'], downtimeMs: number | null): MigrationProgress {
    const processedBytes = Math.min(this.#processedBytes, this.#totalBytes)
    return {
      phase, totalBytes: this.#totalBytes, processedBytes, remainingBytes: this.#totalBytes - processedBytes,
      elapsedMs: Math.round(this.#source.clock.monotonicMs() - this.#beganMs), downtimeMs,
    }
  }
}
