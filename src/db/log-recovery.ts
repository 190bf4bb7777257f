// Reads a log directory without changing it and decides: fresh, intact (and where to go on), or damaged.
import type { LogBatch } from '../ports/log-store.ts'
import type { LogFiles } from './log-files.ts'
import { emptyBase, emptyHardState, LogImage } from './log-image.ts'
import type { Proof } from './log-proof.ts'
import { proofFileName, readProofs, slotCount } from './log-proof.ts'
import type { ChainPosition } from './log-record.ts'
import { chainStart, decodeBody, readRecord } from './log-record.ts'
import type { SegmentHeader } from './log-segment.ts'
import { encodeSegmentHeader, readSegmentHeader, segmentName, segmentNumber } from './log-segment.ts'

/** A segment as found: which entries it still holds decides when it may go. */
export type FoundSegment = {
  readonly number: number
  /** Highest index of an entry in it that no later batch replaced; 0 if there is none. */
  liveLast: number
  bytes: number
}

export type FoundLog = {
  readonly kind: 'intact'
  readonly image: LogImage
  readonly proof: Proof
  /** Size of the proof's file. */
  readonly proofBytes: number
  readonly position: ChainPosition
  /** Oldest first; the last one is written on. */
  readonly segments: FoundSegment[]
  /** The last segment's header, and where its records end. */
  readonly header: Buffer
  readonly tail: number
  /** The newest records of the last segment, up to `tail`: what a former life may not have made durable. */
  readonly newest: { readonly bytes: Buffer; readonly offset: number }
  /** The very last record; empty where the last segment has none. */
  readonly lastRecord: Buffer
  /** Files that a crash left behind: segments already dropped, or one whose creation was cut short. */
  readonly strays: readonly string[]
}

export type LogFinding = { readonly kind: 'fresh'; readonly strays: readonly string[] } | FoundLog | { readonly kind: 'damaged'; readonly detail: string }

/**
 * The rule. Batch n is acknowledged when proof n is durable and holds a copy of the record; or, where that is too large, when the record and
 * then the proof are. Slot n is not written before record n - 16, whose copy it takes the place of, is durable. So a crash leaves the records at n, at
 * n with proof n - 1, or behind n with copies of all that are missing; everything else is damage. Statements 42 and 43 of the consensus notes.
 */
export async function findLog(directory: string, files: LogFiles): Promise<LogFinding> {
  const names = await files.list(directory)
  const numbers = names.map(segmentNumber).filter((number) => number !== null).toSorted((a, b) => a - b)
  if (!names.includes(proofFileName)) {
    return numbers.length === 0 ? { kind: 'fresh', strays: names.filter(isOurs) } : damaged('the proof file is missing')
  }
  const proofFile = await files.read(directory, proofFileName)
  const proofs = readProofs(proofFile)
  const [proof] = proofs
  if (proof === undefined) return damaged('no slot of the proof is readable')
  const run = newestRun(numbers)
  const replay = await replaySegments(directory, { run, proof, files })
  if (replay.kind === 'damaged') return replay
  if (replay.position.sequence === 0 && proof.position.sequence === 0) return { kind: 'fresh', strays: names.filter(isOurs) }
  if (replay.segments.length === 0 && numbers.length === 1 && numbers[0] === 1) beginFirstSegment(replay, proof)
  const strays = numbers.filter((number) => !replay.segments.some((segment) => segment.number === number)).map(segmentName)
  return judge(replay, { proofs, proofBytes: proofFile.length }, strays)
}

type Replay = {
  readonly kind: 'replayed'
  image: LogImage
  position: ChainPosition
  /** The chain one record before `position`. */
  previous: ChainPosition | null
  segments: FoundSegment[]
  header: Buffer
  tail: number
  /** Of the last segment: where its newest records begin, and its bytes up to `tail`. */
  offsets: number[]
  written: Buffer
}

function judge(replay: Replay, { proofs, proofBytes }: { readonly proofs: readonly Proof[]; readonly proofBytes: number }, strays: readonly string[]): LogFinding {
  const { position, image } = replay
  const proof = proofs[0]!
  const ends = `the records end at batch ${position.sequence}, the proof says ${proof.position.sequence} (term ${proof.term}, last index ${proof.lastIndex})`
  const chainAtProof = [position, replay.previous].find((known) => known?.sequence === proof.position.sequence)?.chain
  if (position.sequence < proof.position.sequence && redoMirrors(replay, proofs)) {
    // The copies made up for the records: they had not come to the segment yet, or its end was lost.
  } else if (chainAtProof === undefined) return damaged(ends)
  else if (chainAtProof !== proof.position.chain) return damaged(`${ends}, and their checksums differ`)
  const gap = image.gap()
  if (gap !== null) return damaged(gap)
  const { segments, header, tail, offsets, written } = replay
  const offset = offsets[0] ?? tail
  const newest = { bytes: Buffer.from(written.subarray(offset)), offset }
  return { kind: 'intact', image, proof, proofBytes, position: replay.position, segments, header, tail, newest, lastRecord: newest.bytes.subarray((offsets.at(-1) ?? tail) - offset), strays }
}

