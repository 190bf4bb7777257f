// What a VM controller remembers between two looks, and may forget: timers, addresses, what it booted.
import type { StoredOperation } from '../model/operation.ts'
import type { StoredVm } from '../model/vm.ts'
import type { VmObservation } from '../planner/vm.ts'
import type { Clock } from '../ports/clock.ts'

/** A guest's agent is asked at most this often. */
const askPeriodMs = 2_500
/** A guest without agent is not polled for ever; the resync goes on asking. */
const pollsMax = 20

/** A guest that was asked to power off may obey as late as this. */
const obeyMsMax = 120_000
/** A guest that ran longer than this did not end because it was started. */
const steadyMsMin = 120_000
const bootDelayMsMin = 1_000
const bootDelayMsMax = 30_000

export type Fault = { readonly code: string; readonly message: string }

type Remembered = {
  shutdownAskedAtMs: number | null
  /** The operation the asking belongs to; another one begins its time-out anew. */
  shutdownFor: string | null
  /** Why the guest could not be asked in this stop, the first time. */
  shutdownFault: Fault | null
  bootedGeneration: number | null
  bootDefinition: string | null
  resetFor: string | null
  /** When the guest was last asked to power off, whatever came of the wish. */
  lastAskedAtMs: number
  bootedAtMs: number
  /** Boots in a row, each not long after the one before, that nobody commanded. */
  repeatedBoots: number
  /** Since when it cannot be seen to, for which operation; null while it can. */
  troubled: { readonly operationId: string; readonly sinceMs: number } | null
  addresses: readonly string[]
  askedAtMs: number
  polls: number
  /** `JSON of cloudInit` → path, written in this process's life. */
  seed: { readonly key: string; readonly path: string | null } | null
}

