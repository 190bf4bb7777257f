// Where a new VM goes: the node it names, else the one with the most memory free among those it fits on.
import type { StoredNode } from '../model/node.ts'
import type { VmSpec } from '../model/vm.ts'
import { allocationOf, findByRef, misfit } from '../state/query.ts'
import type { State } from '../state/state.ts'
import { imagesOf } from '../state/vm-spec.ts'

export type Placement =
  | { readonly kind: 'placed'; readonly nodeId: string; readonly nodeName: string; readonly reason: string }
  | { readonly kind: 'noFit'; readonly reasons: readonly { readonly node: string; readonly reason: string }[] }

/** @param ready ids of the nodes that are in touch; others are not chosen */
export function planPlacement(state: State, spec: VmSpec, ready: ReadonlySet<string>): Placement {
  const images = imagesOf(state, spec)
  const wished = spec.placement.node
  const named = wished === undefined ? undefined : findByRef(state, 'node', wished, '')
  const candidates = named === undefined ? [...state.tables.node.values()] : [named]
  const reasons: { node: string; reason: string }[] = []
  const fitting: { readonly node: StoredNode; readonly freeMiB: number }[] = []
  for (const node of candidates) {
    const reason = unavailable(node, ready, named !== undefined) ?? misfit(state, node, { spec, images, running: spec.runState !== 'stopped', ownVmId: '' })
    if (reason !== null) reasons.push({ node: node.name, reason })
    else fitting.push({ node, freeMiB: (node.announcement?.capacity.memoryMiB ?? 0) - allocationOf(state, node.id).memoryMiB })
  }
  const best = fitting.toSorted((left, right) => right.freeMiB - left.freeMiB || (left.node.name < right.node.name ? -1 : 1))[0]
  if (best === undefined) return { kind: 'noFit', reasons: reasons.toSorted((left, right) => (left.node < right.node ? -1 : 1)) }
  const reason = named === undefined ? `most memory free (${best.freeMiB} MiB) of ${fitting.length} that fit` : 'named in the spec'
  return { kind: 'placed', nodeId: best.node.id, nodeName: best.node.name, reason }
}

function unavailable(node: StoredNode, ready: ReadonlySet<string>, named: boolean): string | null {
  if (!ready.has(node.id)) return 'is not in touch'
  return node.spec.schedulable || named ? null : 'takes no new VMs'
}