/** The header of the first segment became durable with the first batch, or did not: what it says is known, and the batch is in the proof. */
function beginFirstSegment(replay: Replay, { logId }: Proof): void {
  replay.header = encodeSegmentHeader({ logId, number: 1, start: chainStart, hardState: emptyHardState, base: emptyBase, lastIndex: 0 })
  replay.tail = replay.header.length
  replay.written = replay.header
  replay.segments.push({ number: 1, liveLast: 0, bytes: 0 })
}

/** All or nothing: the log is as it was where one of the copies is missing. */
function redoMirrors(replay: Replay, proofs: readonly Proof[]): boolean {
  const found: { readonly bytes: Buffer; readonly position: ChainPosition; readonly batch: LogBatch }[] = []
  let position = replay.position
  for (let sequence = position.sequence + 1; sequence <= proofs[0]!.position.sequence; sequence += 1) {
    const proof = proofs.find((candidate) => candidate.position.sequence === sequence)
    const record = proof === undefined ? null : readRecord(proof.mirror, 0, position)
    const batch = record === null ? null : decodeBody(record.body)
    if (proof === undefined || record === null || batch === null || record.position.chain !== proof.position.chain) return false
    found.push({ bytes: proof.mirror, position: record.position, batch })
    position = record.position
  }
  if (replay.segments.length === 0) return false
  for (const record of found) takeRecord(replay, record)
  replay.written = Buffer.concat([replay.written, ...found.map(({ bytes }) => bytes)])
  return true
}

function takeRecord(replay: Replay, { bytes, position, batch }: { readonly bytes: { readonly length: number }; readonly position: ChainPosition; readonly batch: LogBatch }): void {
  replay.image.apply(batch)
  applyToSegments(replay.segments, batch)
  replay.previous = replay.position
  replay.position = position
  replay.offsets.push(replay.tail)
  if (replay.offsets.length > slotCount) replay.offsets.shift()
  replay.tail += bytes.length
}

/** The highest numbers without a hole: what lies before a hole was dropped, or the replay will find it missing. */
function newestRun(numbers: readonly number[]): readonly number[] {
  let from = numbers.length - 1
  while (from > 0 && numbers[from - 1] === (numbers[from] as number) - 1) from -= 1
  return numbers.slice(Math.max(from, 0))
}

async function replaySegments(
  directory: string,
  options: { readonly run: readonly number[]; readonly proof: Proof; readonly files: LogFiles },
): Promise<Replay | { readonly kind: 'damaged'; readonly detail: string }> {
  let replay: Replay | null = null
  for (const number of options.run) {
    const isLast = number === options.run.at(-1)
    const file = await options.files.read(directory, segmentName(number))
    const found = readSegmentHeader(file)
    // A torn header is that of a segment whose creation was cut short. Whether it held records, the proof knows.
    if (found === null && isLast) break
    if (found === null) return damaged(`the header of segment ${number} is damaged`)
    const { header } = found
    if (header.number !== number || !header.logId.equals(options.proof.logId)) return damaged(`segment ${number} belongs to another log`)
    replay ??= startReplay(header)
    if (header.start.sequence !== replay.position.sequence || header.start.chain !== replay.position.chain) {
      return damaged(`segment ${number} begins after batch ${header.start.sequence}, the one before it ends at ${replay.position.sequence}`)
    }
    replay.segments.push({ number, liveLast: 0, bytes: file.length })
    const unknown = replayRecords(replay, file, found.end)
    if (unknown !== null) return damaged(unknown)
  }
  return replay ?? startReplay(null)
}

function startReplay(header: SegmentHeader | null): Replay {
  const empty = { hardState: emptyHardState, base: emptyBase, lastIndex: 0 }
  return {
    kind: 'replayed',
    image: new LogImage(header ?? empty),
    position: header?.start ?? { sequence: 0, chain: 0 },
    previous: null,
    segments: [],
    header: Buffer.alloc(0),
    tail: 0,
    offsets: [],
    written: Buffer.alloc(0),
  }
}

function replayRecords(replay: Replay, file: Buffer, headerEnd: number): string | null {
  replay.header = Buffer.from(file.subarray(0, headerEnd))
  replay.tail = headerEnd
  replay.offsets = []
  for (let record = readRecord(file, headerEnd, replay.position); record !== null; record = readRecord(file, record.end, replay.position)) {
    const batch = decodeBody(record.body)
    if (batch === null) return `batch ${record.position.sequence} has parts of a newer version`
    takeRecord(replay, { bytes: { length: record.end - replay.tail }, position: record.position, batch })
  }
  replay.written = file.subarray(0, replay.tail)
  return null
}

/** Keeps `liveLast` of every segment; the batch's entries lie in the last one. */
export function applyToSegments(segments: readonly FoundSegment[], batch: LogBatch): void {
  const first = batch.entries[0]
  for (const segment of segments) {
    if (batch.base?.discardSuffix === true) segment.liveLast = 0
    if (first !== undefined) segment.liveLast = Math.min(segment.liveLast, first.index - 1)
  }
  const current = segments.at(-1)
  if (first !== undefined && current !== undefined) current.liveLast = first.index + batch.entries.length - 1
}

function isOurs(name: string): boolean {
  return name.startsWith(proofFileName) || segmentNumber(name) !== null
}

function damaged(detail: string): { readonly kind: 'damaged'; readonly detail: string } {
  return { kind: 'damaged', detail }
}
