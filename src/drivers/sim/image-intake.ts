// The ImageIntake port in memory; what is kept of an image's bytes is what small ones have.
import { createHash } from 'node:crypto'
import { judgeDiskImage } from '../../formats/disk-image.ts'
import { OperationalError } from '../../model/error.ts'
import type { AppendOptions, ImageIntake, PartialImage } from '../../ports/image-intake.ts'
import type { ImageFile } from '../../ports/storage.ts'
import type { SimPool } from './storage.ts'

const readBytes = 64 * 1024

export type HeldPartial = { bytes: Uint8Array; readonly note: string; busy: boolean }
type Work = <T>(doing: string, action: () => T) => Promise<T>

export class SimImageIntake implements ImageIntake {
  readonly #pool: SimPool
  readonly #work: Work

  /** @param work runs an action after the simulated disk's time, or fails as it would */
  constructor(pool: SimPool, work: Work) {
    this.#pool = pool
    this.#work = work
  }

  async list(): Promise<readonly PartialImage[]> {
    return this.#work('listing unfinished images', () => [...this.#pool.partials].toSorted(([left], [right]) => (left < right ? -1 : 1)).map(([id, partial]) => shown(id, partial)))
  }

  async open(id: string, options: { readonly note: string; readonly verified: boolean }): Promise<PartialImage> {
    return this.#work('opening an unfinished image', () => {
      const partial = this.#pool.partials.get(id) ?? { bytes: new Uint8Array(), note: options.note, busy: false }
      this.#pool.partials.set(id, partial)
      return shown(id, partial)
    })
  }

  async append(id: string, source: AsyncIterable<Uint8Array>, options: AppendOptions): Promise<number> {
    const partial = this.#require(id)
    const sizeBytes = partial.bytes.length
    if (partial.busy || sizeBytes !== options.offset) throw new OperationalError('STATE_CONFLICT', `The file has ${sizeBytes} bytes so far.`, { data: { offset: sizeBytes } })
    partial.busy = true
    try {
      for await (const chunk of source) {
        options.signal.throwIfAborted()
        if (partial.bytes.length + chunk.length > options.sizeBytesMax) throw new OperationalError('BODY_TOO_LARGE', `The file is larger than ${options.sizeBytesMax} bytes, which was the limit.`)
        if (this.#pool.usedBytes() + chunk.length > this.#pool.faults.capacityBytes) throw new OperationalError('STORAGE_FULL', 'The storage is full.')
        await this.#work('taking in an image', () => undefined)
        partial.bytes = Buffer.concat([partial.bytes, chunk])
        options.onSize?.(partial.bytes.length)
      }
      return partial.bytes.length
    } finally {
      partial.busy = false
    }
  }

  async finish(id: string, expect: { readonly sha256: string | null; readonly format?: 'qcow2' | 'raw' }, signal: AbortSignal): Promise<ImageFile> {
    const { bytes } = this.#require(id)
    return this.#work('taking in an image', () => {
      signal.throwIfAborted()
      this.#pool.partials.delete(id)
      const sha256 = createHash('sha256').update(bytes).digest('hex')
      if (expect.sha256 !== null && expect.sha256.toLowerCase() !== sha256) throw new OperationalError('IMAGE_CHECKSUM', `The file's SHA-256 is ${sha256}. Nothing was kept.`, { data: { sha256 } })
      const verdict = judgeDiskImage(bytes, bytes.length)
      if (verdict.kind === 'unusable') throw new OperationalError('IMAGE_UNREADABLE', `The file cannot be used as an image: ${verdict.reason}.`)
      const image = { sha256, format: verdict.format, sizeBytes: bytes.length, virtualSizeBytes: verdict.virtualSizeBytes }
      this.#pool.images.set(sha256, image)
      this.#pool.contents.set(sha256, bytes)
      return image
    })
  }

  async discard(id: string): Promise<void> {
    await this.#work('removing an unfinished image', () => this.#pool.partials.delete(id))
  }

  async sizeOf(sha256: string): Promise<number> {
    return this.#work('looking at an image', () => this.#content(sha256).length)
  }

  async *read(sha256: string, offset: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const bytes = this.#content(sha256)
    const lent = Buffer.alloc(readBytes)
    for (let at = offset; at < bytes.length; at += readBytes) {
      signal.throwIfAborted()
      const piece = bytes.subarray(at, at + readBytes)
      yield await this.#work('reading an image', () => (lent.set(piece), lent.subarray(0, piece.length)))
      // Who still holds it has broken the contract, and shall see it.
      lent.fill(0xdb)
    }
  }

  #content(sha256: string): Uint8Array {
    const bytes = this.#pool.images.has(sha256) ? this.#pool.contents.get(sha256) : undefined
    if (bytes === undefined) throw new OperationalError('NOT_FOUND', `Image ${sha256.slice(0, 12)}… is not on this host.`)
    return bytes
  }

  #require(id: string): HeldPartial {
    const partial = this.#pool.partials.get(id)
    if (partial === undefined) throw new OperationalError('NOT_FOUND', `There is no unfinished image ${id}.`)
    return partial
  }
}

function shown(id: string, partial: HeldPartial): PartialImage {
  return { id, sizeBytes: partial.bytes.length, note: partial.note, changedMs: 0 }
}
