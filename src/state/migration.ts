// A VM on its way to another node: who may hold it is written down before it begins; steps advance, turn back, and let go of it.
import type { CommandOf } from '../model/command.ts'
import { moveSteps, type MoveKind, type MoveStep, type StoredMove } from '../model/migration.ts'
import { operationKinds, type StoredOperation } from '../model/operation.ts'
import type { StoredVm } from '../model/vm.ts'
import type { Outcome } from './apply.ts'
import { dropOldOperations } from './old-operations.ts'
import { misfit } from './query.ts'
import { requireCurrent } from './revision.ts'
import type { State } from './state.ts'
import { Refusal, type Transaction } from './transaction.ts'
import { sayOfVm } from './vm-event.ts'

/** An operation that moves a VM. */
export type MoveOperation = StoredOperation & { readonly move: StoredMove }

export function isMove(operation: StoredOperation): operation is MoveOperation {
  return operation.move !== undefined
}

/** The steps of a moving operation, as the table says. */
export function stepsOf(operation: StoredOperation): readonly MoveStep[] {
  return moveSteps[operation.spec.operation as MoveKind]
}

/** Running operations that move a VM from or to the node, their cleaning included; by id. */
export function movesOnNode(state: State, nodeId: string): readonly MoveOperation[] {
  return [...state.tables.operation.values()].filter((operation): operation is MoveOperation => {
    return operation.state === 'running' && isMove(operation) && (operation.move.sourceId === nodeId || operation.move.targetId === nodeId)
  }).toSorted((left, right) => (left.id < right.id ? -1 : 1))
}

/** Live where its guest is there to be moved, cold where it is off; a refusal in between. */
export function moveKindOf(vm: StoredVm): MoveKind {
  const { phase } = vm.report
  const on = phase === 'running' || phase === 'paused'
  if (on && vm.spec.runState !== 'stopped') return 'vm-migrate'
  if (phase === 'stopped' || phase === 'failed' || (phase === 'pending' && vm.spec.runState === 'stopped')) return 'vm-move'
  throw new Refusal('STATE_CONFLICT', `${vm.name} is ${on ? 'about to stop' : phase}; it can move once it runs or is stopped.`)
}

export function migrateVm(transaction: Transaction, command: CommandOf<'vm.migrate'>): Outcome {
  const { payload } = command
  const vm = transaction.require('vm', payload.id)
  requireCurrent(vm, payload)
  const kind = requireMovable(transaction, vm, payload)
  const { assignment: source } = vm
  if (source === null) throw new Refusal('STATE_CONFLICT', `${vm.name} is on no node.`)
  const epoch = Math.max(source.epoch, vm.epochSpent ?? 0) + 1
  const drain = payload.drainId === undefined ? undefined : transaction.get('operation', payload.drainId)
  const actor = drain?.actor ?? transaction.actor.name
  const operation: MoveOperation = {
    id: payload.operationId, kind: 'operation', name: `${kind}-${payload.operationId.slice(-8)}`, project: vm.project, labels: {}, revision: transaction.index, generation: 1,
    spec: { operation: kind, target: { kind: 'vm', id: vm.id, name: vm.name }, force: payload.force, timeoutSeconds: 0 },
    state: 'running', step: 0,
    steps: operationKinds[kind].map((_, at) => ({ startedMs: at === 0 ? transaction.timeMs : null, endedMs: null })),
    nodeId: payload.targetNodeId,
    actor, commandId: transaction.commandId, startedMs: transaction.timeMs, endedMs: null, error: null, formerRunState: vm.spec.runState,
    move: {
      sourceId: source.nodeId, targetId: payload.targetNodeId, epoch, direction: 'forward', cancelled: false, bandwidthMiBps: payload.bandwidthMiBps,
      outputs: {}, freed: false, turnedAt: null,
    },
  }
  const next: StoredVm = {
    ...vm, revision: transaction.index, operationId: operation.id, epochSpent: epoch,
    migration: { operationId: operation.id, source, target: { nodeId: payload.targetNodeId, epoch } },
    cause: { commandId: transaction.commandId, actor, operationId: operation.id },
  }
  transaction.put('vm', vm.id, next)
  transaction.put('operation', operation.id, operation)
  dropOldOperations(transaction)
  const [from, to] = [nodeName(transaction, source.nodeId), nodeName(transaction, payload.targetNodeId)]
  const because = payload.reason === undefined ? '' : `: ${payload.reason}`
  sayOfVm(transaction, next, { type: 'updated', message: `VM ${vm.name} shall move from ${from} to ${to}${because}`, reason: 'vm.migrate', actor })
  transaction.event({
    type: 'created', kind: 'operation', resourceId: operation.id, name: operation.name, project: vm.project,
    message: `Operation ${kind} of ${vm.name} began`, reason: 'operation.running', actor,
  })
  return { id: vm.id, operationId: operation.id }
}

