// Operations: a step that ended brings the next; cancel and failure put the wish back.
import type { CommandOf } from '../model/command.ts'
import { operationKinds, type StoredOperation } from '../model/operation.ts'
import type { RunState, StoredVm } from '../model/vm.ts'
import type { Outcome } from './apply.ts'
import { advance, cancelMove, isMove, stepsOf } from './migration.ts'
import { Refusal, type Transaction } from './transaction.ts'
import { sayOfVm } from './vm-event.ts'

export function applyToOperation(transaction: Transaction, command: CommandOf<'operation.step' | 'operation.cancel' | 'operation.advance'>): Outcome {
  if (command.type === 'operation.advance') return advance(transaction, command.payload)
  const operation = transaction.require('operation', command.payload.id)
  if (command.type === 'operation.cancel') return cancel(transaction, operation)
  const { payload } = command
  // A step reported twice, or by a former owner, changes nothing.
  if (isMove(operation) || operation.state !== 'running' || operation.step !== payload.step || operation.nodeId !== payload.nodeId) return { id: operation.id }
  if (payload.outcome.kind === 'failed') {
    const { code, message } = payload.outcome
    endOperation(transaction, operation, { state: 'failed', error: { code, message } })
    releaseTarget(transaction, operation)
    return { id: operation.id }
  }
  const steps = operation.steps.map((step, at) => {
    if (at === operation.step) return { ...step, endedMs: transaction.timeMs }
    return at === operation.step + 1 ? { ...step, startedMs: transaction.timeMs } : step
  })
  if (operation.step + 1 < operation.steps.length) {
    transaction.put('operation', operation.id, { ...operation, steps, step: operation.step + 1, revision: transaction.index })
    say(transaction, operation, `is at step ${operationKinds[operation.spec.operation][operation.step + 1]}`, 'operation.step')
    return { id: operation.id }
  }
  endOperation(transaction, { ...operation, steps }, { state: 'done', error: null })
  finishTarget(transaction, operation)
  return { id: operation.id }
}

export function isCancellable(operation: StoredOperation): boolean {
  if (operation.state !== 'running') return false
  if (isMove(operation)) return operation.move.direction === 'forward' && stepsOf(operation)[operation.step]?.returns === true
  const step = operationKinds[operation.spec.operation][operation.step]
  return step !== 'remove' && step !== 'reset'
}

function cancel(transaction: Transaction, operation: StoredOperation): Outcome {
  if (operation.state !== 'running') throw new Refusal('STATE_CONFLICT', `Operation ${operation.name} is ${operation.state} already.`)
  if (isMove(operation)) return cancelMove(transaction, operation)
  if (!isCancellable(operation)) throw new Refusal('STATE_CONFLICT', `Operation ${operation.name} is past the point where it can be cancelled.`)
  endOperation(transaction, operation, { state: 'cancelled', error: { code: 'CANCELLED', message: `${transaction.actor.name} cancelled it.` } })
  releaseTarget(transaction, operation)
  return { id: operation.id }
}

/** Marks an operation as ended. The target is settled by the caller. */
export function endOperation(transaction: Transaction, operation: StoredOperation, end: { readonly state: 'done' | 'failed' | 'cancelled'; readonly error: StoredOperation['error'] }): void {
  const steps = operation.steps.map((step) => (step.startedMs !== null && step.endedMs === null ? { ...step, endedMs: transaction.timeMs } : step))
  transaction.put('operation', operation.id, { ...operation, ...end, steps, endedMs: transaction.timeMs, revision: transaction.index })
  say(transaction, operation, end.error === null ? `is ${end.state}` : `is ${end.state}: ${end.error.message}`, `operation.${end.state}`)
}

/**
 * Frees the VM from an operation that did not succeed; the wish goes back to what it was. Where a delete had begun to remove things there is
 * no way back: made anew, the disks would be empty.
 */
function releaseTarget(transaction: Transaction, operation: StoredOperation): void {
  const vm = transaction.get('vm', operation.spec.target.id)
  if (vm === undefined || vm.operationId !== operation.id) return
  const runState = operation.formerRunState === null ? vm.spec.runState : (operation.formerRunState as RunState)
  const removing = operationKinds[operation.spec.operation][operation.step] === 'remove'
  const next: StoredVm = {
    ...vm, revision: transaction.index, operationId: null, deleting: vm.deleting && (removing || operation.formerRunState === null),
    spec: { ...vm.spec, runState },
    generation: runState === vm.spec.runState ? vm.generation : vm.generation + 1,
  }
  transaction.put('vm', vm.id, next)
  const message = next.deleting ? `VM ${vm.name} is half deleted: delete it again` : `VM ${vm.name} is free again`
  sayOfVm(transaction, vm, { type: 'updated', message, reason: 'vm.released' })
}

function finishTarget(transaction: Transaction, operation: StoredOperation): void {
  const vm = transaction.get('vm', operation.spec.target.id)
  if (vm === undefined || vm.operationId !== operation.id) return
  if (operation.spec.operation === 'vm-delete') {
    transaction.delete('vm', vm.id)
    sayOfVm(transaction, vm, { type: 'deleted', message: `VM ${vm.name} was deleted`, reason: 'vm.deleted', actor: operation.actor })
    return
  }
  transaction.put('vm', vm.id, { ...vm, operationId: null, revision: transaction.index })
  sayOfVm(transaction, vm, { type: 'updated', message: `VM ${vm.name}: ${operation.spec.operation} is done`, reason: 'vm.released', actor: operation.actor })
}

function say(transaction: Transaction, operation: StoredOperation, what: string, reason: string): void {
  transaction.event({
    type: 'updated', kind: 'operation', resourceId: operation.id, name: operation.name, project: operation.project,
    message: `Operation ${operation.spec.operation} of ${operation.spec.target.name} ${what}`, reason, actor: operation.actor,
  })
}
