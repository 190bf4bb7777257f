// What a VM's owner does, as a table: wish × operation × what the hypervisor shows → actions.
import { describe, expect, test } from 'vitest'
import type { StoredOperation, OperationKind } from '../../../src/model/operation.ts'
import { operationKinds } from '../../../src/model/operation.ts'
import { vmSpecSchema, type RunState, type StoredVm, type VmPhase } from '../../../src/model/vm.ts'
import { planForeign, planVm, shownPhase, type VmObservation } from '../../../src/planner/vm.ts'
import type { Domain, DomainState, OffReason } from '../../../src/ports/hypervisor.ts'

function vm(runState: RunState, phase: VmPhase = 'stopped'): StoredVm {
  return {
    id: 'vm', kind: 'vm', name: 'web', project: 'default', labels: {}, revision: 1, generation: 3,
    spec: vmSpecSchema.parse({ cpus: 1, memoryMiB: 128, runState }),
    domainName: 'web.1', images: {}, assignment: null, deleting: false, createdMs: 0,
    report: { phase, observedGeneration: 3, addresses: [], message: '', code: '', restartNeeded: false },
    phaseSinceMs: 0, cause: { commandId: 'c', actor: 'admin' }, operationId: null,
  }
}

function operation(kind: OperationKind, step = 0, force = false): StoredOperation {
  return {
    id: 'op', kind: 'operation', name: 'op', project: 'default', labels: {}, revision: 1, generation: 1,
    spec: { operation: kind, target: { kind: 'vm', id: 'vm', name: 'web' }, force, timeoutSeconds: 60 },
    state: 'running', step, steps: operationKinds[kind].map(() => ({ startedMs: 0, endedMs: null })),
    nodeId: 'n', actor: 'admin', commandId: 'c', startedMs: 0, endedMs: null, error: null, formerRunState: 'running',
  }
}

function seen(state: DomainState | 'none', changes: Partial<VmObservation> & { readonly reason?: OffReason; readonly definition?: string } = {}): VmObservation {
  const { reason = 'none', ...rest } = changes
  const domain: Domain | null = state === 'none' ? null : { id: 'vm', domainName: 'web.1', state, reason, epoch: 1, definition: changes.definition ?? 'now' }
  return { domain, volumesReady: true, shutdownAskedMs: null, bootedHere: false, askedLately: false, bootDelayMs: 0, resetDone: false, ...rest, definition: 'now' }
}

const plan = (...input: Parameters<typeof planVm>) => planVm(...input).map((action) => (action.kind === 'stepDone' ? `stepDone ${action.step}` : action.kind))

describe('without an operation', () => {
  test.each<[string, StoredVm, VmObservation, string[]]>([
    ['new and wished on', vm('running', 'pending'), seen('none', { volumesReady: false }), ['prepare', 'boot']],
    ['new and wished off', vm('stopped', 'pending'), seen('none', { volumesReady: false }), ['prepare']],
    ['off after the host came back', vm('running', 'running'), seen('off', { reason: 'unknown' }), ['boot']],
    ['destroyed behind our back', vm('running', 'running'), seen('off', { reason: 'destroyed' }), ['boot']],
    ['crashed', vm('running', 'running'), seen('crashed', { reason: 'crashed' }), ['destroy', 'boot']],
    ['powered itself off', vm('running', 'running'), seen('off', { reason: 'shutdown' }), ['guestStopped']],
    ['powered itself off before it was seen running', vm('running', 'pending'), seen('off', { reason: 'shutdown', bootedHere: true }), ['guestStopped']],
    ['was stopped, wished on again', vm('running', 'stopped'), seen('off', { reason: 'shutdown' }), ['boot']],
    ['runs as wished', vm('running', 'running'), seen('running'), []],
    ['runs with an old definition', vm('running', 'running'), seen('running', { definition: 'old' }), ['prepare']],
    ['paused behind our back', vm('running', 'running'), seen('paused'), ['resume']],
    ['started behind our back', vm('stopped'), seen('running'), ['shutdown', 'wait']],
    ['ignores the button for too long', vm('stopped'), seen('running', { shutdownAskedMs: 60_000 }), ['destroy']],
    ['paused, wished off', vm('stopped'), seen('paused'), ['destroy']],
    ['half deleted', { ...vm('running', 'failed'), deleting: true }, seen('none', { volumesReady: false }), []],
    ['undefined behind our back', vm('running', 'running'), seen('none'), ['prepare', 'boot']],
    ['obeys a stop that was cancelled', vm('running', 'running'), seen('off', { reason: 'shutdown', askedLately: true }), ['boot']],
    ['crashes again and again', vm('running', 'running'), seen('crashed', { bootDelayMs: 1000 }), ['wait']],
    ['off, wished paused', vm('paused'), seen('off'), ['boot', 'pause']],
    ['running, wished paused', vm('paused'), seen('running'), ['pause']],
  ])('%s', (_name, wished, observed, actions) => expect(plan(wished, null, observed)).toEqual(actions))
})

