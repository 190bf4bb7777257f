// A volume's way to another host: its file as it lies on the disk goes out; what comes in is re-pointed at this host's copy of the image and checked.
import { createReadStream } from 'node:fs'
import { access } from 'node:fs/promises'
import { virtualSizeBytesMax } from '../../formats/disk-image.ts'
import { parseQcow2Header, qcow2HeaderBytes } from '../../formats/qcow2.ts'
import { OperationalError } from '../../model/error.ts'
import { readStart, storageError } from './files.ts'
import { takeIn } from './intake.ts'
import type { ImageTool } from './qemu-img.ts'

const chunkBytes = 1024 * 1024
const rebaseTimeoutMs = 30_000
const checkTimeoutMs = 300_000
/** qemu-img check: 3 is leaked clusters, which waste space and harm nothing. */
const checkFine = [0, 3]
/** A qcow2 file with every cluster written is a little larger than its disk. */
const fileBytesMax = virtualSizeBytesMax + virtualSizeBytesMax / 64

/** @throws OperationalError NOT_FOUND, STORAGE_FAILED; the signal's reason */
export async function* streamVolume(path: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    await access(path)
  } catch (cause) {
    throw new OperationalError('NOT_FOUND', 'There is no such volume on this host.', { cause })
  }
  const stream = createReadStream(path, { highWaterMark: chunkBytes })
  const aborted = (): void => void stream.destroy(signal.reason as Error)
  signal.addEventListener('abort', aborted, { once: true })
  try {
    signal.throwIfAborted()
    for await (const chunk of stream) yield chunk as Buffer
  } catch (error) {
    throw signal.aborted ? error : storageError(error, 'reading a volume')
  } finally {
    signal.removeEventListener('abort', aborted)
    stream.destroy()
  }
}

export type ReceiveOptions = {
  /** Where it is taken in; the caller publishes it or removes it. */
  readonly temporary: string
  readonly name: string
  /** This host's image, where the volume stands on one. */
  readonly backing: { readonly path: string; readonly format: string; readonly virtualSizeBytes: number } | null
  readonly directory: string
  readonly freeBytesReserve: number
}

/** @throws OperationalError STORAGE_FULL, STORAGE_FAILED where what came is no volume or does not fit its image; the signal's reason; what the source throws */
export async function receiveVolume(source: AsyncIterable<Uint8Array>, options: ReceiveOptions, tool: ImageTool, signal: AbortSignal): Promise<void> {
  const { temporary, name, backing } = options
  await takeIn(source, { path: temporary, sizeBytesMax: fileBytesMax, freeBytesReserve: options.freeBytesReserve, directory: options.directory }, signal)
  const header = parseQcow2Header(await readStart(temporary, qcow2HeaderBytes))
  if (header === null) throw damaged(name, 'it is no qcow2, or was cut short')
  if (header.externalData || header.encrypted) throw damaged(name, 'it refers to other files')
  if ((header.backingFile === null) !== (backing === null)) throw damaged(name, 'it does not stand on the image that it should')
  if (backing !== null && header.virtualSizeBytes < backing.virtualSizeBytes) throw damaged(name, 'it is smaller than its image')
  // -u: only the name is changed; the image is the same by its hash.
  if (backing !== null) await tool.runOrThrow('qemu-img', ['rebase', '-q', '-u', '-f', 'qcow2', '-b', backing.path, '-F', backing.format, temporary], { timeoutMs: rebaseTimeoutMs })
  signal.throwIfAborted()
  const check = await tool.run('qemu-img', ['check', '-q', '-f', 'qcow2', temporary], { timeoutMs: checkTimeoutMs })
  if (!checkFine.includes(check.status)) throw damaged(name, `qemu-img check finds it damaged: ${check.stderr.replace(/\s+/g, ' ').trim().slice(0, 300)}`)
  signal.throwIfAborted()
}

function damaged(name: string, reason: string): OperationalError {
  return new OperationalError('STORAGE_FAILED', `Volume ${name} as it came cannot be used: ${reason}. Nothing was kept.`)
}
