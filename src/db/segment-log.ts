// The Raft log on disk: chained records in segment files of our own, with a proof beside them that tells damage from a torn tail.
import { strict as assert } from 'node:assert'
import { randomBytes } from 'node:crypto'
import { OperationalError } from '../model/error.ts'
import type { LogBatch, LogBeginning, LogRecovery, LogStore } from '../ports/log-store.ts'
import type { HardState } from '../raft/types.ts'
import { bothSettled, isFull, synced } from './log-failure.ts'
import type { LogFile, LogFiles } from './log-files.ts'
import { diskFiles } from './log-files.ts'
import { assertBatchContinues, emptyBase, emptyHardState } from './log-image.ts'
import type { Proof } from './log-proof.ts'
import { emptyProofFile, encodeProof, mirrorBytesMax, proofFileName, proofNewFileName, slotBytes, slotCount, slotOffset, twinMirrorBytesMax } from './log-proof.ts'
import type { ChainPosition } from './log-record.ts'
import { chainStart, encodeRecord } from './log-record.ts'
import type { FoundLog, FoundSegment } from './log-recovery.ts'
import { applyToSegments, findLog } from './log-recovery.ts'
import { encodeSegmentHeader, segmentName } from './log-segment.ts'

const segmentBytesMaxDefault = 16 * 1024 * 1024
/** Space is taken in steps of this size: a write into space that exists needs no metadata, which halves the time of its sync. */
const extendBytes = 512 * 1024
const zeros = Buffer.alloc(extendBytes)
/** Records that wait for one common write: half of the ring, so that the next batches need not wait for it. */
const owedRecordsMax = slotCount / 2
/** They wait no longer: until then they are in the proof alone. */
const owedMsMax = 50

/** Does something after so many milliseconds; the returned function calls it off. */
export type Later = (ms: number, action: () => void) => () => void

export type SegmentLogOptions = {
  /** Belongs to this log alone; created when first written to. */
  readonly directory: string
  /** A segment that has reached this size is followed by a new one. Default 16 MiB. */
  readonly segmentBytesMax?: number
  /** A clock's; default the process's own. */
  readonly later?: Later
  /** Does something when this turn of the event loop is over; default `setImmediate`. */
  readonly soon?: (action: () => void) => void
}

/**
 * A log store in a directory. One process at a time may use it. `fresh` says only that the directory holds nothing: see `guardLog` for how
 * a wiped directory is told from a new one.
 * @see docs/adr/0004-raft-log-form.md for the form and for what it detects.
 */
export function openSegmentLog(options: SegmentLogOptions, files: LogFiles = diskFiles): LogStore {
  return new SegmentLog(options, files)
}

/*
 *   closed --open--> fresh --first write--> ready --write--> ready
 *                 \-> ready     |                \-failed sync-> failed (final)
 *                 \-> damaged   \--failed--> failed
 *   fresh, ready, damaged --renew--> ready
 */
type Phase = 'closed' | 'fresh' | 'ready' | 'damaged' | 'failed'

/** All that is known about the log while it is open. */
type Head = {
  logId: Buffer
  position: ChainPosition
  hardState: FoundLog['image']['hardState']
  base: FoundLog['image']['base']
  lastIndex: number
  segments: FoundSegment[]
  /** Where the next record goes, and how much space the current segment has taken. */
  tail: number
  taken: number
  /** The newest record, for the proof. */
  mirror: Buffer
  /** The batch up to which all records are durable in the segment; those after it have durable copies in the proof. */
  durable: number
}

class SegmentLog implements LogStore {
  readonly #directory: string
  readonly #segmentBytesMax: number
  readonly #files: LogFiles
  #phase: Phase = 'closed'
  #busy = false
  #failure: unknown = null
  #head: Head = emptyHead()
  #segment: LogFile | null = null
  #proof: LogFile | null = null
  readonly #later: Later
  readonly #soon: (action: () => void) => void
  readonly #scratch = Buffer.alloc(slotBytes)
  /** Acknowledged by their copies, not on their way to the segment yet. */
  #owed: Buffer[] = []
  #callOff: (() => void) | null = null
  /** Once the write under way has ended, the next one is to begin. */
  #flushWanted = false
  /** The write of records that nobody waits for. */
  #flight: Promise<void> | null = null
  readonly #listeners: ((error: unknown) => void)[] = []

