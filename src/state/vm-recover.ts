// A VM whose host is off for good, by an operator's word, gets another: its disks begin anew from their images.
import type { CommandOf } from '../model/command.ts'
import { isOnItsWay, type StoredVm } from '../model/vm.ts'
import type { Outcome } from './apply.ts'
import { endOperation } from './operation.ts'
import { misfit } from './query.ts'
import { requireCurrent } from './revision.ts'
import { Refusal, type Transaction } from './transaction.ts'
import { sayOfVm } from './vm-event.ts'
import { imagesOf } from './vm-spec.ts'

/**
 * The epoch rises, so that the former host, should it come back, finds its domain another's and cuts its power; what lies on its disks stays there.
 * @throws Refusal STATE_CONFLICT where it has another owner by now, moves, or has a disk that would begin empty; NO_FIT
 */
export function recoverVm(transaction: Transaction, payload: CommandOf<'vm.recover'>['payload']): Outcome {
  const vm = transaction.require('vm', payload.id)
  requireCurrent(vm, payload)
  if (vm.deleting) throw new Refusal('STATE_CONFLICT', `${vm.name} is being deleted.`)
  if (isOnItsWay(vm)) throw new Refusal('OPERATION_ACTIVE', `${vm.name} is on its way to another node. Cancel that, or remove the node that is off from the cluster.`)
  if ((vm.assignment?.nodeId ?? null) !== payload.formerNodeId) throw new Refusal('STATE_CONFLICT', `${vm.name} has another node by now.`)
  const target = transaction.require('node', payload.nodeId)
  if (target.id === payload.formerNodeId) throw new Refusal('STATE_CONFLICT', `${vm.name} is on ${target.name} already.`)
  const blank = vm.spec.disks.filter((disk) => vm.images[disk.name] === undefined).map((disk) => disk.name)
  if (blank.length > 0 && !payload.loseDisks) {
    throw new Refusal('STATE_CONFLICT', `Disk ${blank.join(', ')} of ${vm.name} has no image: it would begin empty. Say that its content may be lost.`)
  }
  const reason = misfit(transaction.state, target, {
    spec: vm.spec, labels: vm.labels, images: imagesOf(transaction.state, vm.spec, vm.project), running: vm.spec.runState !== 'stopped', ownVmId: vm.id,
  })
  if (reason !== null) throw new Refusal('NO_FIT', `${vm.name} does not fit on ${target.name}: it ${reason}.`)
  const active = vm.operationId === null ? undefined : transaction.get('operation', vm.operationId)
  if (active !== undefined && active.endedMs === null) {
    endOperation(transaction, active, { state: 'cancelled', error: { code: 'CANCELLED', message: `${vm.name} was recovered on ${target.name}.` } })
  }
  const { lost, ...kept } = vm
  const former = payload.formerNodeId === null ? (lost?.node ?? 'its former host') : (transaction.get('node', payload.formerNodeId)?.name ?? payload.formerNodeId)
  const next: StoredVm = {
    ...kept, revision: transaction.index, operationId: null,
    assignment: { nodeId: payload.nodeId, epoch: Math.max(vm.assignment?.epoch ?? 0, vm.epochSpent ?? 0, lost?.epoch ?? 0) + 1 },
    placed: `recovered from ${former} by ${transaction.actor.name}, who said that it is off`,
    report: { phase: 'pending', observedGeneration: 0, addresses: [], message: '', code: '', restartNeeded: false, madeDisks: [] },
    phaseSinceMs: transaction.timeMs,
    cause: { commandId: transaction.commandId, actor: transaction.actor.name },
  }
  transaction.put('vm', vm.id, next)
  sayOfVm(transaction, next, { type: 'updated', message: `VM ${vm.name} begins anew on ${target.name}: ${transaction.actor.name} said that ${former} is off`, reason: 'vm.recovered' })
  return { id: vm.id }
}
