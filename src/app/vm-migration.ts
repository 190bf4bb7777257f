// Asks for a VM's migration: to the node that was named, or to the one that the planner prefers.
import { OperationalError } from '../model/error.ts'
import type { NodeId, OperationId, VmId } from '../model/id.ts'
import { vmMigrateSchema } from '../model/migration.ts'
import type { StoredVm } from '../model/vm.ts'
import type { CommandPayload } from '../model/command.ts'
import type { PlacementView } from '../model/explanation.ts'
import { defaultProject } from '../model/resource.ts'
import { drainedReason, planPlacement } from '../planner/placement.ts'
import { drainOf } from '../state/drain.ts'
import { reasonAgainst } from '../state/migration.ts'
import { findByRef } from '../state/query.ts'
import type { AppContext } from './context.ts'
import type { Caller, DryRun, WriteOptions } from './face.ts'
import { parseInput } from './parse.ts'
import { findPlace, viewOf } from './placement.ts'
import { dryRun } from './write.ts'

const reasonMax = 300

export type MigrationPlan = { readonly payload: CommandPayload<'vm.migrate'>; readonly view: PlacementView | null }

/**
 * @param body {node?, bandwidthMiBps?, force?}
 * @throws INVALID, REFERENCE_MISSING, NO_FIT with a reason for each node; STATE_CONFLICT where nothing is heard of the VM's host
 */
export function planMigration(context: AppContext, vm: StoredVm, body: unknown, options: WriteOptions): MigrationPlan {
  const input = parseInput(vmMigrateSchema, body)
  requireHost(context, vm)
  const target = input.node === undefined ? chooseTarget(context, vm) : namedTarget(context, vm, { node: input.node, force: input.force, dryRun: options.dryRun })
  const payload = {
    id: vm.id as VmId, operationId: context.newId() as OperationId, targetNodeId: target.nodeId, bandwidthMiBps: input.bandwidthMiBps ?? null, force: input.force,
    ...(input.node === undefined && target.view !== null ? { reason: target.view.reason.slice(0, reasonMax) } : {}),
    ...(options.ifMatch === null ? {} : { ifMatch: options.ifMatch }),
  }
  return { payload, view: target.view }
}

/** Nothing moves away from a host of which nothing is heard: the operation would only wait for it. */
function requireHost(context: AppContext, vm: StoredVm): void {
  const host = vm.assignment?.nodeId
  const ref = vm.project === defaultProject ? vm.name : `${vm.project}.${vm.name}`
  if (host === undefined && vm.lost !== undefined) throw new OperationalError('STATE_CONFLICT', `${vm.name} cannot be migrated: its host ${vm.lost.node} was removed. Begin it anew elsewhere: novacron vm recover ${ref}. Nothing was done.`)
  // A node that is cut off itself says NO_QUORUM instead.
  if (host === undefined || !context.takesWrites) return
  const unready = context.unreadiness(host)
  if (unready === '') return
  throw new OperationalError('STATE_CONFLICT', `${vm.name} cannot be migrated: its host ${context.nodeName(host) ?? host} ${unready}. Bring the host back; or, once you have made sure that it is off, begin anew elsewhere: novacron vm recover ${ref}. Nothing was done.`)
}

/** What the migration would change, and what speaks for and against each node. @throws the refusal it would meet */
export function previewMigration(context: AppContext, caller: Caller, vm: StoredVm, { payload, view }: MigrationPlan): DryRun {
  const { dryRun: isDry } = dryRun(context, caller, 'vm.migrate', payload, 'vm')
  const before = context.nodeName(vm.assignment?.nodeId ?? null)
  return { dryRun: isDry, differences: [{ path: 'status.node', before, after: context.nodeName(payload.targetNodeId) }], ...(view === null ? {} : { placement: view }) }
}

/** Every other node, with what speaks for it or against it, the best first. */
export function migrationTargets(context: AppContext, vm: StoredVm): PlacementView {
  return viewOf(planPlacement(context.state, toPlace(vm), context.readyNodeIds()))
}

function toPlace(vm: StoredVm) {
  const { node: _, ...placement } = vm.spec.placement
  return {
    name: vm.name, spec: { ...vm.spec, placement }, labels: vm.labels, project: vm.project, vmId: vm.id,
    ...(vm.assignment === null ? {} : { leaving: vm.assignment.nodeId as string }),
  }
}

function chooseTarget(context: AppContext, vm: StoredVm): { readonly nodeId: NodeId; readonly view: PlacementView | null } {
  const { placement } = vm.spec
  const place = toPlace(vm)
  return findPlace(context, { ...place, spec: { ...place.spec, placement } })
}

function namedTarget(context: AppContext, vm: StoredVm, asked: { readonly node: string; readonly force: boolean; readonly dryRun: boolean }): { readonly nodeId: NodeId; readonly view: PlacementView | null } {
  const node = findByRef(context.state, 'node', asked.node, '')
  if (node === undefined) throw new OperationalError('REFERENCE_MISSING', `There is no node ${asked.node.slice(0, 80)}.`, { data: { fields: [{ path: 'node', message: 'does not exist' }] } })
  const unready = context.unreadiness(node.id)
  // A node that is cut off itself says NO_QUORUM instead.
  if (unready !== '' && context.takesWrites && reasonAgainst(context.state, vm, node.id, true) === null) {
    throw new OperationalError('NO_FIT', `${vm.name} cannot move to ${node.name}: it ${unready}. Nothing was done.`, { data: { fields: [{ path: 'node', message: unready }] } })
  }
  if (node.spec.draining === true && drainOf(context.state, node.id) === undefined) {
    throw new OperationalError('STATE_CONFLICT', `${vm.name} cannot move to ${node.name}: it ${drainedReason} (novacron node uncordon ${node.name}). Nothing was done.`, { data: { fields: [{ path: 'node', message: drainedReason }] } })
  }
  const others = migrationTargets(context, vm)
  const against = asked.dryRun && vm.assignment?.nodeId !== node.id ? reasonAgainst(context.state, vm, node.id, asked.force) : null
  if (against !== null) {
    const instead = others.node === null ? 'No other node takes it either.' : `${others.node} would take it.`
    throw new OperationalError(against.code, `${vm.name} cannot move to ${node.name}: it ${against.message}. ${instead}`, { data: { fields: [{ path: 'node', message: against.message }] } })
  }
  return { nodeId: node.id as NodeId, view: viewOfWish(context, vm, node.name, others) }
}

/** The wished node first, as it was found; then what was thought of the others. */
function viewOfWish(context: AppContext, vm: StoredVm, wished: string, others: PlacementView): PlacementView {
  const place = toPlace(vm)
  const { considered } = viewOf(planPlacement(context.state, { ...place, spec: { ...place.spec, placement: { ...place.spec.placement, node: wished } } }, context.readyNodeIds()))
  const reason = considered[0]?.reason ?? 'not looked at'
  return { node: wished, reason: `as asked: ${reason}`, considered: [...considered, ...others.considered.filter((each) => each.node !== wished)] }
}
