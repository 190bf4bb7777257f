// What a VM's owner has to do next: (wish, running operation, what the hypervisor shows) → actions, pure.
import type { Domain } from '../ports/hypervisor.ts'
import { operationKinds, type StoredOperation, type VmStep } from '../model/operation.ts'
import { isOnItsWay, type StoredVm, type VmPhase } from '../model/vm.ts'

/** In order; after the last one the VM is planned anew. */
export type VmActionStep =
  /** Make missing volumes, then define the domain as the spec says. */
  | { readonly kind: 'prepare' }
  | { readonly kind: 'boot' | 'shutdown' | 'destroy' | 'pause' | 'resume' | 'reset' }
  /** Undefine the domain and delete its volumes. */
  | { readonly kind: 'remove' }
  /** Not ours any more: cut its power and forget the domain; its volumes stay. */
  | { readonly kind: 'evict' }
  /** The guest powered itself off: the wish follows. */
  | { readonly kind: 'guestStopped' }
  /** The running operation's step has come true. */
  | { readonly kind: 'stepDone'; readonly operationId: string; readonly step: number }
  /** Look again then. */
  | { readonly kind: 'wait'; readonly delayMs: number; readonly because: 'shutdown' | 'crashes' }

export type VmObservation = {
  readonly domain: Domain | null
  /** Digest of the domain that the spec asks for. */
  readonly definition: string
  /** Every volume that the spec names exists. */
  readonly volumesReady: boolean
  /** How long ago this controller asked the guest to power off; null where it has not. */
  readonly shutdownAskedMs: number | null
  /** This controller booted it at the present generation. */
  readonly bootedHere: boolean
  /** This controller has asked the guest to power off not long ago, for a wish that may be over: it may obey yet. */
  readonly askedLately: boolean
  /** A guest that ends again and again is not started before so long. */
  readonly bootDelayMs: number
  /** The reset of the running operation was made. */
  readonly resetDone: boolean
}

/** A guest that ignores the power button is asked again this often until it is forced. */
export const shutdownRepeatMs = 5_000

type Want = 'on' | 'off' | 'paused'

/** Plans for the VM's owner. */
export function planVm(vm: StoredVm, operation: StoredOperation | null, seen: VmObservation): readonly VmActionStep[] {
  const step = currentStep(operation)
  if (step === 'remove') return planRemoval(operation!, seen)
  if (step === 'reset') return planReset(operation!, seen)
  if (isHalfDeleted(vm, step)) return []
  const want = wantOf(vm, step)
  const actions = planTowards(vm, { want, step, force: operation?.spec.force ?? false, timeoutMs: timeoutMsOf(vm, operation) }, seen)
  if (operation !== null && step !== null && actions.length === 0) return [{ kind: 'stepDone', operationId: operation.id, step: operation.step }]
  return actions
}

/** A delete failed past the point of no return: nothing is made anew, for its disks would be empty. It waits to be deleted again. */
export function isHalfDeleted(vm: StoredVm, step: VmStep | null): boolean {
  return vm.deleting && step === null
}

/** Plans for a node that has a domain of a VM that is another node's. */
export function planForeign(domain: Domain | null): readonly VmActionStep[] {
  return domain === null ? [] : [{ kind: 'evict' }]
}

export function currentStep(operation: StoredOperation | null): VmStep | null {
  if (operation === null || operation.state !== 'running') return null
  return operationKinds[operation.spec.operation][operation.step] ?? null
}

function timeoutMsOf(vm: StoredVm, operation: StoredOperation | null): number {
  return (operation === null || operation.spec.timeoutSeconds === 0 ? vm.spec.stopTimeoutSeconds : operation.spec.timeoutSeconds) * 1000
}

function wantOf(vm: StoredVm, step: VmStep | null): Want {
  if (step === 'shutdown') return 'off'
  if (step === 'boot' || step === 'resume') return 'on'
  if (step === 'pause') return 'paused'
  if (vm.spec.runState === 'stopped') return 'off'
  return vm.spec.runState === 'paused' ? 'paused' : 'on'
}

