// Asks for a VM's migration: to the node that was named, or to the one that the planner prefers.
import { OperationalError } from '../model/error.ts'
import type { NodeId, OperationId, VmId } from '../model/id.ts'
import { vmMigrateSchema } from '../model/migration.ts'
import type { StoredVm } from '../model/vm.ts'
import type { CommandPayload } from '../model/command.ts'
import type { PlacementView } from '../model/explanation.ts'
import { planPlacement } from '../planner/placement.ts'
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
 * @throws INVALID, REFERENCE_MISSING, NO_FIT with a reason for each node
 */
export function planMigration(context: AppContext, vm: StoredVm, body: unknown, options: WriteOptions): MigrationPlan {
  const input = parseInput(vmMigrateSchema, body)
  const target = input.node === undefined ? chooseTarget(context, vm) : namedTarget(context, vm, input.node)
  const payload = {
    id: vm.id as VmId, operationId: context.newId() as OperationId, targetNodeId: target.nodeId, bandwidthMiBps: input.bandwidthMiBps ?? null, force: input.force,
    ...(input.node === undefined && target.view !== null ? { reason: target.view.reason.slice(0, reasonMax) } : {}),
    ...(options.ifMatch === null ? {} : { ifMatch: options.ifMatch }),
  }
  return { payload, view: target.view }
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

function namedTarget(context: AppContext, vm: StoredVm, ref: string): { readonly nodeId: NodeId; readonly view: PlacementView | null } {
  const node = findByRef(context.state, 'node', ref, '')
  if (node === undefined) throw new OperationalError('REFERENCE_MISSING', `There is no node ${ref.slice(0, 80)}.`, { data: { fields: [{ path: 'node', message: 'does not exist' }] } })
  const unready = context.unreadiness(node.id)
  // A node that is cut off itself says NO_QUORUM instead.
  if (unready !== '' && context.ports.consensus.status().quorum && reasonAgainst(context.state, vm, node.id, true) === null) {
    throw new OperationalError('NO_FIT', `${vm.name} cannot move to ${node.name}: it ${unready}. Nothing was done.`, { data: { fields: [{ path: 'node', message: unready }] } })
  }
  return { nodeId: node.id as NodeId, view: migrationTargets(context, vm) }
}
