// The proof beside the segments: a ring of slots that say how far the acknowledged log reaches, each with a copy of its record.
import { strict as assert } from 'node:assert'
import { crc32 } from 'node:zlib'
import type { LogIndex, RaftId, Term } from '../raft/types.ts'
import type { ChainPosition } from './log-record.ts'
import { readVote, voteSize, writeVote } from './log-record.ts'

/*
 * file = 16 slots of 64 KiB; sequence n is written to slot n mod 16, so a torn write leaves n - 1 readable.
 * slot = said | where it is small, from the next 4 KiB on, said once more: while the record is nowhere else, one flipped bit takes nothing away.
 * said = crc u32 (of the rest) | bytes u32 | magic u32 | log id 16 | sequence u48 | chain u32 | term u48 | lastIndex u48 |
 *        vote | mirrorBytes u32 | mirror
 */
export const proofFileName = 'proof'
export const proofNewFileName = 'proof.new'
export const slotBytes = 64 * 1024
export const slotCount = 16
const twinStep = 4096
/** What is said twice has at most so many bytes. */
const twinBytesMax = 2 * twinStep
const magic = 0x50_43_4e_31
const fixedBytes = 4 + 4 + 4 + 16 + 6 + 4 + 6 + 6
const voteBytesMax = 1024

/** Records up to this size are kept a second time in the proof, and may be written at the same time as the segment. */
export const mirrorBytesMax = slotBytes - fixedBytes - voteBytesMax - 4
/** Records up to this size are twice in the proof, and may come to the segment later. */
export const twinMirrorBytesMax = twinBytesMax - fixedBytes - voteBytesMax - 4

export type Proof = {
  readonly logId: Buffer
  readonly position: ChainPosition
  readonly term: Term
  readonly vote: RaftId | null
  readonly lastIndex: LogIndex
  /** The whole last record; empty where it was too large. */
  readonly mirror: Buffer
}

/** Bytes of a slot and where in the file they belong; valid until `scratch`, of `slotBytes`, is used again. */
export function encodeProof(proof: Proof, scratch: Buffer): { readonly bytes: Buffer; readonly offset: number } {
  assert(proof.mirror.length <= mirrorBytesMax)
  const length = fixedBytes + voteSize(proof.vote) + 4 + proof.mirror.length
  assert(length <= slotBytes)
  const bytes = scratch.subarray(0, length)
  bytes.writeUInt32LE(length, 4)
  bytes.writeUInt32LE(magic, 8)
  proof.logId.copy(bytes, 12)
  bytes.writeUIntLE(proof.position.sequence, 28, 6)
  bytes.writeUInt32LE(proof.position.chain, 34)
  bytes.writeUIntLE(proof.term, 38, 6)
  bytes.writeUIntLE(proof.lastIndex, 44, 6)
  const at = writeVote(bytes, fixedBytes, proof.vote)
  bytes.writeUInt32LE(proof.mirror.length, at)
  proof.mirror.copy(bytes, at + 4)
  bytes.writeUInt32LE(crc32(bytes.subarray(4)), 0)
  const offset = slotOffset(proof.position.sequence)
  if (length > twinBytesMax) return { bytes, offset }
  const twinAt = Math.ceil(length / twinStep) * twinStep
  scratch.fill(0, length, twinAt)
  bytes.copy(scratch, twinAt)
  return { bytes: scratch.subarray(0, twinAt + length), offset }
}

export function slotOffset(sequence: number): number {
  return (sequence % slotCount) * slotBytes
}

/** The readable slots, newest first; none, which no crash can cause. */
export function readProofs(file: Buffer): readonly Proof[] {
  const proofs: Proof[] = []
  for (let at = 0; at < file.length; at += slotBytes) {
    const proof = readSlot(file.subarray(at, at + slotBytes))
    if (proof !== null) proofs.push(proof)
  }
  return proofs.toSorted((a, b) => b.position.sequence - a.position.sequence)
}

/** A whole file that proves the empty log. */
export function emptyProofFile(logId: Buffer): Buffer {
  const file = Buffer.alloc(slotCount * slotBytes)
  const proof = { logId, position: { sequence: 0, chain: 0 }, term: 0, vote: null, lastIndex: 0, mirror: Buffer.alloc(0) }
  encodeProof(proof, file.subarray(0, slotBytes))
  return file
}

/** The newer of what is said in it: a torn write may leave an older twin. */
function readSlot(slot: Buffer): Proof | null {
  let newest: Proof | null = null
  for (let at = 0; at <= twinBytesMax; at += twinStep) {
    const said = readSaid(slot.subarray(at))
    if (said !== null && (newest === null || said.position.sequence > newest.position.sequence)) newest = said
  }
  return newest
}

function readSaid(slot: Buffer): Proof | null {
  if (slot.length < fixedBytes + 6 || slot.readUInt32LE(8) !== magic) return null
  const length = slot.readUInt32LE(4)
  if (length < fixedBytes + 6 || length > slot.length || crc32(slot.subarray(4, length)) !== slot.readUInt32LE(0)) return null
  const vote = readVote(slot, fixedBytes)
  return {
    logId: Buffer.from(slot.subarray(12, 28)),
    position: { sequence: slot.readUIntLE(28, 6), chain: slot.readUInt32LE(34) },
    term: slot.readUIntLE(38, 6),
    lastIndex: slot.readUIntLE(44, 6),
    vote: vote.vote,
    mirror: Buffer.from(slot.subarray(vote.end + 4, vote.end + 4 + slot.readUInt32LE(vote.end))),
  }
}
