// The StorageDriver port in memory: sizes and hashes are real, the bytes of volumes are not.
import { createHash } from 'node:crypto'
import { judgeDiskImage } from '../../formats/disk-image.ts'
import { qcow2HeaderBytes } from '../../formats/qcow2.ts'
import { OperationalError } from '../../model/error.ts'
import type { CloudInit } from '../../model/vm.ts'
import type { Clock, Random } from '../../ports/clock.ts'
import type { ImageFile, StorageDriver, Volume, VolumeRequest } from '../../ports/storage.ts'
import { SimImageIntake, type HeldPartial } from './image-intake.ts'
import { checkVmId, checkVolumeName, checkVolumeSize } from '../volume-rules.ts'

/** Larger images are a hash and a size only. */
const contentBytesMax = 4 * 1024 * 1024
/** What an empty volume takes. */
const volumeBytes = 256 * 1024
/** A volume travels in so many. */
const piecesMax = 8

/** Plain knobs, to be set at any time. */
export type PoolFaults = {
  latencyMsMin: number
  latencyMsMax: number
  /** Chance of an operation failing with STORAGE_FAILED, having done nothing. */
  failRatio: number
  capacityBytes: number
}

type HeldVolume = { sizeBytes: number; readonly image: string | null }

/** What is on a simulated host's disks; it outlives the daemon. */
export class SimPool {
  readonly faults: PoolFaults = { latencyMsMin: 1, latencyMsMax: 10, failRatio: 0, capacityBytes: 2 ** 40 }
  readonly images = new Map<string, ImageFile>()
  /** Bytes of small images, which other hosts may fetch. */
  readonly contents = new Map<string, Uint8Array>()
  readonly partials = new Map<string, HeldPartial>()
  /** VM id → volume name → volume. */
  readonly volumes = new Map<string, Map<string, HeldVolume>>()
  readonly seeds = new Map<string, string>()

  usedBytes(): number {
    let used = 0
    for (const image of this.images.values()) used += image.sizeBytes
    for (const volumes of this.volumes.values()) used += volumes.size * volumeBytes
    for (const partial of this.partials.values()) used += partial.bytes.length
    return used
  }
}

/** One daemon's driver on a pool: its calls end with its clock. */
export class SimStorage implements StorageDriver {
  readonly pool: SimPool
  readonly intake: SimImageIntake
  readonly #clock: Clock
  readonly #random: Random