function requireMovable(transaction: Transaction, vm: StoredVm, payload: CommandOf<'vm.migrate'>['payload']): MoveKind {
  if (vm.deleting) throw new Refusal('STATE_CONFLICT', `${vm.name} is being deleted.`)
  if (vm.assignment === null) throw new Refusal('STATE_CONFLICT', `${vm.name} is on no node: there is nothing to move.`)
  if (vm.operationId !== null) {
    const active = transaction.get('operation', vm.operationId)
    throw new Refusal('OPERATION_ACTIVE', `${active?.spec.operation ?? 'Another operation'} is running on ${vm.name}. Wait for it or cancel it.`)
  }
  const target = transaction.get('node', payload.targetNodeId)
  if (target === undefined) throw new Refusal('REFERENCE_MISSING', `There is no node ${payload.targetNodeId}.`, [{ path: 'node', message: 'does not exist' }])
  if (vm.assignment.nodeId === target.id) throw new Refusal('STATE_CONFLICT', `${vm.name} is on ${target.name} already.`)
  const kind = moveKindOf(vm)
  const reason = reasonAgainst(transaction.state, vm, target.id, payload.force)
  if (reason !== null) throw new Refusal(reason.code, `${vm.name} cannot move to ${target.name}: it ${reason.message}.`)
  return kind
}

/** Why a VM cannot move to a node; null where it can. */
export function reasonAgainst(state: State, vm: StoredVm, nodeId: string, force: boolean): { readonly code: 'NO_FIT' | 'OPERATION_ACTIVE' | 'STATE_CONFLICT'; readonly message: string } | null {
  const node = state.tables.node.get(nodeId)
  if (node === undefined) return { code: 'NO_FIT', message: 'is no member' }
  if (node.spec.draining === true) return { code: 'STATE_CONFLICT', message: 'is being drained' }
  if (!node.spec.schedulable && !force) return { code: 'STATE_CONFLICT', message: 'takes no new VMs' }
  if (movesOnNode(state, nodeId).some((move) => move.spec.target.id === vm.id)) return { code: 'OPERATION_ACTIVE', message: 'has yet to clean up after an earlier migration of this VM' }
  const images = Object.values(vm.images).flatMap(({ imageId }) => state.tables.image.get(imageId) ?? [])
  const runs = vm.spec.runState !== 'stopped'
  const unfit = misfit(state, node, { spec: vm.spec, labels: vm.labels, images, running: runs, ownVmId: vm.id })
  return unfit === null ? null : { code: 'NO_FIT', message: unfit }
}

/** A step ended on its node. One reported twice, or by a former owner, changes nothing. */
export function advance(transaction: Transaction, payload: CommandOf<'operation.advance'>['payload']): Outcome {
  const operation = transaction.require('operation', payload.id)
  if (!isMove(operation) || operation.state !== 'running') return { id: operation.id }
  const { move } = operation
  if (operation.step !== payload.step || move.direction !== payload.direction) return { id: operation.id }
  const { outcome } = payload
  if (outcome.kind === 'lost') {
    const waits = move.direction === 'forward' && stepAt(operation).returns && payload.nodeId === move.sourceId && operation.nodeId === move.targetId
    if (waits) turnBack(transaction, operation, { code: 'PEER_UNREACHABLE', message: outcome.message })
    return { id: operation.id }
  }
  if (operation.nodeId !== payload.nodeId) return { id: operation.id }
  if (outcome.kind === 'failed') {
    if (move.direction === 'forward' && stepAt(operation).returns) turnBack(transaction, operation, { code: outcome.code, message: outcome.message })
    return { id: operation.id }
  }
  const informed: MoveOperation = { ...operation, move: { ...move, outputs: { ...move.outputs, ...outcome.outputs } } }
  if (outcome.kind === 'gone' && move.direction === 'back') forward(transaction, { ...informed, error: null, move: { ...informed.move, direction: 'forward', cancelled: false, turnedAt: null } })
  else if (move.direction === 'back') backward(transaction, informed, operation.step - 1)
  else forward(transaction, informed)
  return { id: operation.id }
}

