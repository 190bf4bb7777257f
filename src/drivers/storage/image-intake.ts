// The ImageIntake port on a directory: for each partial file its bytes, and a record of how many of them are synced.
import { createHash, type Hash } from 'node:crypto'
import { constants } from 'node:fs'
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { OperationalError } from '../../model/error.ts'
import { partialIdPattern, type AppendOptions, type ImageIntake, type PartialImage } from '../../ports/image-intake.ts'
import type { ImageFile } from '../../ports/storage.ts'
import { exists, hasCode, publish, storageError, syncPath } from './files.ts'
import { checkImage } from './image-check.ts'
import { requireSpace, untilAborted, writeAt } from './intake.ts'
import type { ImageTool } from './qemu-img.ts'

const formats = ['qcow2', 'raw'] as const
const sha256Pattern = /^[0-9a-f]{64}$/
const spaceCheckBytes = 16 * 1024 * 1024
/** Written back while more comes, so that the end does not wait for all of it. */
const flushBytes = 32 * 1024 * 1024
const readBytes = 1024 * 1024

const recordSchema = z.strictObject({ note: z.string(), sizeBytes: z.number(), verified: z.boolean(), changedMs: z.number() })
type Record = Readonly<z.output<typeof recordSchema>>
/** What this life of the process knows of a file beyond its record. */
type Progress = { sizeBytes: number; hash: Hash | null; busy: boolean }

export type IntakeParts = { readonly directory: string; readonly reserveBytes: number; readonly tool: ImageTool; readonly nowMs: () => number }

export class LocalImageIntake implements ImageIntake {
  readonly #parts: IntakeParts
  readonly #progress = new Map<string, Progress>()

  constructor(parts: IntakeParts) {
    this.#parts = parts
  }

