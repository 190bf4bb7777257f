// Questions about the state that more than one room asks: lookups by name or id, what is allotted, what fits where.
import type { CommandType } from '../model/command.ts'
import { commandLevels } from '../model/feature-level.ts'
import { isId } from '../model/id.ts'
import type { StoredImage } from '../model/image.ts'
import type { StoredNode } from '../model/node.ts'
import { defaultProject, type Labels } from '../model/resource.ts'
import type { StoredVm, VmSpec } from '../model/vm.ts'
import { keptApart } from './affinity.ts'
import { nameKey, type State, type TableName, type Tables } from './state.ts'
import { noAllocation, reserves, type Allocation } from './usage.ts'

/** The record that a path element means, by id or by name; undefined where there is none. */
export function findByRef<Name extends TableName>(state: State, table: Name, ref: string, project: string): Tables[Name] | undefined {
  const map = state.tables[table] as Map<string, Tables[Name]>
  if (isId(ref)) return map.get(ref)
  const id = state.names.get(nameKey(table, project, ref))
  return id === undefined ? undefined : map.get(id)
}

export function projectExists(state: State, name: string): boolean {
  return name === defaultProject || state.names.has(nameKey('project', '', name))
}

/** The image that a VM of a project means: one of its own project, else one of the cluster's library, which is the project default. Ids of others are not found. */
export function findImage(state: State, ref: string, project: string): StoredImage | undefined {
  const found = findByRef(state, 'image', ref, project) ?? findByRef(state, 'image', ref, defaultProject)
  return found !== undefined && (found.project === project || found.project === defaultProject) ? found : undefined
}

/** Whether every member's last announced version knows the command type: only then may it be proposed. One that has announced nothing yet knows the first level. */
export function mayPropose(state: State, type: CommandType): boolean {
  return isKnownToAll(state, commandLevels[type] ?? 1)
}

export function isKnownToAll(state: State, level: number): boolean {
  return [...state.tables.node.values()].every((node) => (node.announcement?.featureLevel ?? 1) >= level)
}

/** VMs whose owner the node is. */
export function vmsOnNode(state: State, nodeId: string): readonly StoredVm[] {
  return vmsHeldOn(state, nodeId).filter((vm) => vm.assignment?.nodeId === nodeId)
}

/** VMs that are there, come there or go from there; by id, for apply must find the same order on every node. */
export function vmsHeldOn(state: State, nodeId: string): readonly StoredVm[] {
  const ids = state.vmIdsByNode.get(nodeId)
  if (ids === undefined) return []
  return [...ids].toSorted().map((id) => state.tables.vm.get(id)).filter((vm) => vm !== undefined)
}

/** What VMs that run or shall run take of a node. */
export function allocationOf(state: State, nodeId: string): Allocation {
  return state.usage.byNode.get(nodeId) ?? noAllocation
}

/** A VM that is to be on some node. `labels` matter to VMs that keep away from some. */
export type Candidate = { readonly spec: VmSpec; readonly labels: Labels; readonly images: readonly StoredImage[]; readonly running: boolean; readonly ownVmId: string }

/**
 * Null where the VM fits on the node; else the reason for people.
 * @param running counts against what is free now; a stopped VM has only to fit the empty node
 */
export function misfit(state: State, node: StoredNode, options: Candidate): string | null {
  const { spec, images, running, ownVmId } = options
  if (node.leaving !== undefined) return 'is being removed'
  if (node.announcement === null) return 'has not said what it has'
  if (node.announcement.accelerator === 'none') return 'has no hypervisor that answers'
  const { capacity } = node.announcement
  const missing = images.find((image) => !image.holders.includes(node.id) && image.spec.copies === undefined)
  if (missing !== undefined) return `does not hold image ${missing.name}`
  if (spec.cpus > capacity.cpus) return `has ${capacity.cpus} CPUs, fewer than ${spec.cpus}`
  if (spec.memoryMiB > capacity.memoryMiB) return `has ${capacity.memoryMiB} MiB of memory, less than ${spec.memoryMiB}`
  const diskBytes = spec.disks.reduce((sum, disk) => sum + (disk.sizeGiB ?? 0) * 2 ** 30, 0)
  if (diskBytes > capacity.storageBytes) return `has ${Math.floor(capacity.storageBytes / 2 ** 30)} GiB of storage, less than the disks ask for`
  const kept = keptApart(state, node.id, { spec, labels: options.labels, ownVmId })
  if (kept !== null) return `runs ${kept.vm}, which ${kept.because}`
  if (!running) return null
  const own = state.tables.vm.get(ownVmId)
  const ownMemory = own !== undefined && own.assignment?.nodeId === node.id && reserves(own) ? own.spec.memoryMiB : 0
  const freeMiB = capacity.memoryMiB - allocationOf(state, node.id).memoryMiB + ownMemory
  return spec.memoryMiB > freeMiB ? `has ${freeMiB} MiB of memory free, less than ${spec.memoryMiB}` : null
}