/** Cancels what can still turn back. */
export function cancelMove(transaction: Transaction, operation: MoveOperation): Outcome {
  if (operation.move.direction === 'back') throw new Refusal('STATE_CONFLICT', `Operation ${operation.name} is on its way back already.`)
  if (!stepAt(operation).returns) throw new Refusal('STATE_CONFLICT', `Operation ${operation.name} is past the point where it can be cancelled.`)
  turnBack(transaction, { ...operation, move: { ...operation.move, cancelled: true } }, { code: 'CANCELLED', message: `${transaction.actor.name} cancelled it.` })
  return { id: operation.id }
}

/**
 * A node is removed for good: what its steps would have done is taken as done or undone, so that nothing waits for it. To be called before
 * the node's own record goes; a VM that had come through to it becomes its VM first.
 */
export function dropNodeFromOperations(transaction: Transaction, nodeId: string): void {
  for (const { id } of movesOnNode(transaction.state, nodeId)) {
    for (;;) {
      const operation = transaction.get('operation', id)
      if (operation === undefined || operation.state !== 'running' || !isMove(operation)) break
      const { move } = operation
      const lost = { code: 'NODE_REMOVED', message: `${nodeName(transaction, nodeId)} was removed from the cluster.` }
      if (move.direction === 'forward' && stepAt(operation).returns) turnBack(transaction, operation, lost)
      else if (operation.nodeId !== nodeId) break
      else if (move.direction === 'back') backward(transaction, operation, operation.step - 1)
      else forward(transaction, operation)
    }
  }
}

function stepAt(operation: MoveOperation): MoveStep {
  const step = stepsOf(operation)[operation.step]
  if (step === undefined) throw new Error(`assertion: operation ${operation.id} has no step ${operation.step}`)
  return step
}

/** The running step is done. */
function forward(transaction: Transaction, operation: MoveOperation): void {
  const step = stepAt(operation)
  if (step.flips) flip(transaction, operation)
  let { move } = operation
  if (step.frees) {
    move = { ...move, outputs: wholeDowntime(transaction, operation), freed: true }
    free(transaction, { ...operation, move }, 'done')
  }
  const at = operation.step + 1
  const following = stepsOf(operation)[at]
  if (following === undefined) return end(transaction, { ...operation, move }, 'done')
  const steps = operation.steps.map((each, index) => {
    if (index === operation.step) return { ...each, endedMs: transaction.timeMs }
    return index === at ? { startedMs: transaction.timeMs, endedMs: null } : each
  })
  transaction.put('operation', operation.id, { ...operation, move, steps, step: at, nodeId: holderOf(move, following), revision: transaction.index })
  say(transaction, operation, `is at step ${following.name}`, 'operation.step')
}

/** The guest stands still until the target has started it: what QEMU measured, and the time from there to here, by the leader's clock. */
function wholeDowntime(transaction: Transaction, operation: MoveOperation): StoredMove['outputs'] {
  const { outputs } = operation.move
  const transferred = operation.steps[stepsOf(operation).findIndex((step) => step.name === 'transfer')]?.endedMs ?? null
  if (transferred === null || outputs.downtimeMs === undefined || outputs.downtimeMs === null || transaction.get('vm', operation.spec.target.id)?.spec.runState !== 'running') return outputs
  return { ...outputs, downtimeMs: outputs.downtimeMs + transaction.timeMs - transferred }
}

function turnBack(transaction: Transaction, operation: MoveOperation, error: { readonly code: string; readonly message: string }): void {
  const steps = operation.steps.map((each, at) => (at === operation.step ? { ...each, endedMs: transaction.timeMs } : each))
  const turned: MoveOperation = { ...operation, steps, error, move: { ...operation.move, direction: 'back', turnedAt: operation.step } }
  backward(transaction, turned, operation.step)
}

