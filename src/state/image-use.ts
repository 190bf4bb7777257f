// Questions about images: what stands on them, where they are needed, how many nodes shall keep them.
import type { StoredImage } from '../model/image.ts'
import type { StoredVm } from '../model/vm.ts'
import { vmsHeldOn } from './query.ts'
import type { State } from './state.ts'

/** Disks made of an image. */
export function imageUses(state: State, imageId: string): number {
  return state.usage.byImage.get(imageId) ?? 0
}

/** VMs with disks made of an image, by name. */
export function vmsOfImage(state: State, imageId: string): readonly StoredVm[] {
  const ids = state.usage.vmIdsByImage.get(imageId) ?? new Set<string>()
  const vms = [...ids].map((id) => state.tables.vm.get(id)).filter((vm) => vm !== undefined)
  return vms.toSorted((left, right) => (left.name < right.name ? -1 : 1))
}

export function vmCountOfImage(state: State, imageId: string): number {
  return state.usage.vmIdsByImage.get(imageId)?.size ?? 0
}

/** Null for an image whose number of copies nobody set. */
export function copiesWanted(state: State, image: StoredImage): number | null {
  const { copies } = image.spec
  if (copies === undefined) return null
  const staying = [...state.tables.node.values()].filter((node) => node.leaving === undefined).length
  return copies === 'all' ? staying : Math.min(copies, staying)
}

/** Holders that are members; the others are gone with what they had. */
export function holdersOf(state: State, image: StoredImage): readonly string[] {
  return image.holders.filter((id) => state.tables.node.has(id))
}

/** Holders that stay: copies on a node that is being removed do not count, so that others are made in time. */
export function keepersOf(state: State, image: StoredImage): readonly string[] {
  return holdersOf(state, image).filter((id) => state.tables.node.get(id)?.leaving === undefined)
}

/** Nodes that hold this content, whatever the image is called. */
export function holdersOfContent(state: State, sha256: string): readonly string[] {
  const nodeIds = new Set<string>()
  for (const image of state.tables.image.values()) if (image.spec.sha256 === sha256) for (const id of holdersOf(state, image)) nodeIds.add(id)
  return [...nodeIds].toSorted()
}

/** Disks on the node, present or on their way there, are made of this content. */
export function isImageNeededOn(state: State, sha256: string, nodeId: string): boolean {
  const stands = (vm: StoredVm) => Object.values(vm.images).some((image) => image.sha256 === sha256)
  return vmsHeldOn(state, nodeId).some(stands)
}

/** Whether a node that has no copy may get one when a VM comes to it. */
export function isDistributed(image: StoredImage): boolean {
  return image.spec.copies !== undefined
}