  constructor(options: { readonly clock: Clock; readonly random: Random; readonly pool?: SimPool }) {
    this.pool = options.pool ?? new SimPool()
    this.#clock = options.clock
    this.#random = options.random
    this.intake = new SimImageIntake(this.pool, (doing, action) => this.#work(doing, action))
  }

  async start(): Promise<void> {}

  async createVolume(request: VolumeRequest): Promise<Volume> {
    checkVmId(request.vmId)
    checkVolumeName(request.name)
    return this.#work(`creating volume ${request.name}`, () => {
      const existing = this.pool.volumes.get(request.vmId)?.get(request.name)
      if (existing !== undefined) return shownVolume(request.vmId, request.name, existing)
      const image = request.image === null ? null : this.pool.images.get(request.image.sha256)
      if (image === undefined) throw new OperationalError('REFERENCE_MISSING', `Image ${request.image?.sha256.slice(0, 12)}… is not on this host.`)
      const sizeBytes = request.sizeBytes ?? image?.virtualSizeBytes
      checkVolumeSize(request.name, sizeBytes, image?.virtualSizeBytes ?? 0)
      this.#requireSpace(volumeBytes)
      const volumes = this.pool.volumes.get(request.vmId) ?? new Map<string, HeldVolume>()
      this.pool.volumes.set(request.vmId, volumes)
      const made = { sizeBytes, image: image?.sha256 ?? null }
      volumes.set(request.name, made)
      return shownVolume(request.vmId, request.name, made)
    })
  }

  async resizeVolume(vmId: string, name: string, sizeBytes: number): Promise<void> {
    await this.#work(`growing volume ${name}`, () => {
      const volume = this.pool.volumes.get(vmId)?.get(name)
      if (volume === undefined) throw new OperationalError('NOT_FOUND', `There is no volume ${name} of ${vmId} on this host.`)
      checkVolumeSize(name, sizeBytes, volume.sizeBytes)
      volume.sizeBytes = sizeBytes
    })
  }

  async deleteVolume(vmId: string, name: string): Promise<void> {
    checkVmId(vmId)
    checkVolumeName(name)
    await this.#work('deleting a volume', () => {
      const volumes = this.pool.volumes.get(vmId)
      volumes?.delete(name)
      if (volumes?.size === 0) this.pool.volumes.delete(vmId)
    })
  }

  async deleteVolumes(vmId: string): Promise<void> {
    checkVmId(vmId)
    await this.#work('deleting volumes', () => {
      this.pool.volumes.delete(vmId)
      this.pool.seeds.delete(vmId)
    })
  }

  async volumes(vmId?: string): Promise<readonly Volume[]> {
    if (vmId !== undefined) checkVmId(vmId)
    return this.#work('listing volumes', () => {
      const owners = vmId === undefined ? [...this.pool.volumes.keys()].toSorted() : [vmId]
      return owners.flatMap((owner) => {
        const volumes = [...(this.pool.volumes.get(owner) ?? [])].toSorted(([left], [right]) => (left < right ? -1 : 1))
        return volumes.map(([name, volume]) => shownVolume(owner, name, volume))
      })
    })
  }

  async *readVolume(vmId: string, name: string, signal: AbortSignal): AsyncIterable<Uint8Array> {
    checkVmId(vmId)
    checkVolumeName(name)
    const volume = await this.#work('opening a volume', () => this.pool.volumes.get(vmId)?.get(name))
    if (volume === undefined) throw new OperationalError('NOT_FOUND', `There is no volume ${name} of ${vmId} on this host.`)
    const bytes = new TextEncoder().encode(JSON.stringify(volume))
    for (let piece = 0; piece < piecesMax; piece++) {
      signal.throwIfAborted()
      yield await this.#work('reading a volume', () => bytes.subarray((bytes.length * piece) / piecesMax, (bytes.length * (piece + 1)) / piecesMax))
    }
  }

  async takeVolume(request: VolumeRequest, source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Volume> {
    checkVmId(request.vmId)
    checkVolumeName(request.name)
    if (this.pool.volumes.get(request.vmId)?.has(request.name) === true) throw new OperationalError('STATE_CONFLICT', `Volume ${request.name} of ${request.vmId} is on this host already.`)
    const pieces: Uint8Array[] = []
    for await (const piece of source) {
      signal.throwIfAborted()
      pieces.push(piece)
    }
    return this.#work('taking in a volume', () => {
      signal.throwIfAborted()
      const taken = JSON.parse(Buffer.concat(pieces).toString()) as HeldVolume
      if ((request.image?.sha256 ?? null) !== taken.image || (taken.image !== null && !this.pool.images.has(taken.image))) throw new OperationalError('REFERENCE_MISSING', `Image ${taken.image?.slice(0, 12) ?? 'none'}… is not on this host, or not the one that was asked for.`)
      this.#requireSpace(volumeBytes)
      const volumes = this.pool.volumes.get(request.vmId) ?? new Map<string, HeldVolume>()
      this.pool.volumes.set(request.vmId, volumes)
      volumes.set(request.name, taken)
      return shownVolume(request.vmId, request.name, taken)
    })
  }

  async writeSeed(vmId: string, seed: CloudInit & { readonly hostname: string }): Promise<string> {
    checkVmId(vmId)
    return this.#work('writing the cloud-init seed', () => {
      this.pool.seeds.set(vmId, JSON.stringify(seed))
      return `/sim/volumes/${vmId}/seed.iso`
    })
  }

  async importImage(
    source: AsyncIterable<Uint8Array>, expect: { readonly sha256: string | null; readonly sizeBytesMax: number }, signal: AbortSignal,
  ): Promise<ImageFile> {
    const { sha256, sizeBytes, start, content } = await this.#receive(source, expect.sizeBytesMax, signal)
    return this.#work('importing an image', () => {
      signal.throwIfAborted()
      if (expect.sha256 !== null && expect.sha256.toLowerCase() !== sha256) {
        throw new OperationalError('IMAGE_CHECKSUM', `The file's SHA-256 is ${sha256}, not ${expect.sha256.toLowerCase()}. Nothing was kept.`, { data: { sha256 } })
      }
      const verdict = judgeDiskImage(start, sizeBytes)
      if (verdict.kind === 'unusable') throw new OperationalError('IMAGE_UNREADABLE', `The file cannot be used as an image: ${verdict.reason}.`)
      const image = { sha256, format: verdict.format, sizeBytes, virtualSizeBytes: verdict.virtualSizeBytes }
      this.pool.images.set(sha256, image)
      if (content !== null) this.pool.contents.set(sha256, content)
      return image
    })
  }

  async hasImage(sha256: string): Promise<boolean> {
    return this.#work('looking for an image', () => this.pool.images.has(sha256))
  }

  async deleteImage(sha256: string): Promise<void> {
    await this.#work('deleting an image', () => {
      for (const [vmId, volumes] of this.pool.volumes) {
        for (const [name, volume] of volumes) {
          if (volume.image === sha256) throw new OperationalError('IN_USE', `The image is what volume ${name} of VM ${vmId} stands on.`, { data: { vmId } })
        }
      }
      this.pool.images.delete(sha256)
      this.pool.contents.delete(sha256)
    })
  }

  async images(): Promise<readonly string[]> {
    return this.#work('listing images', () => [...this.pool.images.keys()].toSorted())
  }

  async usage(): Promise<{ readonly usedBytes: number; readonly totalBytes: number }> {
    return this.#work('measuring the storage', () => ({ usedBytes: this.pool.usedBytes(), totalBytes: this.pool.faults.capacityBytes }))
  }

  /** The source may be real, as in a bench; only what is done with it is simulated. */
  async #receive(source: AsyncIterable<Uint8Array>, sizeBytesMax: number, signal: AbortSignal): Promise<{ sha256: string; sizeBytes: number; start: Uint8Array; content: Uint8Array | null }> {
    const aborted = Promise.withResolvers<never>()
    aborted.promise.catch(() => {})
    const abort = (): void => aborted.reject(signal.reason)
    signal.addEventListener('abort', abort)
    const hash = createHash('sha256')
    const start = Buffer.alloc(qcow2HeaderBytes)
    const iterator = source[Symbol.asyncIterator]()
    let sizeBytes = 0
    let kept: Uint8Array[] | null = []
    try {
      signal.throwIfAborted()
      for (;;) {
        const step = await Promise.race([iterator.next(), aborted.promise])
        if (step.done === true) return { sha256: hash.digest('hex'), sizeBytes, start: start.subarray(0, Math.min(sizeBytes, start.length)), content: kept === null ? null : Buffer.concat(kept) }
        hash.update(step.value)
        if (sizeBytes < start.length) start.set(step.value.subarray(0, start.length - sizeBytes), sizeBytes)
        sizeBytes += step.value.length
        kept = sizeBytes > contentBytesMax ? null : [...(kept ?? []), step.value]
        if (sizeBytes > sizeBytesMax) throw new OperationalError('BODY_TOO_LARGE', `The image is larger than ${sizeBytesMax} bytes, which is the limit. Nothing was kept.`)
        this.#requireSpace(sizeBytes)
      }
    } finally {
      signal.removeEventListener('abort', abort)
      iterator.return?.().catch(() => {})
    }
  }

  #requireSpace(bytes: number): void {
    if (this.pool.usedBytes() + bytes > this.pool.faults.capacityBytes) throw new OperationalError('STORAGE_FULL', 'The storage is full. Nothing was kept; delete images or volumes, or add space.')
  }

  async #work<T>(doing: string, action: () => T): Promise<T> {
    const { latencyMsMin, latencyMsMax, failRatio } = this.pool.faults
    await new Promise<void>((resolve) => this.#clock.after(latencyMsMin + this.#random.integer(Math.max(1, latencyMsMax - latencyMsMin)), resolve))
    if (failRatio > 0 && this.#random.integer(1_000_000) < failRatio * 1_000_000) throw new OperationalError('STORAGE_FAILED', `${doing} failed: the simulated disk said so.`)
    return action()
  }
}

function shownVolume(vmId: string, name: string, volume: HeldVolume): Volume {
  return { vmId, name, path: `/sim/volumes/${vmId}/${name}.qcow2`, sizeBytes: volume.sizeBytes }
}