describe('with an operation', () => {
  test.each<[string, StoredVm, StoredOperation, VmObservation, string[]]>([
    ['start, off', vm('running'), operation('vm-start'), seen('off', { reason: 'shutdown' }), ['boot']],
    ['start of what crashed again and again', vm('running'), operation('vm-start'), seen('off', { bootDelayMs: 1000 }), ['boot']],
    ['start, came true', vm('running'), operation('vm-start'), seen('running'), ['stepDone 0']],
    ['stop, asked', vm('stopped', 'running'), operation('vm-stop'), seen('running'), ['shutdown', 'wait']],
    ['stop, waiting', vm('stopped', 'running'), operation('vm-stop'), seen('shuttingDown', { shutdownAskedMs: 1000 }), ['shutdown', 'wait']],
    ['stop, over time', vm('stopped', 'running'), operation('vm-stop'), seen('running', { shutdownAskedMs: 60_001 }), ['destroy']],
    ['stop, forced', vm('stopped', 'running'), operation('vm-stop', 0, true), seen('running'), ['destroy']],
    ['stop, came true', vm('stopped', 'running'), operation('vm-stop'), seen('off', { reason: 'shutdown' }), ['stepDone 0']],
    ['restart, going down', vm('running', 'running'), operation('vm-restart'), seen('running'), ['shutdown', 'wait']],
    ['restart, is down', vm('running', 'running'), operation('vm-restart'), seen('off', { reason: 'shutdown' }), ['stepDone 0']],
    ['restart, coming up', vm('running', 'stopped'), operation('vm-restart', 1), seen('off', { reason: 'shutdown' }), ['boot']],
    ['reset', vm('running', 'running'), operation('vm-reset'), seen('running'), ['reset', 'stepDone 0']],
    ['reset, made before a crash of ours', vm('running', 'running'), operation('vm-reset'), seen('running', { resetDone: true }), ['stepDone 0']],
    ['pause', vm('paused', 'running'), operation('vm-pause'), seen('running'), ['pause']],
    ['delete, still on', vm('stopped', 'running'), operation('vm-delete', 0, true), seen('running'), ['destroy']],
    ['delete, remove', vm('stopped', 'stopped'), operation('vm-delete', 1), seen('off'), ['remove', 'stepDone 1']],
    ['delete, remove again after a crash of ours', vm('stopped', 'stopped'), operation('vm-delete', 1), seen('none'), ['remove', 'stepDone 1']],
    ['delete of what was never made', vm('stopped', 'pending'), operation('vm-delete'), seen('none', { volumesReady: false }), ['stepDone 0']],
  ])('%s', (_name, wished, running, observed, actions) => expect(plan(wished, running, observed)).toEqual(actions))
})

test('a domain of a VM that is another node\'s is cut off', () => {
  expect(planForeign(seen('running').domain)).toEqual([{ kind: 'evict' }])
  expect(planForeign(null)).toEqual([])
})

describe('the phase people see', () => {
  test.each<[string, StoredVm, StoredOperation | null, boolean, VmPhase]>([
    ['wished on, not seen yet', vm('running', 'pending'), null, true, 'starting'],
    ['wished off, still seen', vm('stopped', 'running'), null, true, 'stopping'],
    ['node not heard of', vm('running', 'running'), null, false, 'unknown'],
    ['failed', vm('running', 'failed'), null, true, 'failed'],
    ['restart going down', vm('running', 'running'), operation('vm-restart'), true, 'stopping'],
    ['restart coming up', vm('running', 'stopped'), operation('vm-restart', 1), true, 'starting'],
    ['being deleted', { ...vm('stopped', 'stopped'), deleting: true }, operation('vm-delete', 1), true, 'deleting'],
    ['half deleted', { ...vm('stopped', 'pending'), deleting: true }, null, true, 'failed'],
    ['as wished', vm('paused', 'paused'), null, true, 'paused'],
  ])('%s', (_name, wished, running, heard, phase) => expect(shownPhase(wished, running, heard)).toBe(phase))
})