/** Goes on with the next undo at or before the step; as soon as the source has nothing left to do the VM is free, whatever the target has. */
function backward(transaction: Transaction, operation: MoveOperation, from: number): void {
  const undos = stepsOf(operation).map((step, at) => ({ step, at })).filter(({ step, at }) => step.undo && at <= from).toReversed()
  let { move } = operation
  if (!move.freed && !undos.some(({ step }) => step.on === 'source')) {
    free(transaction, operation, move.cancelled ? 'cancelled' : 'failed')
    move = { ...move, freed: true }
  }
  const [next] = undos
  if (next === undefined) return end(transaction, { ...operation, move }, move.cancelled ? 'cancelled' : 'failed')
  transaction.put('operation', operation.id, { ...operation, move, step: next.at, nodeId: holderOf(move, next.step), revision: transaction.index })
  say(transaction, operation, `undoes ${next.step.name}: ${operation.error?.message ?? ''}`, 'operation.back')
}

function holderOf(move: StoredMove, step: MoveStep): string {
  return step.on === 'source' ? move.sourceId : move.targetId
}

/** The point of no return: the target owns it, at its epoch. */
function flip(transaction: Transaction, operation: MoveOperation): void {
  const vm = transaction.get('vm', operation.spec.target.id)
  if (vm?.operationId !== operation.id) return
  const { targetId, sourceId, epoch } = operation.move
  const target = transaction.get('node', targetId)
  // Removed by force meanwhile: nobody owns what is there.
  const isLost = target === undefined || target.leaving?.force === true
  const next: StoredVm = {
    ...vm, revision: transaction.index,
    assignment: isLost ? null : { nodeId: targetId, epoch },
    ...(isLost ? { lost: { nodeId: targetId, node: target?.name ?? targetId, epoch: epoch + 1, sinceMs: transaction.timeMs }, report: { ...vm.report, phase: 'unknown' as const, addresses: [] } } : {}),
    placed: `moved there from ${nodeName(transaction, sourceId)} by ${operation.actor}`.slice(0, 300),
  }
  transaction.put('vm', vm.id, next)
  sayOfVm(transaction, next, { type: 'updated', message: `VM ${vm.name} belongs to ${nodeName(transaction, targetId)} now`, reason: 'vm.owner', actor: operation.actor })
}

/** Lets go of the VM and writes the history. */
function free(transaction: Transaction, operation: MoveOperation, outcome: 'done' | 'failed' | 'cancelled'): void {
  const { move } = operation
  const [from, to] = [nodeName(transaction, move.sourceId), nodeName(transaction, move.targetId)]
  const vm = transaction.get('vm', operation.spec.target.id)
  transaction.put('migration', operation.id, {
    id: operation.id, kind: 'migration', name: operation.name, project: operation.project, revision: transaction.index,
    vm: { id: operation.spec.target.id, name: vm?.name ?? operation.spec.target.name }, from: { id: move.sourceId, name: from }, to: { id: move.targetId, name: to },
    live: operation.spec.operation === 'vm-migrate', actor: operation.actor, outcome, reason: operation.error?.message ?? '',
    bytes: move.outputs.bytes ?? null, downtimeMs: move.outputs.downtimeMs ?? null, startedMs: operation.startedMs, endedMs: transaction.timeMs,
  })
  if (vm?.operationId !== operation.id) return
  transaction.put('vm', vm.id, { ...vm, revision: transaction.index, operationId: null, migration: null })
  const message = outcome === 'done' ? `VM ${vm.name} has moved from ${from} to ${to}` : `VM ${vm.name} stays on ${from}: ${operation.error?.message ?? outcome}`
  sayOfVm(transaction, vm, { type: 'updated', message, reason: outcome === 'done' ? 'vm.migrated' : 'vm.released', actor: operation.actor })
}

function end(transaction: Transaction, operation: MoveOperation, state: 'done' | 'failed' | 'cancelled'): void {
  const steps = operation.steps.map((each) => (each.startedMs !== null && each.endedMs === null ? { ...each, endedMs: transaction.timeMs } : each))
  const error = state === 'done' ? null : operation.error
  transaction.put('operation', operation.id, { ...operation, state, steps, error, endedMs: transaction.timeMs, revision: transaction.index })
  say(transaction, operation, error === null ? `is ${state}` : `is ${state}: ${error.message}`, `operation.${state}`)
}

function say(transaction: Transaction, operation: StoredOperation, what: string, reason: string): void {
  transaction.event({
    type: 'updated', kind: 'operation', resourceId: operation.id, name: operation.name, project: operation.project,
    message: `Operation ${operation.spec.operation} of ${operation.spec.target.name} ${what}`, reason, actor: operation.actor,
  })
}

function nodeName(transaction: Transaction, nodeId: string): string {
  return transaction.get('node', nodeId)?.name ?? nodeId
}