  async list(): Promise<readonly PartialImage[]> {
    const names = await readdir(this.#path('')).catch((error: unknown): string[] => {
      if (hasCode(error, 'ENOENT')) return []
      throw storageError(error, 'listing unfinished images')
    })
    const found: PartialImage[] = []
    for (const name of names.toSorted()) {
      const id = name.endsWith('.json') ? name.slice(0, -'.json'.length) : ''
      const record = partialIdPattern.test(id) ? await this.#record(id) : null
      if (record !== null) found.push(shown(id, record, this.#progress.get(id)))
    }
    return found
  }

  async open(id: string, options: { readonly note: string; readonly verified: boolean }): Promise<PartialImage> {
    requireId(id)
    return this.#wrapped('opening an unfinished image', async () => {
      const known = await this.#record(id)
      if (known !== null) return shown(id, known, await this.#begin(id, known))
      await mkdir(this.#path(''), { recursive: true, mode: 0o755 })
      const record = { ...options, sizeBytes: 0, changedMs: this.#parts.nowMs() }
      await (await open(this.#data(id), 'w', 0o644)).close()
      await this.#write(id, record)
      this.#progress.set(id, { sizeBytes: 0, hash: createHash('sha256'), busy: false })
      return shown(id, record, undefined)
    })
  }

  async append(id: string, source: AsyncIterable<Uint8Array>, options: AppendOptions): Promise<number> {
    requireId(id)
    const record = await this.#record(id)
    if (record === null) throw missing(id)
    const progress = await this.#begin(id, record)
    if (progress.busy) throw new OperationalError('STATE_CONFLICT', 'Another part of this file is on its way. Wait for it, or end it.', { data: { offset: progress.sizeBytes } })
    if (progress.sizeBytes !== options.offset) throw new OperationalError('STATE_CONFLICT', `The file has ${progress.sizeBytes} bytes so far: the next part begins there, not at ${options.offset}.`, { data: { offset: progress.sizeBytes } })
    progress.busy = true
    try {
      return await this.#wrapped('taking in an image', () => this.#take(id, source, { ...options, record, progress }))
    } finally {
      progress.busy = false
    }
  }

  async #take(id: string, source: AsyncIterable<Uint8Array>, options: AppendOptions & { readonly record: Record; readonly progress: Progress }): Promise<number> {
    const { progress, record, signal, sizeBytesMax, onSize } = options
    const handle = await open(this.#data(id), constants.O_WRONLY)
    const flusher = new Flusher(handle)
    let checkedAt = progress.sizeBytes - spaceCheckBytes
    try {
      for await (const chunk of untilAborted(source, signal)) {
        if (progress.sizeBytes + chunk.length > sizeBytesMax) throw new OperationalError('BODY_TOO_LARGE', `The file is larger than ${sizeBytesMax} bytes, which was the limit.`)
        if (progress.sizeBytes - checkedAt >= spaceCheckBytes) {
          checkedAt = progress.sizeBytes
          await requireSpace(this.#parts.directory, this.#parts.reserveBytes + chunk.length)
        }
        await writeAndHash(handle, chunk, progress)
        flusher.written(chunk.length)
        onSize?.(progress.sizeBytes)
      }
      return progress.sizeBytes
    } finally {
      await flusher.end()
      await handle.sync()
      await handle.close()
      await this.#write(id, { ...record, sizeBytes: progress.sizeBytes, changedMs: this.#parts.nowMs() })
    }
  }

  async finish(id: string, expect: { readonly sha256: string | null; readonly format?: 'qcow2' | 'raw' }, signal: AbortSignal): Promise<ImageFile> {
    requireId(id)
    const record = await this.#record(id)
    if (record === null) throw missing(id)
    const progress = await this.#begin(id, record)
    if (progress.busy) throw new OperationalError('STATE_CONFLICT', 'A part of this file is still on its way.')
    progress.busy = true
    try {
      return await this.#wrapped('taking in an image', () => this.#keep(id, progress, expect, signal))
    } catch (error) {
      if (error instanceof OperationalError && (error.code === 'IMAGE_CHECKSUM' || error.code === 'IMAGE_UNREADABLE')) await this.discard(id)
      throw error
    } finally {
      progress.busy = false
    }
  }

  async #keep(id: string, progress: Progress, expect: { readonly sha256: string | null; readonly format?: 'qcow2' | 'raw' }, signal: AbortSignal): Promise<ImageFile> {
    const path = this.#data(id)
    const sha256 = progress.hash === null ? await hashFile(path, signal) : progress.hash.copy().digest('hex')
    if (expect.sha256 !== null && expect.sha256.toLowerCase() !== sha256) {
      throw new OperationalError('IMAGE_CHECKSUM', `The file's SHA-256 is ${sha256}, not ${expect.sha256.toLowerCase()}. Nothing was kept.`, { data: { sha256 } })
    }
    const known = expect.sha256 === null ? undefined : expect.format
    const { format, virtualSizeBytes } = known === undefined ? await checkImage(path, this.#parts.tool) : { format: known, virtualSizeBytes: 0 }
    signal.throwIfAborted()
    await publish(path, join(this.#parts.directory, 'images', `${sha256}.${format}`))
    await this.discard(id)
    return { sha256, format, sizeBytes: progress.sizeBytes, virtualSizeBytes }
  }

  async discard(id: string): Promise<void> {
    requireId(id)
    this.#progress.delete(id)
    await this.#wrapped('removing an unfinished image', async () => {
      // The record goes first: bytes without one are nobody's.
      await rm(this.#path(`${id}.json`), { force: true })
      await rm(this.#data(id), { force: true })
    })
  }

  async sizeOf(sha256: string): Promise<number> {
    return this.#wrapped('looking at an image', async () => {
      const handle = await this.#openImage(sha256)
      try {
        return (await handle.stat()).size
      } finally {
        await handle.close()
      }
    })
  }

  async *read(sha256: string, offset: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const handle = await this.#openImage(sha256)
    // One is lent while the other is filled.
    const buffers = [Buffer.allocUnsafeSlow(readBytes), Buffer.allocUnsafeSlow(readBytes)] as const
    let ahead = readAt(handle, buffers[0], offset)
    try {
      for (let at = offset, turn = 1; ; turn = 1 - turn) {
        const piece = await ahead
        signal.throwIfAborted()
        if (piece.length === 0) return
        at += piece.length
        ahead = readAt(handle, buffers[turn]!, at)
        // Its failure is met at the next turn.
        ahead.catch(() => {})
        yield piece
      }
    } catch (error) {
      throw signal.aborted ? error : storageError(error, 'reading an image')
    } finally {
      await ahead.catch(() => {})
      await handle.close()
    }
  }

  async #openImage(sha256: string): Promise<FileHandle> {
    if (sha256Pattern.test(sha256)) {
      for (const format of formats) {
        const path = join(this.#parts.directory, 'images', `${sha256}.${format}`)
        if (await exists(path)) return await open(path, constants.O_RDONLY)
      }
    }
    throw new OperationalError('NOT_FOUND', `Image ${sha256.slice(0, 12)}… is not on this host.`)
  }

  /** What an earlier life left beyond its record counts only where a checksum will tell whether it is true. */
  async #begin(id: string, record: Record): Promise<Progress> {
    const known = this.#progress.get(id)
    if (known !== undefined) return known
    const { size } = await stat(this.#data(id)).catch((error: unknown) => {
      throw hasCode(error, 'ENOENT') ? missing(id) : error
    })
    const sizeBytes = record.verified ? size : Math.min(size, record.sizeBytes)
    if (size > sizeBytes) await truncateFile(this.#data(id), sizeBytes)
    const progress: Progress = { sizeBytes, hash: sizeBytes === 0 ? createHash('sha256') : null, busy: false }
    // Another call may have been as quick.
    const raced = this.#progress.get(id)
    if (raced !== undefined) return raced
    this.#progress.set(id, progress)
    return progress
  }

  async #record(id: string): Promise<Record | null> {
    try {
      return recordSchema.parse(JSON.parse(await readFile(this.#path(`${id}.json`), 'utf8')))
    } catch (error) {
      if (hasCode(error, 'ENOENT') || error instanceof SyntaxError || error instanceof z.ZodError) return null
      throw storageError(error, 'reading about an unfinished image')
    }
  }

  async #write(id: string, record: Record): Promise<void> {
    const path = this.#path(`${id}.json`)
    await writeFile(`${path}.new`, JSON.stringify(record), { mode: 0o600 })
    await syncPath(`${path}.new`)
    await rename(`${path}.new`, path)
  }

  #path(name: string): string {
    return join(this.#parts.directory, 'partial', name)
  }

  #data(id: string): string {
    return this.#path(`${id}.data`)
  }

  async #wrapped<T>(doing: string, action: () => Promise<T>): Promise<T> {
    try {
      return await action()
    } catch (error) {
      throw storageError(error, doing)
    }
  }
}

/** Syncs what was written while more is written: one sync at a time. */
class Flusher {
  readonly #handle: FileHandle
  #waitingBytes = 0
  #running: Promise<void> | null = null

  constructor(handle: FileHandle) {
    this.#handle = handle
  }

  written(bytes: number): void {
    this.#waitingBytes += bytes
    if (this.#waitingBytes < flushBytes || this.#running !== null) return
    this.#waitingBytes = 0
    // A failed sync is met again by the one at the end.
    this.#running = this.#handle.datasync().catch(() => undefined).finally(() => {
      this.#running = null
    })
  }

  async end(): Promise<void> {
    await this.#running
  }
}

function shown(id: string, record: Record, progress: Progress | undefined): PartialImage {
  return { id, sizeBytes: progress?.sizeBytes ?? record.sizeBytes, note: record.note, changedMs: record.changedMs }
}

function requireId(id: string): void {
  if (id.length > 128 || !partialIdPattern.test(id)) throw new OperationalError('INVALID', 'That is no id of an unfinished image.')
}

function missing(id: string): OperationalError {
  return new OperationalError('NOT_FOUND', `There is no unfinished image ${id.slice(0, 80)}.`)
}

/** Both at once: the write is another thread's work. */
async function writeAndHash(handle: FileHandle, chunk: Uint8Array, progress: Progress): Promise<void> {
  const written = writeAt(handle, chunk, progress.sizeBytes)
  progress.hash?.update(chunk)
  try {
    await written
  } catch (error) {
    // It has seen what is not there; at the end the file will be read for it.
    progress.hash = null
    throw error
  }
  progress.sizeBytes += chunk.length
}

/** Fills the buffer as far as the file goes. */
async function readAt(handle: FileHandle, buffer: Buffer, position: number): Promise<Uint8Array> {
  const { bytesRead } = await handle.read(buffer, 0, buffer.length, position)
  return buffer.subarray(0, bytesRead)
}

async function truncateFile(path: string, sizeBytes: number): Promise<void> {
  const handle = await open(path, constants.O_WRONLY)
  try {
    await handle.truncate(sizeBytes)
  } finally {
    await handle.close()
  }
}

async function hashFile(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  const handle = await open(path, constants.O_RDONLY)
  try {
    for await (const chunk of handle.createReadStream({ highWaterMark: readBytes, autoClose: false })) {
      signal.throwIfAborted()
      hash.update(chunk as Uint8Array)
    }
  } finally {
    await handle.close()
  }
  return hash.digest('hex')
}
