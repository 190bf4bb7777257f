// A VM's place on this host while it moves: images, volumes and domain, made on the way in and taken away on the way out.
import { OperationalError } from '../model/error.ts'
import type { NodeId } from '../model/id.ts'
import type { MoveOutputs } from '../model/migration.ts'
import type { StoredVm } from '../model/vm.ts'
import { sizeBytesOf } from '../planner/domain.ts'
import type { Hypervisor } from '../ports/hypervisor.ts'
import type { ImageSupply } from '../ports/image-supply.ts'
import type { ProgressBoard } from '../ports/progress.ts'
import type { StorageDriver } from '../ports/storage.ts'
import type { MoveOperation } from '../state/migration.ts'
import type { StateHolder } from '../state/state.ts'
import { done, type StepOutcome } from './step.ts'

export type VmPlacePorts = {
  readonly hypervisor: Hypervisor
  readonly storage: StorageDriver
  readonly supply: ImageSupply
  readonly progress: ProgressBoard
  readonly consensus: StateHolder
}

export class VmPlace {
  readonly #nodeId: NodeId
  readonly #ports: VmPlacePorts

  constructor(options: { readonly nodeId: NodeId }, ports: VmPlacePorts) {
    this.#nodeId = options.nodeId
    this.#ports = ports
  }

  /** @throws OperationalError NOT_FOUND where the state has no such VM any more */
  requireVm(operation: MoveOperation): StoredVm {
    const vm = this.#ports.consensus.state.tables.vm.get(operation.spec.target.id)
    if (vm === undefined) throw new OperationalError('NOT_FOUND', `VM ${operation.spec.target.name} is gone.`)
    return vm
  }

  async fetchImages(operation: MoveOperation, vm: StoredVm, signal: AbortSignal): Promise<void> {
    const { supply, progress } = this.#ports
    for (const { sha256, format } of Object.values(vm.images)) {
      await supply.ensure(sha256, format, signal, ({ processedBytes, totalBytes }) => progress.report(operation.id, { phase: 'image', processedBytes, totalBytes, downtimeMs: null }))
    }
  }

  /** Volumes as large as those they are to become, on the same images. */
  async makeVolumes(vm: StoredVm): Promise<Pick<MoveOutputs, 'volumes' | 'seedPath'>> {
    const { storage } = this.#ports
    const volumes = []
    for (const disk of vm.spec.disks) {
      const { name, path, sizeBytes } = await storage.createVolume({ vmId: vm.id, name: disk.name, sizeBytes: sizeBytesOf(disk), image: vm.images[disk.name] ?? null })
      volumes.push({ name, path, sizeBytes })
    }
    const seedPath = vm.spec.cloudInit === undefined ? null : await storage.writeSeed(vm.id, { ...vm.spec.cloudInit, hostname: vm.name })
    return { volumes, seedPath }
  }

  /** Takes away whatever this host has of the VM, unless it is its owner: asked twice, the second time finds nothing. */
  async clear(operation: MoveOperation): Promise<StepOutcome> {
    const { hypervisor, storage, consensus } = this.#ports
    const { id } = operation.spec.target
    if (consensus.state.tables.vm.get(id)?.assignment?.nodeId === this.#nodeId) return done()
    await forgetDomain(hypervisor, id)
    await storage.deleteVolumes(id)
    return done()
  }
}

/** Cuts the domain's power and forgets it; one that is not there is fine. */
export async function forgetDomain(hypervisor: Hypervisor, id: string): Promise<void> {
  try {
    if ((await hypervisor.find(id)) === null) return
    await hypervisor.destroy(id)
  } catch (error) {
    if (error instanceof OperationalError && error.code === 'DOMAIN_MISSING') return
    throw error
  }
  await hypervisor.undefine(id)
}
