// Decides from a file's beginning and size whether it is a disk image that may be used: complete in itself and of a known format.
import { nameForeignFormat, parseQcow2Header } from './qcow2.ts'

const sectorBytes = 512
/** 64 TiB, the largest disk a VM may have. */
export const virtualSizeBytesMax = 64 * 1024 ** 4

export type Verdict =
  | { readonly kind: 'usable'; readonly format: 'qcow2' | 'raw'; readonly virtualSizeBytes: number }
  /** The reason is the middle of a sentence for people. */
  | { readonly kind: 'unusable'; readonly reason: string }

/** @param start the file's first qcow2HeaderBytes, fewer where it is shorter */
export function judgeDiskImage(start: Uint8Array, sizeBytes: number): Verdict {
  const isQcow2 = start[0] === 0x51 && start[1] === 0x46 && start[2] === 0x49 && start[3] === 0xfb
  return isQcow2 ? judgeQcow2(start) : judgeRaw(start, sizeBytes)
}

/** Nothing marks a raw disk as such, so the least that every bootable one has is asked for. */
function judgeRaw(start: Uint8Array, sizeBytes: number): Verdict {
  const foreign = nameForeignFormat(start)
  if (foreign !== null) return unusable(`it looks like ${foreign}. Only qcow2 and raw disk images are taken; convert it first, for example with qemu-img convert`)
  if (sizeBytes === 0) return unusable('it is empty')
  if (sizeBytes % sectorBytes !== 0) return unusable(`as a raw disk it would need whole sectors, but its ${sizeBytes} bytes are no multiple of ${sectorBytes}`)
  if (start[510] !== 0x55 || start[511] !== 0xaa) return unusable('it is no qcow2, and as a raw disk it has no boot sector (55 AA at byte 510), which MBR and GPT disks both have')
  return judgeSize('raw', sizeBytes)
}

/** Files that refer to others are refused before QEMU's tools open them: those would follow such names into this host's files. */
function judgeQcow2(start: Uint8Array): Verdict {
  const header = parseQcow2Header(start)
  if (header === null) return unusable('its qcow2 header is damaged')
  if (header.backingFile !== null) return unusable('it is an overlay on another file; flatten it first with qemu-img convert')
  if (header.externalData) return unusable('it keeps its data in another file; convert it first with qemu-img convert')
  if (header.encrypted) return unusable('it is encrypted')
  return judgeSize('qcow2', header.virtualSizeBytes)
}

function judgeSize(format: 'qcow2' | 'raw', virtualSizeBytes: number): Verdict {
  if (virtualSizeBytes < sectorBytes || virtualSizeBytes > virtualSizeBytesMax) return unusable('the disk in it is empty or larger than 64 TiB')
  return { kind: 'usable', format, virtualSizeBytes }
}

function unusable(reason: string): Verdict {
  return { kind: 'unusable', reason }
}
