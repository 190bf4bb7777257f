// Where the VMs of a node go when it is drained: each is counted where it went before the next is placed, so that the plan fits as a whole.
import type { NodeId } from '../model/id.ts'
import type { StoredVm } from '../model/vm.ts'
import { vmsOnNode } from '../state/query.ts'
import type { State } from '../state/state.ts'
import { countVm } from '../state/usage.ts'
import { planPlacement, type Placement } from './placement.ts'

/** `nodeId` is null where the VM stays; `reason` says why there, or why nowhere. */
export type PlannedMove = { readonly vm: StoredVm; readonly nodeId: string | null; readonly reason: string }

/** In the order in which the drain goes on. @param ready ids of the nodes that are in touch */
export function planDrain(state: State, nodeId: string, ready: ReadonlySet<string>): readonly PlannedMove[] {
  const scratch = scratchOf(state)
  return vmsOnNode(state, nodeId).map((vm) => {
    const under = vm.migration ?? null
    // Its room there is counted already.
    if (under !== null) return { vm, nodeId: under.target.nodeId, reason: 'is on its way there' }
    const place = placeOfDrained(scratch, vm, { leaving: nodeId, ready })
    if (place.kind === 'noFit') return { vm, nodeId: null, reason: whyNowhere(place.reasons) }
    move(scratch, vm, place.nodeId)
    return { vm, nodeId: place.nodeId, reason: place.reason }
  })
}

/** Where a VM goes that shall leave a node: to the node that it wishes for, or where that takes it not (as the one that it leaves), to any. */
export function placeOfDrained(state: State, vm: StoredVm, { leaving, ready }: { readonly leaving: string; readonly ready: ReadonlySet<string> }): Placement {
  const toPlace = { spec: vm.spec, labels: vm.labels, project: vm.project, vmId: vm.id, leaving }
  const wished = planPlacement(state, toPlace, ready)
  const { node, ...placement } = vm.spec.placement
  return wished.kind === 'placed' || node === undefined ? wished : planPlacement(state, { ...toPlace, spec: { ...vm.spec, placement } }, ready)
}

export function whyNowhere(reasons: readonly { readonly node: string; readonly reason: string }[]): string {
  return reasons.map(({ node, reason }) => `${node} ${reason}`).join(', ') || 'there is no other node'
}

/** A state to place VMs in, for this plan alone: what placement asks of it is a copy. */
function scratchOf(state: State): State {
  return {
    ...state,
    tables: { ...state.tables, vm: new Map(state.tables.vm) },
    vmIdsByNode: new Map([...state.vmIdsByNode].map(([id, vmIds]) => [id, new Set(vmIds)])),
    usage: { byNode: new Map(state.usage.byNode), byImage: new Map(), vmIdsByImage: new Map() },
  }
}

function move(scratch: State, vm: StoredVm, nodeId: string): void {
  if (vm.assignment === null) throw new Error(`assertion: VM ${vm.id} is on a node`)
  const moved: StoredVm = { ...vm, assignment: { ...vm.assignment, nodeId: nodeId as NodeId } }
  countVm(scratch.usage, vm, -1)
  countVm(scratch.usage, moved, 1)
  scratch.tables.vm.set(vm.id, moved)
  scratch.vmIdsByNode.get(vm.assignment.nodeId)?.delete(vm.id)
  const there = scratch.vmIdsByNode.get(nodeId) ?? new Set()
  scratch.vmIdsByNode.set(nodeId, there.add(vm.id))
}
