// What VMs take of nodes and images, kept as they come and go: asked at every placement, start and list.
import type { StoredVm } from '../model/vm.ts'

export type Allocation = { readonly cpus: number; readonly memoryMiB: number; readonly vms: number; readonly vmsRunning: number }
export const noAllocation: Allocation = { cpus: 0, memoryMiB: 0, vms: 0, vmsRunning: 0 }

export type Usage = {
  /** Node id → what its VMs take; nodes without VMs are not in it. */
  readonly byNode: Map<string, Allocation>
  /** Image id → disks made of it; images without are not in it. */
  readonly byImage: Map<string, number>
  /** Image id → VMs with such disks. */
  readonly vmIdsByImage: Map<string, Set<string>>
}

export function emptyUsage(): Usage {
  return { byNode: new Map(), byImage: new Map(), vmIdsByImage: new Map() }
}

/** A VM comes (1) or goes (-1). */
export function countVm(usage: Usage, vm: StoredVm, sign: 1 | -1): void {
  for (const { imageId } of Object.values(vm.images)) {
    const disks = (usage.byImage.get(imageId) ?? 0) + sign
    if (disks === 0) usage.byImage.delete(imageId)
    else usage.byImage.set(imageId, disks)
    countUser(usage.vmIdsByImage, imageId, { vmId: vm.id, comes: sign === 1 })
  }
  if (vm.assignment === null) return
  countOn(usage, vm.assignment.nodeId, vm, { sign, owner: true })
  // While it moves it takes its room on both hosts.
  const migration = vm.migration ?? null
  const other = migration === null ? null : migration.source.nodeId === vm.assignment.nodeId ? migration.target : migration.source
  if (other !== null) countOn(usage, other.nodeId, vm, { sign, owner: false })
}

function countOn(usage: Usage, nodeId: string, vm: StoredVm, { sign, owner }: { readonly sign: 1 | -1; readonly owner: boolean }): void {
  const former = usage.byNode.get(nodeId) ?? noAllocation
  const taken = reserves(vm) ? sign : 0
  const next = {
    cpus: former.cpus + taken * vm.spec.cpus,
    memoryMiB: former.memoryMiB + taken * vm.spec.memoryMiB,
    vms: former.vms + (owner ? sign : 0),
    vmsRunning: former.vmsRunning + (owner && vm.report.phase === 'running' ? sign : 0),
  }
  if (next.vms === 0 && next.memoryMiB === 0) usage.byNode.delete(nodeId)
  else usage.byNode.set(nodeId, next)
}

function countUser(users: Map<string, Set<string>>, imageId: string, { vmId, comes }: { readonly vmId: string; readonly comes: boolean }): void {
  const ids = users.get(imageId) ?? new Set()
  if (comes) ids.add(vmId)
  else ids.delete(vmId)
  if (ids.size === 0) users.delete(imageId)
  else users.set(imageId, ids)
}

/** A VM holds its memory from the wish to run until it is seen stopped. */
export function reserves(vm: StoredVm): boolean {
  return vm.spec.runState !== 'stopped' || (vm.report.phase !== 'stopped' && vm.report.phase !== 'failed' && vm.report.phase !== 'pending')
}
