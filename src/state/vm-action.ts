// "Do this" to a VM: the wish and the operation that follows it are written together.
import type { CommandOf } from '../model/command.ts'
import { operationKinds, type OperationKind, type StoredOperation } from '../model/operation.ts'
import type { RunState, StoredVm } from '../model/vm.ts'
import type { Outcome } from './apply.ts'
import { isMove } from './migration.ts'
import { dropOldOperations } from './old-operations.ts'
import { endOperation, isCancellable } from './operation.ts'
import { misfit } from './query.ts'
import { requireCurrent } from './revision.ts'
import { Refusal, type Transaction } from './transaction.ts'
import { sayOfVm } from './vm-event.ts'

type Action = CommandOf<'vm.act'>['payload']['action']

/** Action → the run state wished for; null leaves it. */
const wishes: Readonly<Record<Action, RunState | null>> = {
  start: 'running', stop: 'stopped', restart: 'running', pause: 'paused', resume: 'running', reset: null, delete: null,
}
const sentences: Readonly<Record<Action, string>> = {
  start: 'shall start', stop: 'shall stop', restart: 'shall restart', pause: 'shall pause', resume: 'shall resume', reset: 'shall be reset', delete: 'shall be deleted',
}

export function actOnVm(transaction: Transaction, command: CommandOf<'vm.act'>): Outcome {
  const { payload } = command
  let vm = transaction.require('vm', payload.id)
  requireCurrent(vm, payload)
  const active = vm.operationId === null ? undefined : transaction.get('operation', vm.operationId)
  requireDeletable(vm, active, payload)
  const halfDeleted = vm.deleting && (active === undefined || active.formerRunState === null)
  vm = clearTheWay(transaction, vm, active, payload)
  requirePossible(transaction, vm, payload.action)
  if (vm.assignment === null && payload.action === 'delete') return forgetLost(transaction, vm, command)
  const wish = wishes[payload.action] ?? vm.spec.runState
  const operation: StoredOperation = { ...draftOperation(transaction, vm, command), formerRunState: halfDeleted ? null : vm.spec.runState }
  const next: StoredVm = {
    ...vm,
    revision: transaction.index,
    generation: wish === vm.spec.runState ? vm.generation : vm.generation + 1,
    spec: { ...vm.spec, runState: wish },
    deleting: payload.action === 'delete',
    operationId: operation.id,
    cause: { commandId: transaction.commandId, actor: transaction.actor.name, operationId: operation.id },
  }
  transaction.put('vm', vm.id, next)
  transaction.put('operation', operation.id, operation)
  dropOldOperations(transaction)
  sayOfVm(transaction, next, { type: 'updated', message: `VM ${vm.name} ${sentences[payload.action]}`, reason: `vm.act.${payload.action}` })
  transaction.event({
    type: 'created', kind: 'operation', resourceId: operation.id, name: operation.name, project: vm.project,
    message: `Operation ${operation.spec.operation} of ${vm.name} began`, reason: 'operation.running',
  })
  return { id: vm.id, operationId: operation.id }
}

/** What is being deleted can only be deleted: again after a failure, or by force while it is still asked to power off. */
function requireDeletable(vm: StoredVm, active: StoredOperation | undefined, payload: CommandOf<'vm.act'>['payload']): void {
  if (!vm.deleting) return
  if (payload.action !== 'delete') throw new Refusal('STATE_CONFLICT', `${vm.name} is being deleted.`)
  if (active !== undefined && !(payload.force && isCancellable(active))) throw new Refusal('STATE_CONFLICT', `${vm.name} is being deleted already.`)
}

/** A forced stop and a forced delete take over from whatever runs; all else waits its turn. */
function clearTheWay(transaction: Transaction, vm: StoredVm, active: StoredOperation | undefined, payload: CommandOf<'vm.act'>['payload']): StoredVm {
  if (active === undefined) return vm
  if (isMove(active)) throw new Refusal('OPERATION_ACTIVE', `${vm.name} is on its way to another node. Wait for it, or cancel operation ${active.name} first.`)
  if (!payload.force || (payload.action !== 'stop' && payload.action !== 'delete')) {
    throw new Refusal('OPERATION_ACTIVE', `${active.spec.operation} is running on ${vm.name}. Wait for it, cancel it, or force a stop.`)
  }
  endOperation(transaction, active, { state: 'cancelled', error: { code: 'CANCELLED', message: `A forced ${payload.action} took over.` } })
  return { ...vm, operationId: null }
}

/** Its host was removed: there is nobody who could remove anything, so the record alone goes, at once. */
function forgetLost(transaction: Transaction, vm: StoredVm, command: CommandOf<'vm.act'>): Outcome {
  const steps = operationKinds['vm-delete'].map(() => ({ startedMs: transaction.timeMs, endedMs: transaction.timeMs }))
  const operation: StoredOperation = {
    ...draftOperation(transaction, vm, command), formerRunState: null, state: 'done', step: steps.length - 1, steps, endedMs: transaction.timeMs,
  }
  transaction.put('operation', operation.id, operation)
  transaction.delete('vm', vm.id)
  dropOldOperations(transaction)
  sayOfVm(transaction, vm, { type: 'deleted', message: `VM ${vm.name} was deleted; its host was removed before`, reason: 'vm.deleted' })
  return { id: vm.id, operationId: operation.id }
}

function requirePossible(transaction: Transaction, vm: StoredVm, action: Action): void {
  if (vm.assignment === null && action !== 'delete') throw new Refusal('STATE_CONFLICT', `${vm.name} is on no node${vm.lost === undefined ? '' : `: ${vm.lost.node}, where it was, was removed`}.`)
  const { phase } = vm.report
  const runs = phase === 'running' || phase === 'paused' || phase === 'starting'
  if ((action === 'restart' || action === 'reset' || action === 'pause') && !runs) throw new Refusal('STATE_CONFLICT', `${vm.name} is ${phase}; only a running VM can do that.`)
  if (action === 'resume' && vm.spec.runState !== 'paused' && phase !== 'paused') throw new Refusal('STATE_CONFLICT', `${vm.name} is ${phase}, not paused.`)
  if (action !== 'start') return
  const node = vm.assignment === null ? undefined : transaction.get('node', vm.assignment.nodeId)
  if (node === undefined) throw new Refusal('STATE_CONFLICT', `${vm.name} is on no node.`)
  const reason = misfit(transaction.state, node, { spec: vm.spec, labels: vm.labels, images: [], running: true, ownVmId: vm.id })
  if (reason !== null) throw new Refusal('NO_FIT', `${vm.name} does not fit on ${node.name} now: it ${reason}.`)
}

function draftOperation(transaction: Transaction, vm: StoredVm, command: CommandOf<'vm.act'>): Omit<StoredOperation, 'formerRunState'> {
  const { payload } = command
  const kind: OperationKind = `vm-${payload.action}`
  return {
    id: payload.operationId, kind: 'operation', name: `${kind}-${payload.operationId.slice(-8)}`, project: vm.project, labels: {},
    revision: transaction.index, generation: 1,
    spec: { operation: kind, target: { kind: 'vm', id: vm.id, name: vm.name }, force: payload.force, timeoutSeconds: payload.timeoutSeconds },
    state: 'running', step: 0,
    steps: operationKinds[kind].map((_, at) => ({ startedMs: at === 0 ? transaction.timeMs : null, endedMs: null })),
    nodeId: vm.assignment?.nodeId ?? null,
    actor: transaction.actor.name, commandId: transaction.commandId,
    startedMs: transaction.timeMs, endedMs: null, error: null,
  }
}
