// Words and paths about a VM that several pages use.
import type { Vm } from '../../src/model/vm.ts'
import { mebibytes } from './figures.ts'

/** Its page; by name, but by id where the name is also the word of a page. */
export function vmPath(vm: Pick<Vm, 'id' | 'name' | 'project'>): string {
  return `/vms/${vm.name === 'new' || vm.name === 'bulk' || vm.project !== 'default' ? vm.id : vm.name}`
}

/** "2 CPU, 4 GiB". */
export function vmSize(vm: Pick<Vm, 'spec'>): string {
  return `${vm.spec.cpus} CPU, ${mebibytes(vm.spec.memoryMiB)}`
}

/** "image tiny", "2 disks" or "no disk". */
export function vmOrigin(vm: Pick<Vm, 'spec'>): string {
  const image = vm.spec.disks.find((disk) => disk.image !== undefined)?.image
  if (image !== undefined) return `from image ${image}`
  return vm.spec.disks.length === 0 ? 'no disk' : vm.spec.disks.length === 1 ? 'blank disk' : `${vm.spec.disks.length} blank disks`
}

/** Labels as tags: `key=value`, or the key alone where it has no value. */
export function labelTexts(labels: Readonly<Record<string, string>>): string[] {
  return Object.entries(labels)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([key, value]) => (value === '' ? key : `${key}=${value}`))
}

/** Labels as they are typed: "env=prod, team=web". */
export function labelsText(labels: Readonly<Record<string, string>>): string {
  return labelTexts(labels).join(', ')
}
