// Names and headers of segment files; each header is a checkpoint, so that older segments can be dropped whole.
import { crc32 } from 'node:zlib'
import type { HardState, LogIndex, SnapshotMeta } from '../raft/types.ts'
import type { ChainPosition } from './log-record.ts'

/*
 * segment = crc u32 (of the rest of the header) | headerBytes u32 | magic u32 | log id 16 | number u48 | sequence u48 | chain u32 |
 *           json of {hardState, base, lastIndex} | record* | zeros (space taken in advance)
 */
const magic = 0x53_43_4e_31
const fixedBytes = 4 + 4 + 4 + 16 + 6 + 6 + 4
const headerBytesMax = 1024 * 1024

export type SegmentHeader = {
  readonly logId: Buffer
  readonly number: number
  /** Where the chain stands before this segment's first record. */
  readonly start: ChainPosition
  readonly hardState: HardState
  readonly base: SnapshotMeta
  /** The log's last index at this point; entries up to it may lie in older segments. */
  readonly lastIndex: LogIndex
}

export function segmentName(number: number): string {
  return `${String(number).padStart(12, '0')}.segment`
}

/** The number in a segment's file name; null for other files. */
export function segmentNumber(name: string): number | null {
  return /^\d{12}\.segment$/.test(name) ? Number(name.slice(0, 12)) : null
}

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const json = Buffer.from(JSON.stringify({ hardState: header.hardState, base: header.base, lastIndex: header.lastIndex }))
  const bytes = Buffer.alloc(fixedBytes + json.length)
  bytes.writeUInt32LE(bytes.length, 4)
  bytes.writeUInt32LE(magic, 8)
  header.logId.copy(bytes, 12)
  bytes.writeUIntLE(header.number, 28, 6)
  bytes.writeUIntLE(header.start.sequence, 34, 6)
  bytes.writeUInt32LE(header.start.chain, 40)
  json.copy(bytes, fixedBytes)
  bytes.writeUInt32LE(crc32(bytes.subarray(4)), 0)
  return bytes
}

/** The header and where the records begin; null if it is torn or damaged. */
export function readSegmentHeader(file: Buffer): { readonly header: SegmentHeader; readonly end: number } | null {
  if (file.length < fixedBytes || file.readUInt32LE(8) !== magic) return null
  const end = file.readUInt32LE(4)
  if (end <= fixedBytes || end > headerBytesMax || end > file.length) return null
  if (crc32(file.subarray(4, end)) !== file.readUInt32LE(0)) return null
  // Covered by the checksum, so the shape is the one encodeSegmentHeader wrote.
  const checkpoint = JSON.parse(file.toString('utf8', fixedBytes, end)) as Pick<SegmentHeader, 'hardState' | 'base' | 'lastIndex'>
  const header = {
    logId: Buffer.from(file.subarray(12, 28)),
    number: file.readUIntLE(28, 6),
    start: { sequence: file.readUIntLE(34, 6), chain: file.readUInt32LE(40) },
    ...checkpoint,
  }
  return { header, end }
}
