// A VM's spec against the state: what it names must exist, what may be edited, images resolved, MAC addresses allotted.
import { z } from 'zod'
import type { FieldError } from '../model/error.ts'
import { fieldErrorsOf } from '../model/field-error.ts'
import { labelsSchema, nameSchema } from '../model/id.ts'
import type { StoredImage } from '../model/image.ts'
import { vmSpecSchema, type StoredVm, type VmSpec } from '../model/vm.ts'
import { isDistributed } from './image-use.ts'
import { mergePatch } from './merge-patch.ts'
import { findByRef, findImage } from './query.ts'
import type { State } from './state.ts'
import { Refusal } from './transaction.ts'

/** What exists in every cluster without being made; more come as resources. */
const builtInNetworks: ReadonlySet<string> = new Set(['nat'])
const builtInPools: ReadonlySet<string> = new Set(['local'])

const patchedSchema = z.strictObject({ name: nameSchema, labels: labelsSchema, spec: vmSpecSchema })

type Patched = z.output<typeof patchedSchema>
const touchedSchema = patchedSchema.partial()

/** With a merge patch over name, labels and spec. @throws Refusal INVALID with a path for each wrong field */
export function patchedVm({ name, labels, spec }: StoredVm, patch: Readonly<Record<string, unknown>>): Patched {
  const former: Patched = { name, labels, spec }
  const merged = mergePatch(former, patch) as Readonly<Record<string, unknown>>
  const touched = Object.keys(patch)
  // What the patch leaves alone was parsed when it was written.
  if (touched.every((key) => Object.hasOwn(former, key) && Object.hasOwn(merged, key))) {
    const parsed = touchedSchema.safeParse(Object.fromEntries(touched.map((key) => [key, merged[key]])))
    if (parsed.success) return { name: parsed.data.name ?? name, labels: parsed.data.labels ?? labels, spec: parsed.data.spec ?? spec }
  }
  const parsed = patchedSchema.safeParse(merged)
  if (parsed.success) return parsed.data
  throw new Refusal('INVALID', 'The change would make the VM invalid.', fieldErrorsOf(parsed.error))
}

/** @throws Refusal REFERENCE_MISSING with a path for each missing thing */
export function requireKnownReferences(state: State, spec: VmSpec, project: string): void {
  const fields: FieldError[] = []
  for (const [at, disk] of spec.disks.entries()) {
    if (!builtInPools.has(disk.pool)) fields.push({ path: `spec.disks.${at}.pool`, message: `there is no pool ${disk.pool}` })
    if (disk.image === undefined) {
      if (disk.sizeGiB === undefined) throw new Refusal('INVALID', 'A blank disk needs a size.', [{ path: `spec.disks.${at}.sizeGiB`, message: 'is needed where no image is given' }])
      continue
    }
    const image = findImage(state, disk.image, project)
    if (image === undefined) fields.push({ path: `spec.disks.${at}.image`, message: `there is no image ${disk.image}` })
    else if (disk.sizeGiB !== undefined && disk.sizeGiB * 2 ** 30 < image.spec.virtualSizeBytes) {
      const leastGiB = Math.ceil((image.spec.virtualSizeBytes / 2 ** 30) * 1000) / 1000
      throw new Refusal('INVALID', `Image ${image.name} needs at least ${leastGiB} GiB.`, [{ path: `spec.disks.${at}.sizeGiB`, message: `must be at least ${leastGiB}` }])
    }
  }
  for (const [at, nic] of spec.nics.entries()) {
    if (!builtInNetworks.has(nic.network)) fields.push({ path: `spec.nics.${at}.network`, message: `there is no network ${nic.network}` })
  }
  const wished = spec.placement.node
  if (wished !== undefined && findByRef(state, 'node', wished, '') === undefined) fields.push({ path: 'spec.placement.node', message: `there is no node ${wished}` })
  if (fields.length > 0) throw new Refusal('REFERENCE_MISSING', `Not found: ${fields.map((field) => field.message.replace('there is no ', '')).join(', ')}.`, fields)
}

/** @param project the VM's */
export function imagesOf(state: State, spec: VmSpec, project: string): readonly StoredImage[] {
  return spec.disks
    .map((disk) => (disk.image === undefined ? undefined : findImage(state, disk.image, project)))
    .filter((image) => image !== undefined)
}

