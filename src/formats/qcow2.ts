// The header of a qcow2 file (QEMU's docs/interop/qcow2.txt): what is told from it without running QEMU's tools.

/** How much of the file's beginning is needed; backing file names lie in the first cluster. */
export const qcow2HeaderBytes = 64 * 1024

export type Qcow2Header = {
  readonly version: number
  readonly virtualSizeBytes: number
  readonly backingFile: string | null
  readonly externalData: boolean
  readonly encrypted: boolean
}

const magic = 0x514649fb
const externalDataBit = 1 << 2
const backingNameBytesMax = 1023

/** Null where it is no qcow2 of version 2 or 3, or its header is cut short. */
export function parseQcow2Header(bytes: Uint8Array): Qcow2Header | null {
  if (bytes.length < 72) return null
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(0) !== magic) return null
  const version = view.getUint32(4)
  if (version !== 2 && version !== 3) return null
  if (version === 3 && bytes.length < 104) return null
  const nameAt = view.getBigUint64(8)
  const nameBytes = view.getUint32(16)
  const size = view.getBigUint64(24)
  if (size > BigInt(Number.MAX_SAFE_INTEGER) || nameBytes > backingNameBytesMax) return null
  if (nameAt !== 0n && nameAt + BigInt(nameBytes) > BigInt(bytes.length)) return null
  return {
    version,
    virtualSizeBytes: Number(size),
    backingFile: nameAt === 0n ? null : decodeLatin(bytes.subarray(Number(nameAt), Number(nameAt) + nameBytes)),
    externalData: version === 3 && (view.getUint32(76) & externalDataBit) !== 0,
    encrypted: view.getUint32(32) !== 0,
  }
}

/** Names that other formats begin with, for a sentence that helps; null where it is nothing known. */
export function nameForeignFormat(bytes: Uint8Array): string | null {
  const text = decodeLatin(bytes.subarray(0, 16))
  for (const [start, name] of foreignFormats) if (text.startsWith(start)) return name
  if (decodeLatin(bytes.subarray(32_769, 32_774)) === 'CD001') return 'an ISO 9660 image'
  return null
}

const foreignFormats: readonly (readonly [string, string])[] = [
  ['KDMV', 'VMDK'], ['# Disk DescriptorFile', 'VMDK'], ['COWD', 'VMDK'], ['vhdxfile', 'VHDX'], ['conectix', 'VHD'], ['<<< ', 'VDI'], ['QED\u0000', 'QED'],
  ['\u001f\u008b', 'a gzip archive'], ['\u00fd7zXZ', 'an xz archive'], ['(\u00b5/\u00fd', 'a zstd archive'], ['BZh', 'a bzip2 archive'], ['PK\u0003\u0004', 'a zip archive'],
  ['\u007fELF', 'a program'], ['<!DOCTYPE', 'a web page'], ['<html', 'a web page'],
]

function decodeLatin(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return text
}
