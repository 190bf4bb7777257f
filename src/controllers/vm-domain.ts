// From a VM in the state to what its host needs: volumes, seed and the domain's description.
import { OperationalError } from '../model/error.ts'
import type { StoredVm } from '../model/vm.ts'
import type { DomainSpec } from '../ports/hypervisor.ts'
import type { StorageDriver, Volume } from '../ports/storage.ts'

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
 * Makes and grows what is missing; what is there stays.
 * @throws STORAGE_FAILED where a disk that was made once is gone: it may only be out of reach, and a new one would be empty
 */
export async function prepareVolumes(vm: StoredVm, storage: StorageDriver): Promise<{ readonly volumes: readonly Volume[]; readonly seedPath: string | null }> {
  const present = new Set((await storage.volumes(vm.id)).map((volume) => volume.name))
  const lost = vm.spec.disks.filter((disk) => !present.has(disk.name) && vm.report.madeDisks?.includes(disk.name) === true).map((disk) => disk.name)
  if (lost.length > 0) {
    throw new OperationalError('STORAGE_FAILED', `Disk ${lost.join(', ')} of ${vm.name} is gone from this node's storage. It was not made anew, for it would be empty: bring it back, or delete the VM.`)
  }
  const volumes: Volume[] = []
  for (const disk of vm.spec.disks) {
    const sizeBytes = sizeBytesOf(disk)
    const volume = await storage.createVolume({ vmId: vm.id, name: disk.name, sizeBytes, image: vm.images[disk.name] ?? null })
    if (sizeBytes !== null && volume.sizeBytes < sizeBytes) await storage.resizeVolume(vm.id, disk.name, sizeBytes)
    volumes.push(volume)
  }
  const seedPath = vm.spec.cloudInit === undefined ? null : await storage.writeSeed(vm.id, { ...vm.spec.cloudInit, hostname: vm.name })
  return { volumes, seedPath }
}

/** @throws where a disk has no volume: prepare first */
export function domainSpecOf(vm: StoredVm, volumes: readonly Volume[], seedPath: string | null): DomainSpec {
  return {
    id: vm.id,
    domainName: vm.domainName,
    title: vm.name,
    epoch: vm.assignment?.epoch ?? 0,
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