  constructor(options: SegmentLogOptions, files: LogFiles) {
    this.#directory = options.directory
    this.#segmentBytesMax = options.segmentBytesMax ?? segmentBytesMaxDefault
    this.#later = options.later ?? processLater
    this.#soon = options.soon ?? setImmediate
    this.#files = files
  }

  async open(): Promise<LogRecovery> {
    assert(this.#phase === 'closed', 'the log is open already')
    return this.#exclusively(async () => {
      try {
        await this.#files.makeDirectory(this.#directory)
        const found = await findLog(this.#directory, this.#files)
        if (found.kind === 'damaged') {
          this.#phase = 'damaged'
          return { kind: 'damaged', detail: found.detail }
        }
        if (found.kind === 'fresh') {
          await this.#remove(found.strays)
          this.#phase = 'fresh'
          return { kind: 'fresh' }
        }
        await this.#resume(found)
        this.#phase = 'ready'
        return { kind: 'intact', hardState: found.image.hardState, base: found.image.base, entries: found.image.entries }
      } catch (error) {
        throw this.#fail(error, 'open')
      }
    })
  }

  async write(batch: LogBatch): Promise<void> {
    await this.#exclusively(async () => {
      this.#assertWritable()
      assertBatchContinues(batch, { lastIndex: this.#head.lastIndex, baseIndex: this.#head.base.index })
      if (batch.hardState === null && batch.base === null && batch.entries.length === 0) return
      try {
        if (this.#phase === 'fresh') await this.#create()
        if (this.#head.tail >= this.#segmentBytesMax) await this.#rotate()
        await this.#append(batch)
        if (batch.base !== null) await this.#dropSegments()
      } catch (error) {
        if (isFull(error) && (this.#phase === 'fresh' ? await this.#undoCreation() : this.#phase === 'ready' && (await this.#undoPartialWrite()))) {
          throw new OperationalError('STORAGE_FULL', `The disk of the Raft log in ${this.#directory} is full; nothing was written. Free some space.`, { cause: error })
        }
        throw this.#fail(error, 'write')
      }
    })
  }

  async renew(beginning: LogBeginning): Promise<HardState> {
    const { hardState, base } = beginning
    await this.#exclusively(async () => {
      assert(this.#phase !== 'closed' && this.#phase !== 'failed', `a log that is ${this.#phase} is not renewed`)
      try {
        if (this.#phase === 'ready') await this.#settle()
        await this.#closeFiles()
        await this.#files.putAside(this.#directory)
        this.#phase = 'fresh'
      } catch (error) {
        throw this.#fail(error, 'write')
      }
    })
    await this.write({ hardState, entries: [], base: base === null ? null : { meta: base, discardSuffix: true } })
    return hardState
  }

  watchFailure(listener: (error: unknown) => void): void {
    this.#listeners.push(listener)
  }

  async close(): Promise<void> {
    await this.#exclusively(async () => {
      // Records that could not be written are made again from their copies when the log is next opened.
      if (this.#phase === 'ready') await this.#settle().catch(() => undefined)
      this.#phase = 'closed'
      await this.#closeFiles()
    })
  }

  async #closeFiles(): Promise<void> {
    this.#callOff?.()
    this.#callOff = null
    for (const file of [this.#segment, this.#proof]) await file?.close()
    this.#segment = null
    this.#proof = null
    this.#owed = []
    this.#flight = null
    this.#head = emptyHead()
  }

  sizeBytes(): number {
    const { segments } = this.#head
    return segments.length === 0 ? 0 : segments.reduce((sum, segment) => sum + segment.bytes, slotCount * slotBytes)
  }

  /** The proof is there, durably, before anything that it could prove. */
  async #create(): Promise<void> {
    this.#head = { ...emptyHead(), logId: randomBytes(16) }
    // The directory may have been removed since it was opened.
    await this.#files.makeDirectory(this.#directory)
    const fresh = await this.#files.open(this.#directory, proofNewFileName, { create: true })
    try {
      await fresh.write([emptyProofFile(this.#head.logId)], 0)
      await synced(fresh.sync())
    } finally {
      await fresh.close()
    }
    await this.#files.rename(this.#directory, proofNewFileName, proofFileName)
    await synced(this.#files.syncDirectory(this.#directory))
    this.#proof = await this.#files.open(this.#directory, proofFileName, { create: false })
    await this.#startSegment(1)
    this.#phase = 'ready'
  }

  async #append(batch: LogBatch): Promise<void> {
    const head = this.#head
    const record = encodeRecord(batch, head.position)
    const hardState = batch.hardState ?? head.hardState
    const lastIndex = batch.entries.at(-1)?.index ?? lastIndexAfterBase(batch, head.lastIndex)
    const mirror = record.bytes.length <= mirrorBytesMax ? record.bytes : Buffer.alloc(0)
    const proof: Proof = { logId: head.logId, position: record.position, term: hardState.term, vote: hardState.vote, lastIndex, mirror }
    if (mirror.length === 0) {
      await this.#settle()
      await this.#writeRecord(record.bytes)
      await this.#writeProof(proof)
    } else if (head.tail + record.bytes.length > head.taken) {
      await this.#settle()
      await bothSettled(this.#writeRecord(record.bytes), this.#writeProof(proof))
    } else {
      if (record.position.sequence - slotCount > head.durable) await this.#settle()
      await this.#writeProof(proof)
      this.#owe(record.bytes)
    }
    applyToSegments(head.segments, batch)
    head.position = record.position
    head.hardState = hardState
    head.base = batch.base?.meta ?? head.base
    head.lastIndex = lastIndex
    head.tail += record.bytes.length
    head.mirror = mirror
    if (this.#owed.length === 0) head.durable = record.position.sequence
    else if (this.#owed.length >= owedRecordsMax || record.bytes.length > twinMirrorBytesMax) this.#flush()
  }

  /** The batch is durable by its copy in the proof. Its record goes to the segment with others, and nobody waits for that but a batch that needs the copy's place. */
  #owe(bytes: Buffer): void {
    this.#owed.push(bytes)
    this.#callOff ??= this.#later(owedMsMax, () => {
      this.#callOff = null
      this.#flush()
    })
  }

  /** Begins to write what is owed, a turn later lest the job fight with what the turn has yet to do. */
  #flush(): void {
    if (this.#owed.length === 0 || this.#phase !== 'ready') return
    this.#callOff?.()
    this.#callOff = null
    if (this.#flight !== null) {
      this.#flushWanted = true
      return
    }
    this.#flushWanted = false
    const { head, file, owed } = { head: this.#head, file: this.#current(), owed: this.#owed }
    this.#owed = []
    const upTo = head.position.sequence
    const position = head.tail - owed.reduce((sum, bytes) => sum + bytes.length, 0)
    const flight = new Promise<void>((resolve) => this.#soon(resolve)).then(() => synced(file.writeSynced(owed, position)))
    this.#flight = flight.then(() => {
      this.#flight = null
      head.durable = upTo
      if (this.#flushWanted) this.#flush()
    })
    this.#flight.catch((error: unknown) => {
      if (this.#phase !== 'ready') return
      // Also where no further call comes: after a failed sync nothing may be acknowledged.
      const failure = this.#fail(error, 'write')
      for (const listener of this.#listeners) listener(failure)
    })
  }

  /** Everything acknowledged is durable in the segment when it resolves. @throws SyncError */
  async #settle(): Promise<void> {
    while (this.#flight !== null || this.#owed.length > 0) {
      this.#flush()
      await this.#flight
    }
  }

  async #writeRecord(bytes: Buffer): Promise<void> {
    const { tail, taken } = this.#head
    const end = tail + bytes.length
    if (end <= taken) return synced(this.#current().writeSynced([bytes], tail))
    const step = Math.min(extendBytes, this.#segmentBytesMax)
    const takenAfter = Math.ceil(end / step) * step
    const padding = zeros.subarray(0, takenAfter - end)
    // The disk may be full: that is told by the write alone, and can be undone.
    await this.#current().write([bytes, padding], tail)
    await synced(this.#current().sync())
    this.#head.taken = takenAfter
    currentSegment(this.#head).bytes = takenAfter
  }

  async #writeProof(proof: Proof): Promise<void> {
    const { bytes, offset } = encodeProof(proof, this.#scratch)
    assert(this.#proof !== null)
    await synced(this.#proof.writeSynced([bytes], offset))
  }

  async #rotate(): Promise<void> {
    await this.#settle()
    const { number } = currentSegment(this.#head)
    const former = this.#current()
    await this.#startSegment(number + 1)
    await former.close()
  }

  /** The header becomes durable with the first record: until then the segment before it says it all. The name must be durable first. */
  async #startSegment(number: number): Promise<void> {
    const { logId, position, hardState, base, lastIndex } = this.#head
    const header = encodeSegmentHeader({ logId, number, start: position, hardState, base, lastIndex })
    const file = await this.#files.open(this.#directory, segmentName(number), { create: true })
    try {
      await file.write([header], 0)
      await synced(this.#files.syncDirectory(this.#directory))
    } catch (error) {
      await file.close()
      throw error
    }
    this.#segment = file
    this.#head.segments.push({ number, liveLast: 0, bytes: header.length })
    this.#head.tail = header.length
    this.#head.taken = header.length
  }

  /** Drops whole segments whose entries are all behind the base; the headers of the others carry everything else. */
  async #dropSegments(): Promise<void> {
    const { segments, base } = this.#head
    const keepFrom = segments.findIndex((segment, at) => at === segments.length - 1 || segment.liveLast > base.index)
    const dropped = segments.slice(0, keepFrom)
    this.#head.segments = segments.slice(keepFrom)
    await this.#remove(dropped.map((segment) => segmentName(segment.number)))
  }

  async #remove(names: readonly string[]): Promise<void> {
    for (const name of names) await this.#files.remove(this.#directory, name)
    if (names.length > 0) await synced(this.#files.syncDirectory(this.#directory))
  }

  /**
   * Goes on after a restart. What was found may be in the page cache only (the process died, the machine did not), even after a sync
   * that failed in a former life, so header and newest records are written and synced anew before anybody trusts them; equal bytes cannot tear.
   */
  async #resume(found: FoundLog): Promise<void> {
    const { image, position, segments } = found
    const segment = segments.at(-1)
    assert(segment !== undefined)
    const mirror = found.lastRecord.length <= mirrorBytesMax ? found.lastRecord : Buffer.alloc(0)
    this.#head = {
      logId: found.proof.logId,
      position,
      hardState: image.hardState,
      base: image.base,
      lastIndex: image.lastIndex,
      segments,
      tail: found.tail,
      taken: found.tail,
      mirror,
      durable: position.sequence,
    }
    this.#segment = await this.#files.open(this.#directory, segmentName(segment.number), { create: false })
    this.#proof = await this.#files.open(this.#directory, proofFileName, { create: false })
    await this.#segment.truncate(found.tail)
    await this.#segment.write([found.header], 0)
    await this.#segment.write([found.newest.bytes], found.newest.offset)
    await synced(this.#segment.sync())
    segment.bytes = found.tail
    if (found.proofBytes < slotCount * slotBytes) await this.#extendProof(found.proofBytes)
    const { term, vote } = image.hardState
    await this.#writeProof({ logId: found.proof.logId, position, term, vote, lastIndex: image.lastIndex, mirror })
    await this.#remove(found.strays)
    await synced(this.#files.syncDirectory(this.#directory))
  }

  /** The file was cut short, or is of a version with fewer slots. */
  async #extendProof(from: number): Promise<void> {
    assert(this.#proof !== null)
    await this.#proof.write([Buffer.alloc(slotCount * slotBytes - from)], from)
    await synced(this.#proof.sync())
  }

  /** A log that could not be made for want of space is none yet. False where that fails, too. */
  async #undoCreation(): Promise<boolean> {
    try {
      for (const file of [this.#segment, this.#proof]) await file?.close()
      this.#segment = null
      this.#proof = null
      this.#head = emptyHead()
      const names = await this.#files.list(this.#directory)
      // The proof last: records without one would look like damage.
      for (const name of [segmentName(1), proofNewFileName, proofFileName]) if (names.includes(name)) await this.#remove([name])
      return true
    } catch {
      return false
    }
  }

  /** After a write for which there was no space: takes back what got through. False where that fails, too. */
  async #undoPartialWrite(): Promise<boolean> {
    const { logId, position, hardState, lastIndex, mirror, tail } = this.#head
    try {
      await this.#current().truncate(tail)
      await synced(this.#current().sync())
      this.#head.taken = tail
      // The slot of the failed batch may be durable already: it must not outlive a different batch of the same number.
      const { bytes } = encodeProof({ logId, position, term: hardState.term, vote: hardState.vote, lastIndex, mirror }, this.#scratch)
      assert(this.#proof !== null)
      await this.#proof.write([bytes, Buffer.alloc(slotBytes - bytes.length)], slotOffset(position.sequence + 1))
      await synced(this.#proof.sync())
      await this.#removeUnusedSegment()
      return true
    } catch {
      return false
    }
  }

  /** The segment that could not be started, if it was that which failed. */
  async #removeUnusedSegment(): Promise<void> {
    const name = segmentName(currentSegment(this.#head).number + 1)
    const names = await this.#files.list(this.#directory)
    if (names.includes(name)) await this.#remove([name])
  }

  #current(): LogFile {
    assert(this.#segment !== null)
    return this.#segment
  }

  #assertWritable(): void {
    assert(this.#phase !== 'closed', 'the log is not open')
    if (this.#phase === 'damaged') throw new OperationalError('LOG_DAMAGED', `The Raft log in ${this.#directory} is damaged and is not written to.`)
    if (this.#phase === 'failed') {
      throw new OperationalError('STORAGE_FAILED', `The Raft log in ${this.#directory} failed before; restart the node.`, { cause: this.#failure })
    }
  }

  #fail(error: unknown, verb: 'open' | 'write'): unknown {
    this.#phase = 'failed'
    this.#failure = error
    // A bug stays a bug.
    if (error instanceof Error && error.name === 'AssertionError') return error
    const what = verb === 'open' ? 'could not be opened' : 'could not be written; it accepts nothing more until the node is restarted'
    return new OperationalError('STORAGE_FAILED', `The Raft log in ${this.#directory} ${what}.`, { cause: error })
  }

  async #exclusively<T>(action: () => Promise<T>): Promise<T> {
    assert(!this.#busy, 'calls to the log are made one after the other')
    this.#busy = true
    try {
      return await action()
    } finally {
      this.#busy = false
    }
  }
}

function lastIndexAfterBase(batch: LogBatch, lastIndex: number): number {
  if (batch.base === null) return lastIndex
  return batch.base.discardSuffix ? batch.base.meta.index : Math.max(lastIndex, batch.base.meta.index)
}

function currentSegment(head: Head): FoundSegment {
  const segment = head.segments.at(-1)
  assert(segment !== undefined)
  return segment
}

/** A process that has nothing else to do need not wait for it: what is owed has its copies. */
function processLater(ms: number, action: () => void): () => void {
  const timer = setTimeout(action, ms)
  timer.unref()
  return () => clearTimeout(timer)
}

function emptyHead(): Head {
  return {
    logId: Buffer.alloc(16),
    position: chainStart,
    hardState: emptyHardState,
    base: emptyBase,
    lastIndex: 0,
    segments: [],
    tail: 0,
    taken: 0,
    mirror: Buffer.alloc(0),
    durable: 0,
  }
}
