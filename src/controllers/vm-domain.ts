// Makes what a VM's host needs before it can be defined: its volumes and its seed.
import { OperationalError } from '../model/error.ts'
import type { StoredVm } from '../model/vm.ts'
import { sizeBytesOf } from '../planner/domain.ts'
import type { StorageDriver, Volume } from '../ports/storage.ts'

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
