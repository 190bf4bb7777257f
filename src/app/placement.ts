// Finds a place for a VM among the nodes in touch, and tells why that one.
import { OperationalError } from '../model/error.ts'
import type { PlacementView } from '../model/explanation.ts'
import type { NodeId } from '../model/id.ts'
import { planPlacement, type Placement, type ToPlace } from '../planner/placement.ts'
import { requireKnownReferences } from '../state/vm-spec.ts'
import type { AppContext } from './context.ts'
import { orThrow } from './write.ts'

/** `view` is null where no place was looked for. */
export type Place = { readonly nodeId: NodeId; readonly view: PlacementView | null }

/**
 * @returns the node, and what was thought of each; where this node takes no writes, itself and no view: the proposal then says so
 * @throws REFERENCE_MISSING, NO_FIT with a reason for each node
 */
export function findPlace(context: AppContext, vm: ToPlace & { readonly name: string }): Place {
  orThrow(() => requireKnownReferences(context.state, vm.spec, vm.project))
  const fresh = planPlacement(context.state, vm, context.freshNodeIds())
  const placement = fresh.kind === 'placed' ? fresh : planPlacement(context.state, vm, context.readyNodeIds())
  if (placement.kind === 'placed') return { nodeId: placement.nodeId as NodeId, view: viewOf(placement) }
  if (!context.takesWrites) return { nodeId: context.nodeId, view: null }
  const reasons = placement.reasons.map((each) => `${each.node} ${each.reason}`).join('; ')
  throw new OperationalError('NO_FIT', `${vm.name} fits on no node: ${reasons}. Nothing was done.`, {
    data: { fields: placement.reasons.map((each) => ({ path: 'spec.placement', message: `${each.node} ${each.reason}` })) },
  })
}

export function viewOf(placement: Placement): PlacementView {
  const considered = placement.considered.map(({ node, fits, reason }) => ({ node, fits, reason }))
  return placement.kind === 'placed' ? { node: placement.nodeName, reason: placement.reason, considered } : { node: null, reason: 'fits on no node', considered }
}
