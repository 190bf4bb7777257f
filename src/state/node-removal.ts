// A member goes: marked first, forgotten once it votes no more; what it owned stays known.
//
//   member ──node.remove──▶ leaving ──the leader takes it out of Raft's configuration──▶ ──node.forget──▶ former node
//
// Its connections are cut only at the end: until the change of configuration is committed, its vote may be needed for just that.
import type { CommandOf } from '../model/command.ts'
import type { StoredNode } from '../model/node.ts'
import type { StoredVm } from '../model/vm.ts'
import type { Outcome } from './apply.ts'
import { drainOf } from './drain.ts'
import { keepersOf } from './image-use.ts'
import { dropNodeFromOperations, movesOnNode } from './migration.ts'
import { endOperation } from './operation.ts'
import { vmsOnNode } from './query.ts'
import { requireCurrent } from './revision.ts'
import { Refusal, type Transaction } from './transaction.ts'
import { sayOfVm } from './vm-event.ts'

const namesShownMax = 5

export function removeNode(transaction: Transaction, payload: CommandOf<'node.remove'>['payload']): Outcome {
  const node = transaction.require('node', payload.id)
  requireCurrent(node, payload)
  // Said again by force, it takes what it did not take before; else it is under way already.
  if (node.leaving !== undefined && (!payload.force || node.leaving.force)) return { id: node.id }
  const staying = [...transaction.state.tables.node.values()].filter((other) => other.id !== node.id && other.leaving === undefined)
  if (staying.length === 0) throw new Refusal('STATE_CONFLICT', `${node.name} is the last node of the cluster. Nothing was changed.`)
  if (!payload.force) requireEmpty(transaction, node)
  transaction.put('node', node.id, {
    ...node, leaving: { sinceMs: node.leaving?.sinceMs ?? transaction.timeMs, actor: transaction.actor.name, force: payload.force }, spec: { ...node.spec, schedulable: false }, revision: transaction.index,
  })
  const drain = drainOf(transaction.state, node.id)
  if (drain !== undefined) endOperation(transaction, drain, { state: 'cancelled', error: { code: 'NODE_REMOVED', message: `${node.name} is being removed.` } })
  if (payload.force) {
    // A VM whose migration had come through to it is its VM, though the state's index does not say so yet.
    const ids = new Set([...vmsOnNode(transaction.state, node.id).map((vm) => vm.id), ...movesOnNode(transaction.state, node.id).map((move) => move.spec.target.id)])
    dropNodeFromOperations(transaction, node.id)
    disown(transaction, node, ids)
  }
  say(transaction, node, { type: 'updated', message: `Node ${node.name} is being removed`, reason: 'node.leaving' })
  return { id: node.id }
}

function requireEmpty(transaction: Transaction, node: StoredNode): void {
  const vms = vmsOnNode(transaction.state, node.id).toSorted((left, right) => (left.name < right.name ? -1 : 1))
  if (vms.length > 0) {
    const names = vms.slice(0, namesShownMax).map((vm) => vm.name)
    const more = vms.length > namesShownMax ? ` and ${vms.length - namesShownMax} more` : ''
    throw new Refusal('IN_USE', `${node.name} has ${vms.length === 1 ? 'a VM' : `${vms.length} VMs`}: ${names.join(', ')}${more}. Drain it first; or, if the host is off for good, remove it by force.`)
  }
  const only = [...transaction.state.tables.image.values()].filter((image) => keepersOf(transaction.state, image).join() === node.id).map((image) => image.name)
  if (only.length > 0) {
    const names = only.toSorted().slice(0, namesShownMax).join(', ')
    throw new Refusal('IN_USE', `${node.name} holds the only copy of ${only.length === 1 ? 'image' : 'images'} ${names}${only.length > namesShownMax ? ` and ${only.length - namesShownMax} more` : ''}. Raise the number of copies first, or delete what is not needed.`)
  }
  const [move] = movesOnNode(transaction.state, node.id)
  if (move !== undefined) throw new Refusal('IN_USE', `${node.name} takes part in the migration of ${move.spec.target.name}. Wait for it or cancel it; or, if the host is off for good, remove it by force.`)
}

/** Its VMs stay, without an owner, at an epoch that its host has never had: whatever it says from now on does not count. */
function disown(transaction: Transaction, node: StoredNode, ids: Iterable<string>): void {
  // The order of events is part of the state: it has to be the same on every node, also on one that was restored from its disk.
  for (const id of [...ids].toSorted()) {
    if (transaction.get('vm', id)?.assignment?.nodeId !== node.id) continue
    const active = transaction.get('operation', transaction.require('vm', id).operationId ?? '')
    if (active !== undefined && active.endedMs === null) {
      endOperation(transaction, active, { state: 'failed', error: { code: 'NODE_REMOVED', message: `Its host ${node.name} was removed.` } })
    }
    const vm = transaction.require('vm', id)
    if (vm.assignment?.nodeId !== node.id) continue
    const next: StoredVm = {
      ...vm, revision: transaction.index, assignment: null, operationId: null, deleting: false,
      lost: { nodeId: node.id, node: node.name, epoch: Math.max(vm.assignment.epoch, vm.epochSpent ?? 0) + 1, sinceMs: transaction.timeMs },
      report: { ...vm.report, phase: 'unknown', addresses: [], code: '', message: `Its host ${node.name} was removed by ${transaction.actor.name}; its disks were there.`, restartNeeded: false },
      phaseSinceMs: transaction.timeMs,
      cause: { commandId: transaction.commandId, actor: transaction.actor.name },
    }
    transaction.put('vm', vm.id, next)
    sayOfVm(transaction, next, { type: 'updated', message: `VM ${vm.name} has no owner any more: its host ${node.name} was removed`, reason: 'vm.lost' })
  }
}

/** Forgets a node that is leaving; one that is forgotten already is fine. */
export function forgetNode(transaction: Transaction, id: string): Outcome {
  const node = transaction.get('node', id)
  if (node === undefined) return { id }
  if (node.leaving === undefined) throw new Refusal('STATE_CONFLICT', `${node.name} is not being removed.`)
  transaction.delete('node', node.id)
  const { actor } = node.leaving
  transaction.put('formerNode', node.id, { id: node.id, name: node.name, peerId: node.peerId, removedMs: transaction.timeMs, index: transaction.index, actor })
  for (const image of transaction.state.tables.image.values()) {
    if (!image.holders.includes(node.id)) continue
    transaction.put('image', image.id, { ...image, holders: image.holders.filter((holder) => holder !== node.id), revision: transaction.index })
  }
  // Nobody can wish for it any more, and a wish for what is gone would forbid every edit.
  for (const vm of transaction.state.tables.vm.values()) {
    const { node: wished, ...placement } = vm.spec.placement
    if (wished !== node.name && wished !== node.id) continue
    const current = transaction.require('vm', vm.id)
    transaction.put('vm', vm.id, { ...current, spec: { ...current.spec, placement }, revision: transaction.index })
  }
  say(transaction, node, { type: 'deleted', message: `Node ${node.name} was removed`, reason: 'node.removed' }, actor)
  return { id: node.id }
}

function say(transaction: Transaction, node: StoredNode, what: { readonly type: 'updated' | 'deleted'; readonly message: string; readonly reason: string }, actor?: string): void {
  transaction.event({ ...what, kind: 'node', resourceId: node.id, name: node.name, project: '', ...(actor === undefined ? {} : { actor }) })
}
