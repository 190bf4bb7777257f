// Reads a log directory without changing it and decides: fresh, intact (and where to go on), or damaged.
import type { LogBatch } from '../ports/log-store.ts'
import type { LogFiles } from './log-files.ts'
import { emptyBase, emptyHardState, LogImage } from './log-image.ts'
import type { Proof } from './log-proof.ts'
import { proofFileName, readProof } from './log-proof.ts'
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
  readonly position: ChainPosition
  /** Oldest first; the last one is written on. */
  readonly segments: FoundSegment[]
  /** The last segment's header, where its records end, and its last record, if there is one. */
  readonly header: Buffer
  readonly tail: number
  readonly lastRecord: { readonly bytes: Buffer; readonly offset: number } | null
  /** Files that a crash left behind: segments already dropped, or one whose creation was cut short. */
  readonly strays: readonly string[]
}

export type LogFinding = { readonly kind: 'fresh'; readonly strays: readonly string[] } | FoundLog | { readonly kind: 'damaged'; readonly detail: string }

/**
 * The rule. Batch n is acknowledged when proof n is durable and holds a copy of the record; or, where that is too large, when the record and
 * then the proof are. Nothing of batch n + 1 is written before record n is durable. So a crash leaves the records at n - 1 (with a copy of n at
 * hand, or with proof n - 1), or at n, or at n with proof n - 1; everything else is damage. Statements 42 and 43 of the consensus notes.
 */
export async function findLog(directory: string, files: LogFiles): Promise<LogFinding> {
  const names = await files.list(directory)
  const numbers = names.map(segmentNumber).filter((number) => number !== null).toSorted((a, b) => a - b)
  if (!names.includes(proofFileName)) {
    return numbers.length === 0 ? { kind: 'fresh', strays: names.filter(isOurs) } : damaged('the proof file is missing')
  }
  const proof = readProof(await files.read(directory, proofFileName))
  if (proof === null) return damaged('neither slot of the proof is readable')
  const run = newestRun(numbers)
  const replay = await replaySegments(directory, { run, proof, files })
  if (replay.kind === 'damaged') return replay
  if (replay.position.sequence === 0 && proof.position.sequence === 0) return { kind: 'fresh', strays: names.filter(isOurs) }
  if (replay.segments.length === 0 && numbers.length === 1 && numbers[0] === 1) beginFirstSegment(replay, proof)
  const strays = numbers.filter((number) => !replay.segments.some((segment) => segment.number === number)).map(segmentName)
  return judge(replay, proof, strays)
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
  lastRecord: FoundLog['lastRecord']
}

function judge(replay: Replay, proof: Proof, strays: readonly string[]): LogFinding {
  const { position, image } = replay
  const ends = `the records end at batch ${position.sequence}, the proof says ${proof.position.sequence} (term ${proof.term}, last index ${proof.lastIndex})`
  const chainAtProof = [position, replay.previous].find((known) => known?.sequence === proof.position.sequence)?.chain
  if (position.sequence === proof.position.sequence - 1 && redoMirror(replay, proof)) {
    // The copy made up for the record: either a torn write that nobody was told of, or the loss of the last record alone.
  } else if (chainAtProof === undefined) return damaged(ends)
  else if (chainAtProof !== proof.position.chain) return damaged(`${ends}, and their checksums differ`)
  const gap = image.gap()
  if (gap !== null) return damaged(gap)
  const { segments, header, tail, lastRecord } = replay
  return { kind: 'intact', image, proof, position: replay.position, segments, header, tail, lastRecord, strays }
}

/** The header of the first segment became durable with the first batch, or did not: what it says is known, and the batch is in the proof. */
function beginFirstSegment(replay: Replay, { logId }: Proof): void {
  replay.header = encodeSegmentHeader({ logId, number: 1, start: chainStart, hardState: emptyHardState, base: emptyBase, lastIndex: 0 })
  replay.tail = replay.header.length
  replay.segments.push({ number: 1, liveLast: 0, bytes: 0 })
}

function redoMirror(replay: Replay, proof: Proof): boolean {
  const segment = replay.segments.at(-1)
  const record = readRecord(proof.mirror, 0, replay.position)
  if (segment === undefined || record === null || record.position.chain !== proof.position.chain) return false
  const batch = decodeBody(record.body)
  if (batch === null) return false
  applyToSegments(replay.segments, batch)
  replay.image.apply(batch)
  replay.previous = replay.position
  replay.position = record.position
  replay.lastRecord = { bytes: proof.mirror, offset: replay.tail }
  replay.tail += proof.mirror.length
  return true
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
    lastRecord: null,
  }
}

function replayRecords(replay: Replay, file: Buffer, headerEnd: number): string | null {
  replay.header = Buffer.from(file.subarray(0, headerEnd))
  replay.tail = headerEnd
  replay.lastRecord = null
  for (let record = readRecord(file, headerEnd, replay.position); record !== null; record = readRecord(file, record.end, replay.position)) {
    const batch = decodeBody(record.body)
    if (batch === null) return `batch ${record.position.sequence} has parts of a newer version`
    replay.image.apply(batch)
    applyToSegments(replay.segments, batch)
    replay.previous = replay.position
    replay.position = record.position
    replay.lastRecord = { bytes: Buffer.from(file.subarray(replay.tail, record.end)), offset: replay.tail }
    replay.tail = record.end
  }
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
