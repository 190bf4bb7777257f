// Decides whether a file from outside is a disk image that may be used: complete in itself, of a known format, undamaged.
import { stat } from 'node:fs/promises'
import { nameForeignFormat, parseQcow2Header, qcow2HeaderBytes } from '../../formats/qcow2.ts'
import { OperationalError } from '../../model/error.ts'
import { readStart } from './files.ts'
import type { ImageTool } from './qemu-img.ts'

const sectorBytes = 512
/** 64 TiB, the largest disk a VM may have. */
export const virtualSizeBytesMax = 64 * 1024 ** 4
const infoTimeoutMs = 15_000
const checkTimeoutMs = 120_000
/** qemu-img check: 3 is leaked clusters, which waste space and harm nothing. */
const checkFine = [0, 3]

export type CheckedImage = { readonly format: 'qcow2' | 'raw'; readonly virtualSizeBytes: number }

/** @throws OperationalError IMAGE_UNREADABLE with the reason */
export async function checkImage(path: string, tool: ImageTool): Promise<CheckedImage> {
  const { size } = await stat(path)
  const start = await readStart(path, qcow2HeaderBytes)
  if (start[0] === 0x51 && start[1] === 0x46 && start[2] === 0x49 && start[3] === 0xfb) return checkQcow2(path, start, tool)
  return checkRaw(start, size)
}

/** Nothing marks a raw disk as such, so the least that every bootable one has is asked for. */
function checkRaw(start: Uint8Array, sizeBytes: number): CheckedImage {
  const foreign = nameForeignFormat(start)
  if (foreign !== null) throw unreadable(`it looks like ${foreign}. Only qcow2 and raw disk images are taken; convert it first, for example with qemu-img convert`)
  if (sizeBytes === 0) throw unreadable('it is empty')
  if (sizeBytes % sectorBytes !== 0) throw unreadable(`as a raw disk it would need whole sectors, but its ${sizeBytes} bytes are no multiple of ${sectorBytes}`)
  if (start[510] !== 0x55 || start[511] !== 0xaa) throw unreadable('it is no qcow2, and as a raw disk it has no boot sector (55 AA at byte 510), which MBR and GPT disks both have')
  if (sizeBytes > virtualSizeBytesMax) throw unreadable('the disk is larger than 64 TiB')
  return { format: 'raw', virtualSizeBytes: sizeBytes }
}

async function checkQcow2(path: string, start: Uint8Array, tool: ImageTool): Promise<CheckedImage> {
  const header = parseQcow2Header(start)
  if (header === null) throw unreadable('its qcow2 header is damaged')
  // Decided before QEMU's tools open the file: they would follow such names into this host's files.
  if (header.backingFile !== null) throw unreadable('it is an overlay on another file; flatten it first with qemu-img convert')
  if (header.externalData) throw unreadable('it keeps its data in another file; convert it first with qemu-img convert')
  if (header.encrypted) throw unreadable('it is encrypted')
  const info = await readInfo(path, tool)
  const backing = member(info, 'backing-filename') ?? member(info, 'full-backing-filename')
  const dataFile = member(member(member(info, 'format-specific'), 'data'), 'data-file')
  if (member(info, 'format') !== 'qcow2' || backing !== undefined || dataFile !== undefined) throw unreadable('it refers to other files')
  const virtualSizeBytes = member(info, 'virtual-size')
  if (typeof virtualSizeBytes !== 'number' || virtualSizeBytes < sectorBytes || virtualSizeBytes > virtualSizeBytesMax) {
    throw unreadable('the disk in it is empty or larger than 64 TiB')
  }
  const check = await tool.run('qemu-img', ['check', '-q', '-f', 'qcow2', '--output=json', path], { timeoutMs: checkTimeoutMs, untrusted: true })
  if (!checkFine.includes(check.status)) throw unreadable(`qemu-img check finds it damaged: ${(check.stderr.trim() || summary(check.stdout)).slice(0, 300)}`)
  return { format: 'qcow2', virtualSizeBytes }
}

async function readInfo(path: string, tool: ImageTool): Promise<unknown> {
  const info = await tool.run('qemu-img', ['info', '-f', 'qcow2', '--output=json', path], { timeoutMs: infoTimeoutMs, untrusted: true })
  if (info.status !== 0) throw unreadable(`qemu-img cannot read it: ${info.stderr.trim().slice(0, 300)}`)
  try {
    return JSON.parse(info.stdout) as unknown
  } catch (cause) {
    throw new OperationalError('STORAGE_FAILED', 'qemu-img info gave no JSON', { cause })
  }
}

function summary(stdout: string): string {
  return stdout.replace(/\s+/g, ' ').trim()
}

function unreadable(reason: string): OperationalError {
  return new OperationalError('IMAGE_UNREADABLE', `The file cannot be used as an image: ${reason}.`)
}

function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined
}
