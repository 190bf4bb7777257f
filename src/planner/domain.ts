// What a VM's host needs of it, from the state: sizes of its volumes and the description of its domain.
import type { StoredVm } from '../model/vm.ts'
import type { DomainSpec } from '../ports/hypervisor.ts'
import type { Volume } from '../ports/storage.ts'

/** Volume sizes are whole MiB. */
const mebibyte = 2 ** 20

export function sizeBytesOf(disk: StoredVm['spec']['disks'][number]): number | null {
  return disk.sizeGiB === undefined ? null : Math.ceil((disk.sizeGiB * 2 ** 30) / mebibyte) * mebibyte
}

/** Every disk has its volume, as large as wished. */
export function hasAllVolumes(vm: StoredVm, volumes: readonly Volume[]): boolean {
  return vm.spec.disks.every((disk) => {
    const volume = volumes.find((candidate) => candidate.name === disk.name)
    return volume !== undefined && volume.sizeBytes >= (sizeBytesOf(disk) ?? 0)
  })
}

/**
 * @param epoch the holder's, where it is not the owner's
 * @throws where a disk has no volume: prepare first
 */
export function domainSpecOf(vm: StoredVm, volumes: readonly Pick<Volume, 'name' | 'path'>[], seedPath: string | null, epoch = vm.assignment?.epoch ?? 0): DomainSpec {
  return {
    id: vm.id,
    domainName: vm.domainName,
    title: vm.name,
    epoch,
    cpus: vm.spec.cpus,
    memoryMiB: vm.spec.memoryMiB,
    firmware: vm.spec.firmware,
    disks: vm.spec.disks.map((disk) => {
      const volume = volumes.find((candidate) => candidate.name === disk.name)
      if (volume === undefined) throw new Error(`disk ${disk.name} of ${vm.name} has no volume`)
      return { name: disk.name, path: volume.path, format: 'qcow2', bus: disk.bus, readOnly: false }
    }),
    seedPath,
    nics: vm.spec.nics.map((nic) => ({ network: nic.network, mac: nic.mac ?? '' })),
  }
}
