// Virtual machines: made, edited, acted on, and what their owner's controller says of them.
import type { CommandOf } from '../model/command.ts'
import { shortId } from '../model/id.ts'
import { isOnItsWay, type StoredVm, type VmReport, type VmSpec } from '../model/vm.ts'
import type { Outcome } from './apply.ts'
import { sameValue } from './canonical.ts'
import { migrateVm } from './migration.ts'
import { misfit, projectExists } from './query.ts'
import { requireCurrent } from './revision.ts'
import { Refusal, type Transaction } from './transaction.ts'
import { actOnVm } from './vm-action.ts'
import { recoverVm } from './vm-recover.ts'
import { sayOfVm } from './vm-event.ts'
import { allotMacs, imagesOf, patchedVm, requireEditable, requireKnownReferences, resolveImages } from './vm-spec.ts'

export const vmsMax = 100_000

type VmCommand = CommandOf<'vm.create' | 'vm.replace' | 'vm.patch' | 'vm.act' | 'vm.report' | 'vm.guestStopped' | 'vm.recover' | 'vm.migrate'>

export function applyToVm(transaction: Transaction, command: VmCommand): Outcome {
  switch (command.type) {
    case 'vm.create':
      return create(transaction, command.payload)
    case 'vm.replace': {
      const { payload } = command
      const vm = requireVm(transaction, payload.id)
      requireCurrent(vm, payload)
      return edit(transaction, vm, { name: payload.name ?? vm.name, labels: payload.labels ?? vm.labels, spec: payload.spec }, payload.seed)
    }
    case 'vm.patch': {
      const { payload } = command
      const vm = requireVm(transaction, payload.id)
      requireCurrent(vm, payload)
      return edit(transaction, vm, patchedVm(vm, payload.patch), payload.seed)
    }
    case 'vm.act':
      return actOnVm(transaction, command)
    case 'vm.report':
      return report(transaction, command.payload)
    case 'vm.guestStopped':
      return guestStopped(transaction, command.payload)
    case 'vm.recover':
      return recoverVm(transaction, command.payload)
    case 'vm.migrate':
      return migrateVm(transaction, command)
  }
}

function requireVm(transaction: Transaction, id: string): StoredVm {
  const vm = transaction.require('vm', id)
  if (vm.deleting) throw new Refusal('STATE_CONFLICT', `${vm.name} is being deleted.`)
  return vm
}

function create(transaction: Transaction, payload: CommandOf<'vm.create'>['payload']): Outcome {
  const { state } = transaction
  if (transaction.get('vm', payload.id) !== undefined) throw new Refusal('STATE_CONFLICT', `VM ${payload.id} exists already.`)
  if (!projectExists(state, payload.project)) throw new Refusal('REFERENCE_MISSING', `There is no project ${payload.project}.`, [{ path: 'project', message: 'does not exist' }])
  transaction.requireFreeName('vm', payload.project, payload.name, payload.id)
  if (state.tables.vm.size >= vmsMax) throw new Refusal('LIMIT_REACHED', `A cluster has at most ${vmsMax} VMs.`)
  requireKnownReferences(state, payload.spec, payload.project)
  const images = imagesOf(state, payload.spec, payload.project)
  const node = transaction.require('node', payload.nodeId)
  const reason = misfit(state, node, { spec: payload.spec, labels: payload.labels, images, running: payload.spec.runState !== 'stopped', ownVmId: payload.id })
  if (reason !== null) throw new Refusal('NO_FIT', `${payload.name} does not fit on ${node.name}: it ${reason}.`)
  const spec = { ...payload.spec, nics: allotMacs(state, payload.spec.nics, payload.seed, new Set()) }
  const vm: StoredVm = {
    id: payload.id, kind: 'vm', name: payload.name, project: payload.project, labels: payload.labels, revision: transaction.index, generation: 1, spec,
    domainName: `${payload.name}.${shortId(payload.id)}`,
    images: resolveImages(state, payload.spec, { former: {}, project: payload.project }),
    assignment: { nodeId: node.id as CommandOf<'vm.create'>['payload']['nodeId'], epoch: 1 },
    ...(payload.reason === undefined ? {} : { placed: payload.reason }),
    deleting: false,
    createdMs: transaction.timeMs,
    report: { phase: 'pending', observedGeneration: 0, addresses: [], message: '', code: '', restartNeeded: false },
    phaseSinceMs: transaction.timeMs,
    cause: { commandId: transaction.commandId, actor: transaction.actor.name },
    operationId: null,
  }
  transaction.put('vm', vm.id, vm)
  sayOfVm(transaction, vm, { type: 'created', message: `VM ${vm.name} was made on ${node.name}${payload.reason === undefined ? '' : `: ${payload.reason}`}`, reason: 'vm.created' })
  return { id: vm.id }
}

type Edited = { readonly name: string; readonly labels: StoredVm['labels']; readonly spec: VmSpec }

