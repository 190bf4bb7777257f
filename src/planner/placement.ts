// Where a VM goes: the node it names, else the best of those it fits on, with what speaks for and against each.
import type { StoredNode } from '../model/node.ts'
import type { Labels } from '../model/resource.ts'
import type { VmSpec } from '../model/vm.ts'
import { unwelcome } from '../state/affinity.ts'
import { drainOf } from '../state/drain.ts'
import { allocationOf, findByRef, misfit } from '../state/query.ts'
import type { State } from '../state/state.ts'
import { imagesOf } from '../state/vm-spec.ts'

/** One node as the planner saw it: `reason` says why not, or what speaks for it. Best first, then those it does not fit on. */
export type Considered = { readonly nodeId: string; readonly node: string; readonly fits: boolean; readonly reason: string }

export type Placement = { readonly considered: readonly Considered[] } & (
  | { readonly kind: 'placed'; readonly nodeId: string; readonly nodeName: string; readonly reason: string }
  | { readonly kind: 'noFit'; readonly reasons: readonly { readonly node: string; readonly reason: string }[] }
)

export type ToPlace = {
  readonly spec: VmSpec
  readonly labels: Labels
  readonly project: string
  /** Empty for one that is yet to be made. */
  readonly vmId: string
  /** A node it shall leave: not considered, and a wish for it does not count. */
  readonly leaving?: string
}

/** Its drain is over: it waits for somebody to open it. */
export const drainedReason = 'is drained and takes no VMs until it is opened again'

type Fit = { readonly node: StoredNode; readonly conflicts: number; readonly missingImages: number; readonly freeMiB: number; readonly vms: number }

/** @param ready ids of the nodes that are in touch; others are not chosen */
export function planPlacement(state: State, vm: ToPlace, ready: ReadonlySet<string>): Placement {
  const { spec, labels, project, vmId, leaving } = vm
  const images = imagesOf(state, spec, project)
  const wished = spec.placement.node === undefined ? undefined : findByRef(state, 'node', spec.placement.node, '')
  const named = wished?.id === leaving ? undefined : wished
  const candidates = (named === undefined ? [...state.tables.node.values()] : [named]).filter((node) => node.id !== leaving)
  const unfit: Considered[] = []
  const fits: Fit[] = []
  for (const node of candidates) {
    const reason = unavailable(state, node, ready, named !== undefined) ?? misfit(state, node, { spec, labels, images, running: spec.runState !== 'stopped', ownVmId: vmId })
    if (reason !== null) unfit.push({ nodeId: node.id, node: node.name, fits: false, reason })
    else {
      const { memoryMiB, vms } = allocationOf(state, node.id)
      fits.push({
        node, vms, conflicts: unwelcome(state, node.id, { spec, labels, ownVmId: vmId }), missingImages: images.filter((image) => !image.holders.includes(node.id)).length,
        freeMiB: (node.announcement?.capacity.memoryMiB ?? 0) - memoryMiB,
      })
    }
  }
  const ordered = fits.toSorted(spec.placement.strategy === 'pack' ? byRank((left, right) => left.freeMiB - right.freeMiB) : byRank((left, right) => right.freeMiB - left.freeMiB))
  const considered = [
    ...ordered.map((fit): Considered => ({ nodeId: fit.node.id, node: fit.node.name, fits: true, reason: describe(fit) })),
    ...unfit.toSorted((left, right) => (left.node < right.node ? -1 : 1)),
  ]
  const best = ordered[0]
  if (best === undefined) return { kind: 'noFit', considered, reasons: considered.map(({ node, reason }) => ({ node, reason })) }
  return { kind: 'placed', considered, nodeId: best.node.id, nodeName: best.node.name, reason: named === undefined ? choice(spec, best, ordered) : 'named in the spec' }
}

function unavailable(state: State, node: StoredNode, ready: ReadonlySet<string>, named: boolean): string | null {
  if (!ready.has(node.id)) return 'is not in touch'
  if (node.spec.draining === true) return drainOf(state, node.id) === undefined ? drainedReason : 'is being drained'
  return node.spec.schedulable || named ? null : 'takes no new VMs'
}

/**
 * Neighbours it had rather not have weigh most, then images that would have to be fetched, then memory. Those that are stopped take none: then their
 * number decides, lest all of them wake on one node; names break ties.
 */
function byRank(byMemory: (left: Fit, right: Fit) => number): (left: Fit, right: Fit) => number {
  return (left, right) => left.conflicts - right.conflicts || left.missingImages - right.missingImages || byMemory(left, right) || left.vms - right.vms || (left.node.name < right.node.name ? -1 : 1)
}

function describe({ conflicts, missingImages, freeMiB }: Fit): string {
  const parts = [`${freeMiB} MiB of memory free`]
  if (conflicts > 0) parts.push(conflicts === 1 ? '1 VM it had rather not be with' : `${conflicts} VMs it had rather not be with`)
  if (missingImages > 0) parts.push('its image has to be fetched')
  return parts.join(', ')
}

function choice(spec: VmSpec, best: Fit, fits: readonly Fit[]): string {
  if (fits.length === 1) return `the only node that fits (${describe(best)})`
  const rule = spec.placement.strategy === 'pack' ? 'least memory free that suffices' : 'most memory free'
  const others = fits.slice(1)
  if (others.every((other) => other.conflicts > best.conflicts)) return `fewest VMs it had rather not be with, of ${fits.length} that fit`
  return `${rule} (${best.freeMiB} MiB) of ${fits.length} that fit`
}
