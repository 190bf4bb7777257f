// The bytes of one batch in a segment: a header with length, sequence and chained checksum, then hard state, base and entries.
import { strict as assert } from 'node:assert'
import { crc32 } from 'node:zlib'
import type { LogBatch } from '../ports/log-store.ts'
import type { Entry, HardState, SnapshotMeta } from '../raft/types.ts'

/*
 * record  = bodyBytes u32 | chain u32 | sequence u48 | 0 u16 | body          (little endian)
 * body    = part+
 * part    = 1 hard state: term u48 | commit u48 | voteBytes u16 (0xffff: none) | vote
 *         | 2 base:       discardSuffix u8 | jsonBytes u32 | json of SnapshotMeta
 *         | 3 normal entry, 4 config entry: index u48 | term u48 | dataBytes u32 | data
 * chain   = CRC-32 of the whole history up to and including this record, without the chain fields themselves.
 * A body is never empty, so zeros never read as a record.
 */
export const recordHeaderBytes = 16
const bodyBytesMax = 2 ** 30
const noVote = 0xffff
const partKinds = { hardState: 1, base: 2, normal: 3, config: 4 } as const

/** Where a record stands: its number, and the checksum of everything up to it. */
export type ChainPosition = { readonly sequence: number; readonly chain: number }
export const chainStart: ChainPosition = { sequence: 0, chain: 0 }

/** The bytes of the record that follows `previous`, and where the chain stands after it. An empty batch has no record. */
export function encodeRecord(batch: LogBatch, previous: ChainPosition): { readonly bytes: Buffer; readonly position: ChainPosition } {
  const meta = batch.base === null ? null : Buffer.from(JSON.stringify(batch.base.meta))
  const bodyBytes = bodySize(batch, meta)
  assert(bodyBytes > 0 && bodyBytes <= bodyBytesMax, `log record of ${bodyBytes} bytes`)
  const bytes = Buffer.allocUnsafe(recordHeaderBytes + bodyBytes)
  const sequence = previous.sequence + 1
  bytes.writeUInt32LE(bodyBytes, 0)
  bytes.writeUIntLE(sequence, 8, 6)
  bytes.writeUInt16LE(0, 14)
  let at = recordHeaderBytes
  if (batch.hardState !== null) at = writeHardState(bytes, at, batch.hardState)
  if (batch.base !== null && meta !== null) at = writeBase(bytes, at, { discardSuffix: batch.base.discardSuffix, meta })
  for (const entry of batch.entries) at = writeEntry(bytes, at, entry)
  assert.equal(at, bytes.length)
  const chain = chainOf(bytes, previous.chain)
  bytes.writeUInt32LE(chain, 4)
  return { bytes, position: { sequence, chain } }
}

/** The record at `offset` if it is whole and follows `previous`; else null: a torn tail, damage, or simply the end. */
export function readRecord(
  file: Buffer,
  offset: number,
  previous: ChainPosition,
): { readonly body: Buffer; readonly position: ChainPosition; readonly end: number } | null {
  if (offset + recordHeaderBytes > file.length) return null
  const bodyBytes = file.readUInt32LE(offset)
  const end = offset + recordHeaderBytes + bodyBytes
  if (bodyBytes === 0 || bodyBytes > bodyBytesMax || end > file.length) return null
  const sequence = file.readUIntLE(offset + 8, 6)
  const chain = file.readUInt32LE(offset + 4)
  if (sequence !== previous.sequence + 1 || chain !== chainOf(file.subarray(offset, end), previous.chain)) return null
  return { body: file.subarray(offset + recordHeaderBytes, end), position: { sequence, chain }, end }
}

