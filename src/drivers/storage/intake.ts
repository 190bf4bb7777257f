// Streams an image from outside into a file, hashing it, with bounds on size and on the space that stays free.
import { createHash } from 'node:crypto'
import { open, type FileHandle } from 'node:fs/promises'
import { OperationalError } from '../../model/error.ts'
import { readSpace } from './files.ts'

/** How often the free space is looked at. */
const spaceCheckBytes = 16 * 1024 * 1024

export type IntakeOptions = { readonly path: string; readonly sizeBytesMax: number; readonly freeBytesReserve: number; readonly directory: string }

/**
 * Synced to disk when it resolves. On failure the file stays for the caller to remove.
 * @throws OperationalError BODY_TOO_LARGE, STORAGE_FULL; the signal's reason; what the source throws; system errors of writing
 */
export async function takeIn(source: AsyncIterable<Uint8Array>, options: IntakeOptions, signal: AbortSignal): Promise<{ readonly sha256: string; readonly sizeBytes: number }> {
  const handle = await open(options.path, 'wx', 0o644)
  const hash = createHash('sha256')
  let sizeBytes = 0
  let checkedAt = -spaceCheckBytes
  try {
    for await (const chunk of untilAborted(source, signal)) {
      if (sizeBytes + chunk.length > options.sizeBytesMax) {
        throw new OperationalError('BODY_TOO_LARGE', `The image is larger than ${options.sizeBytesMax} bytes, which is the limit. Nothing was kept.`)
      }
      if (sizeBytes - checkedAt >= spaceCheckBytes) {
        checkedAt = sizeBytes
        await requireSpace(options.directory, options.freeBytesReserve + chunk.length)
      }
      const written = writeAt(handle, chunk, sizeBytes)
      // Beside the write, which is another thread's work.
      hash.update(chunk)
      await written
      sizeBytes += chunk.length
    }
    await handle.sync()
  } finally {
    await handle.close()
  }
  return { sha256: hash.digest('hex'), sizeBytes }
}

/** @throws OperationalError STORAGE_FULL */
export async function requireSpace(directory: string, bytes: number): Promise<void> {
  const { availableBytes } = await readSpace(directory)
  if (availableBytes < bytes) {
    throw new OperationalError('STORAGE_FULL', `The storage is full: ${availableBytes} bytes are free, ${bytes} have to be. Nothing was kept; delete images or volumes, or add space.`, {
      data: { availableBytes, neededBytes: bytes },
    })
  }
}

/** All of it, at this place of the file. */
export async function writeAt(handle: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < chunk.length; ) {
    const { bytesWritten } = await handle.write(chunk, at, chunk.length - at, position + at)
    at += bytesWritten
  }
}

/** A source that hangs is left as soon as the signal says so. A piece is valid until the next one is asked for. */
export async function* untilAborted(source: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  signal.throwIfAborted()
  const iterator = source[Symbol.asyncIterator]()
  let leave = (_reason: Error): void => {}
  const abort = (): void => leave(signal.reason as Error)
  signal.addEventListener('abort', abort)
  try {
    for (;;) {
      // Not a race with one promise for all: that would keep something for every piece until the end.
      const step = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
        leave = reject
        iterator.next().then(resolve, reject)
        if (signal.aborted) abort()
      })
      if (step.done === true) return
      yield step.value
    }
  } finally {
    signal.removeEventListener('abort', abort)
    // Not awaited: a source that hangs would hang here too.
    iterator.return?.().catch(() => {})
  }
}