function planTowards(
  vm: StoredVm,
  goal: { readonly want: Want; readonly step: VmStep | null; readonly force: boolean; readonly timeoutMs: number },
  seen: VmObservation,
): readonly VmActionStep[] {
  const state = seen.domain?.state ?? 'off'
  const prepared = seen.domain !== null && seen.domain.definition === seen.definition && seen.volumesReady
  const prepare: readonly VmActionStep[] = prepared ? [] : [{ kind: 'prepare' }]
  if (goal.want === 'off') {
    if (state === 'off' || state === 'crashed') return goal.step === null ? prepare : []
    return planPowerOff(goal, seen)
  }
  if (state === 'off' && goal.step === null && poweredItselfOff(vm, seen)) return [{ kind: 'guestStopped' }]
  if ((state === 'off' || state === 'crashed') && goal.step === null && seen.bootDelayMs > 0) return [{ kind: 'wait', delayMs: seen.bootDelayMs, because: 'crashes' }]
  if (state === 'crashed') return [{ kind: 'destroy' }, ...prepare, { kind: 'boot' }]
  if (state === 'off') {
    return goal.want === 'paused' ? [...prepare, { kind: 'boot' }, { kind: 'pause' }] : [...prepare, { kind: 'boot' }]
  }
  if (goal.want === 'paused') return state === 'paused' ? prepare : [...prepare, { kind: 'pause' }]
  return state === 'paused' ? [...prepare, { kind: 'resume' }] : prepare
}

function planPowerOff(goal: { readonly force: boolean; readonly timeoutMs: number }, seen: VmObservation): readonly VmActionStep[] {
  // A paused guest cannot hear the button.
  if (goal.force || seen.domain?.state === 'paused') return [{ kind: 'destroy' }]
  if (seen.shutdownAskedMs === null) return [{ kind: 'shutdown' }, { kind: 'wait', delayMs: Math.min(shutdownRepeatMs, goal.timeoutMs), because: 'shutdown' }]
  const leftMs = goal.timeoutMs - seen.shutdownAskedMs
  if (leftMs <= 0) return [{ kind: 'destroy' }]
  return [{ kind: 'shutdown' }, { kind: 'wait', delayMs: Math.min(shutdownRepeatMs, leftMs), because: 'shutdown' }]
}

/** It ran, nobody wished it off, and the hypervisor says that the guest itself shut down. */
function poweredItselfOff(vm: StoredVm, seen: VmObservation): boolean {
  if (seen.domain?.reason !== 'shutdown' || seen.askedLately) return false
  return vm.report.phase === 'running' || vm.report.phase === 'paused' || seen.bootedHere
}

function planRemoval(operation: StoredOperation, seen: VmObservation): readonly VmActionStep[] {
  const off = seen.domain === null || seen.domain.state === 'off'
  return [...(off ? [] : [{ kind: 'destroy' } as const]), { kind: 'remove' }, { kind: 'stepDone', operationId: operation.id, step: operation.step }]
}

function planReset(operation: StoredOperation, seen: VmObservation): readonly VmActionStep[] {
  const done = { kind: 'stepDone', operationId: operation.id, step: operation.step } as const
  return seen.resetDone || seen.domain === null || seen.domain.state === 'off' ? [done] : [{ kind: 'reset' }, done]
}

/** What the controller reports once it has nothing more to do: only phases that last. */
export function lastingPhase(domain: Domain | null): VmPhase {
  if (domain === null) return 'pending'
  if (domain.state === 'running' || domain.state === 'shuttingDown') return 'running'
  if (domain.state === 'paused') return 'paused'
  return domain.state === 'crashed' ? 'failed' : 'stopped'
}

/**
 * The phase people see: what was reported, what is going on, and whether its node was heard of. Computed at read, never stored.
 * @param heard the owning node is in touch; without that a VM's phase is not known
 */
export function shownPhase(vm: StoredVm, operation: StoredOperation | null, heard: boolean): VmPhase {
  if (!heard) return 'unknown'
  const { phase } = vm.report
  const step = currentStep(operation)
  if (isOnItsWay(vm)) return 'migrating'
  if (vm.deleting) return isHalfDeleted(vm, step) ? 'failed' : 'deleting'
  if (step === 'shutdown') return phase === 'stopped' ? 'stopped' : 'stopping'
  if (step === 'boot') return phase === 'running' ? 'running' : 'starting'
  if (phase === 'failed') return 'failed'
  const runs = phase === 'running' || phase === 'paused'
  if (vm.spec.runState === 'stopped') return runs ? 'stopping' : phase
  return runs ? phase : 'starting'
}