/** What a body says. Null where it has parts that this version does not know (its checksum was right, so it is no damage of the disk). */
export function decodeBody(body: Buffer): LogBatch | null {
  let hardState: HardState | null = null
  let base: LogBatch['base'] = null
  const entries: Entry[] = []
  let at = 0
  while (at < body.length) {
    const kind = body.readUInt8(at)
    if (kind === partKinds.hardState) {
      const vote = readVote(body, at + 13)
      hardState = { term: body.readUIntLE(at + 1, 6), commit: body.readUIntLE(at + 7, 6), vote: vote.vote }
      at = vote.end
    } else if (kind === partKinds.base) {
      const end = at + 6 + body.readUInt32LE(at + 2)
      base = { discardSuffix: body.readUInt8(at + 1) === 1, meta: parseMeta(body.toString('utf8', at + 6, end)) }
      at = end
    } else if (kind === partKinds.normal || kind === partKinds.config) {
      const end = at + 17 + body.readUInt32LE(at + 13)
      entries.push({
        index: body.readUIntLE(at + 1, 6),
        term: body.readUIntLE(at + 7, 6),
        kind: kind === partKinds.normal ? 'normal' : 'config',
        // A copy: a view would keep the whole segment in memory.
        data: Uint8Array.from(body.subarray(at + 17, end)),
      })
      at = end
    } else return null
  }
  return { hardState, base, entries }
}

/** Bytes of a vote written by `writeVote`. */
export function voteSize(vote: string | null): number {
  return 2 + (vote === null ? 0 : Buffer.byteLength(vote))
}

/** Returns the offset after it. */
export function writeVote(bytes: Buffer, at: number, vote: string | null): number {
  const length = vote === null ? noVote : Buffer.byteLength(vote)
  assert(vote === null || length < noVote, 'vote is too long')
  bytes.writeUInt16LE(length, at)
  return at + 2 + (vote === null ? 0 : bytes.write(vote, at + 2))
}

export function readVote(bytes: Buffer, at: number): { readonly vote: string | null; readonly end: number } {
  const length = bytes.readUInt16LE(at)
  if (length === noVote) return { vote: null, end: at + 2 }
  return { vote: bytes.toString('utf8', at + 2, at + 2 + length), end: at + 2 + length }
}

function chainOf(record: Buffer, previousChain: number): number {
  return crc32(record.subarray(8), crc32(record.subarray(0, 4), previousChain))
}

function bodySize(batch: LogBatch, meta: Buffer | null): number {
  const hardState = batch.hardState === null ? 0 : 13 + voteSize(batch.hardState.vote)
  const base = meta === null ? 0 : 6 + meta.length
  return batch.entries.reduce((sum, entry) => sum + 17 + entry.data.length, hardState + base)
}

function writeHardState(bytes: Buffer, at: number, state: HardState): number {
  bytes.writeUInt8(partKinds.hardState, at)
  bytes.writeUIntLE(state.term, at + 1, 6)
  bytes.writeUIntLE(state.commit, at + 7, 6)
  return writeVote(bytes, at + 13, state.vote)
}

function writeBase(bytes: Buffer, at: number, base: { readonly discardSuffix: boolean; readonly meta: Buffer }): number {
  bytes.writeUInt8(partKinds.base, at)
  bytes.writeUInt8(base.discardSuffix ? 1 : 0, at + 1)
  bytes.writeUInt32LE(base.meta.length, at + 2)
  return at + 6 + base.meta.copy(bytes, at + 6)
}

function writeEntry(bytes: Buffer, at: number, entry: Entry): number {
  bytes.writeUInt8(partKinds[entry.kind], at)
  bytes.writeUIntLE(entry.index, at + 1, 6)
  bytes.writeUIntLE(entry.term, at + 7, 6)
  bytes.writeUInt32LE(entry.data.length, at + 13)
  bytes.set(entry.data, at + 17)
  return at + 17 + entry.data.length
}

function parseMeta(json: string): SnapshotMeta {
  // Written by encodeRecord and covered by the record's checksum, so the shape is known.
  return JSON.parse(json) as SnapshotMeta
}