function edit(transaction: Transaction, vm: StoredVm, next: Edited, seed: string): Outcome {
  const { state } = transaction
  if (next.name !== vm.name) transaction.requireFreeName('vm', vm.project, next.name, vm.id)
  requireKnownReferences(state, next.spec, vm.project)
  requireEditable(state, vm, next.spec)
  const runs = next.spec.runState !== 'stopped'
  if (vm.operationId !== null && next.spec.runState !== vm.spec.runState) {
    throw new Refusal('OPERATION_ACTIVE', `An operation is running on ${vm.name}. Wait for it or cancel it.`)
  }
  if (isOnItsWay(vm) && (next.name !== vm.name || !sameValue(next.spec, vm.spec))) throw new Refusal('OPERATION_ACTIVE', `${vm.name} is on its way to another node. Wait for it or cancel it.`)
  const node = vm.assignment === null ? undefined : transaction.get('node', vm.assignment.nodeId)
  if (node !== undefined && asksForMore(vm.spec, next.spec)) {
    const reason = misfit(state, node, { spec: next.spec, labels: next.labels, images: [], running: runs, ownVmId: vm.id })
    if (reason !== null) throw new Refusal('NO_FIT', `${vm.name} would not fit on ${node.name}: it ${reason}.`)
  }
  const own = new Set(vm.spec.nics.map((nic) => nic.mac).filter((mac) => mac !== undefined))
  const spec = { ...next.spec, nics: allotMacs(state, next.spec.nics, seed, own) }
  const edited: StoredVm = {
    ...vm, name: next.name, labels: next.labels, spec, revision: transaction.index,
    generation: sameValue(spec, vm.spec) ? vm.generation : vm.generation + 1,
    images: resolveImages(state, spec, { former: vm.images, project: vm.project }),
    cause: { commandId: transaction.commandId, actor: transaction.actor.name },
  }
  transaction.put('vm', vm.id, edited)
  sayOfVm(transaction, edited, { type: 'updated', message: `VM ${edited.name} was changed`, reason: 'vm.edited' })
  return { id: vm.id }
}

/** What takes no more than before needs no new room: a node that has become smaller keeps what it has. */
function asksForMore(former: VmSpec, next: VmSpec): boolean {
  const starts = former.runState === 'stopped' && next.runState !== 'stopped'
  return starts || next.cpus > former.cpus || next.memoryMiB > former.memoryMiB || !sameValue(former.disks, next.disks)
}

/** A report counts only from the owner, at the owner's epoch: a former owner is told so and changes nothing. */
function requireOwner(transaction: Transaction, payload: { readonly id: string; readonly nodeId: string; readonly epoch: number }): StoredVm {
  const vm = transaction.require('vm', payload.id)
  if (vm.assignment?.nodeId !== payload.nodeId || vm.assignment.epoch !== payload.epoch) {
    throw new Refusal('EPOCH_STALE', `${vm.name} has another owner than node ${payload.nodeId} at epoch ${payload.epoch}.`)
  }
  return vm
}

function report(transaction: Transaction, payload: CommandOf<'vm.report'>['payload']): Outcome {
  const vm = requireOwner(transaction, payload)
  const phaseChanged = vm.report.phase !== payload.report.phase
  const next: StoredVm = {
    ...vm, report: payload.report, revision: transaction.index,
    phaseSinceMs: phaseChanged ? transaction.timeMs : vm.phaseSinceMs,
    cause: vm.operationId === null ? vm.cause : { ...vm.cause, operationId: vm.operationId },
  }
  transaction.put('vm', vm.id, next)
  const news = reportNews(vm, payload.report)
  if (news !== null) sayOfVm(transaction, next, { type: 'updated', ...news, actor: phaseChanged ? vm.cause.actor : transaction.actor.name })
  return { id: vm.id }
}

/** What a report says that people care for; null where only counters moved. */
function reportNews(vm: StoredVm, next: VmReport): { readonly message: string; readonly reason: string } | null {
  const { name, report: former } = vm
  if (former.phase !== next.phase) {
    const message = next.message === '' ? `VM ${name} is ${next.phase}` : `VM ${name} is ${next.phase}: ${next.message}`
    return { message, reason: `vm.phase.${next.phase}` }
  }
  if (former.message !== next.message) return { message: next.message === '' ? `VM ${name} is well again` : `VM ${name}: ${next.message}`, reason: 'vm.message' }
  if (former.addresses.join() !== next.addresses.join()) {
    return { message: next.addresses.length === 0 ? `VM ${name} tells no address` : `VM ${name} has address ${next.addresses.join(', ')}`, reason: 'vm.addresses' }
  }
  if (former.restartNeeded !== next.restartNeeded) {
    return { message: next.restartNeeded ? `VM ${name} takes its changes at the next start` : `VM ${name} has taken its changes`, reason: 'vm.restartNeeded' }
  }
  return null
}

/** The guest powered itself off: that counts as a stop by actor `guest`, if nobody wished anything else meanwhile. */
function guestStopped(transaction: Transaction, payload: CommandOf<'vm.guestStopped'>['payload']): Outcome {
  const vm = requireOwner(transaction, payload)
  if (vm.generation !== payload.generation || vm.operationId !== null || vm.spec.runState === 'stopped' || vm.deleting) return { id: vm.id }
  const next: StoredVm = {
    ...vm, revision: transaction.index, generation: vm.generation + 1,
    spec: { ...vm.spec, runState: 'stopped' },
    report: { ...vm.report, phase: 'stopped', observedGeneration: vm.generation + 1, addresses: [], message: '', code: '', restartNeeded: false },
    phaseSinceMs: transaction.timeMs,
    cause: { commandId: transaction.commandId, actor: 'guest' },
  }
  transaction.put('vm', vm.id, next)
  sayOfVm(transaction, next, { type: 'updated', message: `VM ${vm.name} powered itself off`, reason: 'vm.phase.stopped', actor: 'guest' })
  return { id: vm.id }
}
