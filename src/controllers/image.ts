// Deletes image files that no image and no disk of the cluster needs any more.
import type { Cancel, Clock } from '../ports/clock.ts'
import type { Consensus } from '../ports/consensus.ts'
import type { Log } from '../ports/log.ts'
import type { StorageDriver } from '../ports/storage.ts'
import type { State, StateHolder } from '../state/state.ts'

const periodMs = 30_000

export type ImageControllerPorts = {
  readonly clock: Clock
  readonly log: Log
  readonly consensus: Consensus & StateHolder
  readonly storage: StorageDriver
}

export class ImageController {
  readonly #ports: ImageControllerPorts
  /** Files without a use at the last look: an import is registered well within one period. */
  #suspects = new Set<string>()
  #cancel: Cancel | null = null
  #busy = false

  constructor(ports: ImageControllerPorts) {
    this.#ports = ports
  }

  start(): void {
    this.#cancel = this.#ports.clock.every(periodMs, () => void this.#look())
  }

  stop(): void {
    this.#cancel?.()
  }

  async #look(): Promise<void> {
    // An old state may not know a new image yet: without quorum nothing is deleted.
    if (this.#busy || !this.#ports.consensus.status().quorum) return
    this.#busy = true
    try {
      await this.#ports.consensus.readBarrier()
      await this.#sweep()
    } catch (error) {
      this.#ports.log.debug('images were not swept', { error: String(error) })
    } finally {
      this.#busy = false
    }
  }

  async #sweep(): Promise<void> {
    const { storage, consensus } = this.#ports
    const files = await storage.images()
    const needed = neededImages(consensus.state)
    const unneeded = files.filter((sha256) => !needed.has(sha256))
    for (const sha256 of unneeded.filter((candidate) => this.#suspects.has(candidate))) await this.#delete(sha256)
    this.#suspects = new Set(unneeded)
  }

  async #delete(sha256: string): Promise<void> {
    const { storage, consensus, log } = this.#ports
    // Deleting takes time: somebody may have registered the same content meanwhile.
    if (neededImages(consensus.state).has(sha256)) return
    try {
      await storage.deleteImage(sha256)
      log.info('image file deleted', { sha256 })
    } catch (error) {
      log.debug('an image file could not be deleted', { sha256, error: String(error) })
    }
  }
}

function neededImages(state: State): ReadonlySet<string> {
  const needed = new Set<string>()
  for (const image of state.tables.image.values()) needed.add(image.spec.sha256)
  for (const vm of state.tables.vm.values()) for (const image of Object.values(vm.images)) needed.add(image.sha256)
  return needed
}