export class VmMemory {
  readonly #clock: Clock
  readonly #byId = new Map<string, Remembered>()
  readonly #orphans = new Set<string>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  has(id: string): boolean {
    return this.#byId.has(id)
  }

  /** The parts of an observation that only this controller knows. */
  of(vm: StoredVm, operation: StoredOperation | null): Pick<VmObservation, 'shutdownAskedMs' | 'bootedHere' | 'askedLately' | 'bootDelayMs' | 'resetDone'> {
    const memory = this.#get(vm.id)
    const nowMs = this.#clock.monotonicMs()
    const sameReason = memory.shutdownFor === (operation?.id ?? '')
    return {
      shutdownAskedMs: memory.shutdownAskedAtMs !== null && sameReason ? nowMs - memory.shutdownAskedAtMs : null,
      bootedHere: memory.bootedGeneration === vm.generation,
      askedLately: nowMs - memory.lastAskedAtMs < obeyMsMax,
      bootDelayMs: Math.max(0, bootDelayOf(memory.repeatedBoots) - (nowMs - memory.bootedAtMs)),
      resetDone: operation !== null && memory.resetFor === operation.id,
    }
  }

  shutdownAsked(id: string, operation: StoredOperation | null): void {
    const memory = this.#get(id)
    const reason = operation?.id ?? ''
    memory.lastAskedAtMs = this.#clock.monotonicMs()
    if (memory.shutdownAskedAtMs !== null && memory.shutdownFor === reason) return
    memory.shutdownAskedAtMs = this.#clock.monotonicMs()
    memory.shutdownFor = reason
    memory.shutdownFault = null
  }

  /** @returns the first fault of this stop, and whether it is this one */
  shutdownRefused(id: string, fault: Fault): Fault & { readonly isNews: boolean } {
    const memory = this.#get(id)
    const isNews = memory.shutdownFault === null
    memory.shutdownFault ??= fault
    return { ...memory.shutdownFault, isNews }
  }

  booted(vm: StoredVm, operation: StoredOperation | null): void {
    const memory = this.#get(vm.id)
    const nowMs = this.#clock.monotonicMs()
    memory.repeatedBoots = operation === null && nowMs - memory.bootedAtMs < steadyMsMin ? memory.repeatedBoots + 1 : 0
    memory.bootedAtMs = nowMs
    memory.lastAskedAtMs = Number.NEGATIVE_INFINITY
    memory.bootedGeneration = vm.generation
    memory.bootDefinition = null
    memory.addresses = []
    memory.polls = 0
    memory.askedAtMs = Number.NEGATIVE_INFINITY
  }

  resetMade(id: string, operation: StoredOperation | null): void {
    this.#get(id).resetFor = operation?.id ?? null
  }

  settled(id: string): void {
    this.#get(id).shutdownAskedAtMs = null
  }

  /** A look ended without a fault. */
  managed(id: string): void {
    const memory = this.#byId.get(id)
    if (memory !== undefined) memory.troubled = null
  }

  /** How long nothing but faults has come of an operation, milliseconds; called at each fault. */
  troubledMs(id: string, operation: StoredOperation): number {
    const memory = this.#get(id)
    const nowMs = this.#clock.monotonicMs()
    if (memory.troubled?.operationId !== operation.id) memory.troubled = { operationId: operation.id, sinceMs: nowMs }
    return nowMs - memory.troubled.sinceMs
  }

  /** Was the running domain booted from another definition? What was booted before this process began is known only from its report. */
  isBehind(vm: StoredVm, definition: string): boolean {
    const memory = this.#get(vm.id)
    memory.bootDefinition ??= definition
    if (memory.bootedGeneration === null && vm.report.restartNeeded) return true
    return memory.bootDefinition !== definition
  }

  addresses(id: string): readonly string[] {
    return this.#get(id).addresses
  }

  learned(id: string, addresses: readonly string[]): void {
    this.#get(id).addresses = addresses.slice(0, 64).toSorted()
  }

  mayAsk(id: string): boolean {
    const memory = this.#get(id)
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - memory.askedAtMs < askPeriodMs) return false
    memory.askedAtMs = nowMs
    return true
  }

  mayPoll(id: string): boolean {
    return this.#get(id).polls++ < pollsMax
  }

  seeded(vm: StoredVm, path: string | null): void {
    this.#get(vm.id).seed = { key: seedKey(vm), path }
  }

  /** The seed is written anew once in each process's life: it is small, and what lies there may be of an older spec. */
  hasSeed(vm: StoredVm): boolean {
    return vm.spec.cloudInit === undefined || this.#get(vm.id).seed?.key === seedKey(vm)
  }

  seedPath(vm: StoredVm): string | null {
    return vm.spec.cloudInit === undefined ? null : (this.#get(vm.id).seed?.path ?? null)
  }

  forget(id: string): void {
    this.#byId.delete(id)
  }

  /** True the first time. */
  orphanIsNews(id: string): boolean {
    if (this.#orphans.has(id)) return false
    this.#orphans.add(id)
    return true
  }

  #get(id: string): Remembered {
    const known = this.#byId.get(id)
    if (known !== undefined) return known
    const fresh: Remembered = {
      shutdownAskedAtMs: null, shutdownFor: null, shutdownFault: null, bootedGeneration: null, bootDefinition: null, resetFor: null,
      lastAskedAtMs: Number.NEGATIVE_INFINITY, bootedAtMs: Number.NEGATIVE_INFINITY, repeatedBoots: 0, troubled: null,
      addresses: [], askedAtMs: Number.NEGATIVE_INFINITY, polls: 0, seed: null,
    }
    this.#byId.set(id, fresh)
    return fresh
  }
}

function bootDelayOf(repeatedBoots: number): number {
  return repeatedBoots === 0 ? 0 : Math.min(bootDelayMsMax, bootDelayMsMin * 2 ** (repeatedBoots - 1))
}

function seedKey(vm: StoredVm): string {
  return JSON.stringify([vm.name, vm.spec.cloudInit ?? null])
}