/** A disk keeps the content it was made of, whatever its image's name means later. */
export function resolveImages(state: State, spec: VmSpec, { former, project }: { readonly former: StoredVm['images']; readonly project: string }): StoredVm['images'] {
  const images: Record<string, StoredVm['images'][string]> = {}
  for (const disk of spec.disks) {
    const kept = Object.hasOwn(former, disk.name) ? former[disk.name] : undefined
    if (kept !== undefined) images[disk.name] = kept
    else if (disk.image !== undefined) {
      const image = findImage(state, disk.image, project)
      if (image !== undefined) images[disk.name] = { imageId: image.id, sha256: image.spec.sha256, format: image.spec.format }
    }
  }
  return images
}

/**
 * What an edit may not do: lose a disk's data, shrink a disk, or move the VM.
 * @throws Refusal INVALID or STATE_CONFLICT
 */
export function requireEditable(state: State, vm: StoredVm, next: VmSpec): void {
  const stopped = (vm.report.phase === 'stopped' || vm.report.phase === 'pending') && vm.spec.runState === 'stopped' && vm.operationId === null
  for (const disk of vm.spec.disks) {
    const at = next.disks.findIndex((candidate) => candidate.name === disk.name)
    const kept = next.disks[at]
    if (kept === undefined) throw new Refusal('INVALID', `Disk ${disk.name} of ${vm.name} would be lost. Disks go only with their VM.`, [{ path: 'spec.disks', message: `disk ${disk.name} is missing` }])
    if (kept.image !== disk.image) throw new Refusal('INVALID', `Disk ${disk.name} was made of its image once; that cannot be changed.`, [{ path: `spec.disks.${at}.image`, message: 'cannot be changed' }])
    if (kept.pool !== disk.pool) throw new Refusal('INVALID', `Disk ${disk.name} cannot change its pool.`, [{ path: `spec.disks.${at}.pool`, message: 'cannot be changed' }])
    if (kept.sizeGiB === disk.sizeGiB) continue
    if ((kept.sizeGiB ?? 0) < (disk.sizeGiB ?? 0)) throw new Refusal('INVALID', `Disk ${disk.name} cannot shrink.`, [{ path: `spec.disks.${at}.sizeGiB`, message: `must be at least ${disk.sizeGiB}` }])
    if (!stopped) throw new Refusal('STATE_CONFLICT', `Stop ${vm.name} before its disk ${disk.name} grows.`, [{ path: `spec.disks.${at}.sizeGiB`, message: 'can grow only while the VM is stopped' }])
  }
  for (const [at, disk] of next.disks.entries()) {
    if (vm.spec.disks.some((former) => former.name === disk.name) || disk.image === undefined) continue
    const image = findImage(state, disk.image, vm.project)
    const nodeId = vm.assignment?.nodeId
    if (image !== undefined && nodeId !== undefined && !image.holders.includes(nodeId) && !isDistributed(image)) {
      throw new Refusal('REFERENCE_MISSING', `Image ${image.name} is not on the node of ${vm.name}.`, [{ path: `spec.disks.${at}.image`, message: 'is not on the VM\'s node' }])
    }
  }
  const wished = next.placement.node
  if (wished === undefined || wished === vm.spec.placement.node) return
  const node = findByRef(state, 'node', wished, '')
  if (node !== undefined && node.id !== vm.assignment?.nodeId) {
    throw new Refusal('STATE_CONFLICT', `${vm.name} is on another node than ${node.name} and stays there: an edit does not move it.`, [{ path: 'spec.placement.node', message: 'is another node than the VM\'s' }])
  }
}

/**
 * Gives each NIC without a MAC address one that nobody in the cluster has, drawn from the command's random seed.
 * @param own addresses that are this VM's already
 * @throws Refusal INVALID where a given address is another VM's
 */
export function allotMacs(state: State, nics: VmSpec['nics'], seed: string, own: ReadonlySet<string>): VmSpec['nics'] {
  const taken = new Set<string>()
  for (const [at, nic] of nics.entries()) {
    if (nic.mac === undefined) continue
    if (taken.has(nic.mac) || (state.macs.has(nic.mac) && !own.has(nic.mac))) {
      throw new Refusal('INVALID', `MAC address ${nic.mac} is in use.`, [{ path: `spec.nics.${at}.mac`, message: 'is in use' }])
    }
    taken.add(nic.mac)
  }
  let number = Number.parseInt(seed.slice(0, 6), 16)
  return nics.map((nic) => {
    if (nic.mac !== undefined) return nic
    let mac = macOf(number)
    while (taken.has(mac) || state.macs.has(mac)) mac = macOf(++number)
    taken.add(mac)
    return { ...nic, mac }
  })
}

/** 52:54:00 is the range QEMU's own addresses come from. */
function macOf(number: number): string {
  const hex = (number % 0x1000000).toString(16).padStart(6, '0')
  return `52:54:00:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4, 6)}`
}
