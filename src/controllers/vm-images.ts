// Images that a VM's disks are to be made of and that this node has yet to fetch, beside the work of its controller.
import type { StoredVm } from '../model/vm.ts'
import type { ImageSupply } from '../ports/image-supply.ts'
import type { StorageDriver } from '../ports/storage.ts'

/** How often the share is told: each time is a report through the log. */
const toldPercent = 25

type Fetch = { readonly abort: AbortController; percent: number; failure: Error | null; ended: boolean }

export class VmImages {
  readonly #ports: { readonly supply: ImageSupply; readonly storage: StorageDriver }
  readonly #onEnd: (vmId: string) => void
  readonly #fetches = new Map<string, Fetch>()

  /** @param onEnd called when a fetch for the VM has ended, well or not */
  constructor(ports: { readonly supply: ImageSupply; readonly storage: StorageDriver }, onEnd: (vmId: string) => void) {
    this.#ports = ports
    this.#onEnd = onEnd
  }

  /** Null where every image is here; else what is going on, for people. @throws what the fetch failed with, once */
  async missing(vm: StoredVm): Promise<string | null> {
    const lacking = []
    for (const image of new Map(Object.values(vm.images).map((each) => [each.sha256, each])).values()) {
      if (!(await this.#ports.storage.hasImage(image.sha256))) lacking.push(image)
    }
    const running = this.#fetches.get(vm.id)
    if (lacking.length === 0) {
      this.forget(vm.id)
      return null
    }
    if (running?.ended === true) {
      this.#fetches.delete(vm.id)
      if (running.failure !== null) throw running.failure
    }
    const fetch = this.#fetches.get(vm.id) ?? this.#begin(vm.id, lacking)
    return fetch.percent === 0 ? 'Its image is being fetched from another node.' : `Its image is being fetched from another node: ${fetch.percent} % are here.`
  }

  /** Ends the fetch for a VM that does not need it any more. */
  forget(vmId: string): void {
    this.#fetches.get(vmId)?.abort.abort()
    this.#fetches.delete(vmId)
  }

  stop(): void {
    for (const vmId of this.#fetches.keys()) this.forget(vmId)
  }

  #begin(vmId: string, images: readonly StoredVm['images'][string][]): Fetch {
    const fetch: Fetch = { abort: new AbortController(), percent: 0, failure: null, ended: false }
    this.#fetches.set(vmId, fetch)
    const work = async () => {
      for (const image of images) {
        await this.#ports.supply.ensure(image.sha256, image.format, fetch.abort.signal, ({ processedBytes, totalBytes }) => {
          fetch.percent = totalBytes === 0 ? 0 : Math.floor((processedBytes / totalBytes) * (100 / toldPercent)) * toldPercent
        })
      }
    }
    const end = (failure: Error | null) => {
      fetch.failure = failure
      fetch.ended = true
      if (!fetch.abort.signal.aborted) this.#onEnd(vmId)
    }
    work().then(() => end(null), (error: unknown) => end(error instanceof Error ? error : new Error(String(error))))
    return fetch
  }
}
