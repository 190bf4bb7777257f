// Decides up to where the log may be forgotten: never beyond a synced state, and not what a follower is about to need.
import type { Configuration, LogIndex, Progress, SnapshotMeta, Term } from '../raft/types.ts'

export type CompactionBounds = {
  /** Entries after which the log is shortened; about half of them stay for followers that lag. */
  readonly entriesMax: number
  /** Bytes of entries, likewise. */
  readonly bytesMax: number
  /** Milliseconds, likewise: nothing stays in the log for long only because little is written. */
  readonly ageMsMax: number
}

/** Production values. */
export const defaultCompactionBounds: CompactionBounds = { entriesMax: 10_000, bytesMax: 16 * 1024 * 1024, ageMsMax: 60 * 60 * 1000 }

/** A follower's needs are respected until the log is this many times over its bounds. */
const patienceFactor = 4
const marksMax = 64

/**
 * Marks are places where the log could begin: index, term and configuration as they were when the state stood there. One is set each
 * time half of one of the bounds has been applied or has passed, and asks for a synced state. The log is cut at the newest mark but one that is synced.
 */
export class Compaction {
  readonly #bounds: CompactionBounds
  #marks: SnapshotMeta[] = []
  #lastIndex: LogIndex
  #bytes = 0
  /** When the first entry behind the last mark was applied; null while there is none. */
  #firstMs: number | null = null
  #synced: LogIndex = 0
  /** A mark that somebody waits for: the log is cut there as soon as it is synced and no follower in reach needs more. */
  #demanded: SnapshotMeta | null = null

  constructor(bounds: CompactionBounds, start: LogIndex) {
    this.#bounds = bounds
    this.#lastIndex = start
  }

  /** The state now stands at `index`; true where a mark was set and the state should be synced. */
  applied(at: { readonly index: LogIndex; readonly term: Term; readonly configuration: Configuration; readonly bytes: number; readonly nowMs: number }): boolean {
    this.#bytes += at.bytes
    this.#firstMs ??= at.nowMs
    const { entriesMax, bytesMax, ageMsMax } = this.#bounds
    if (at.index - this.#lastIndex < entriesMax / 2 && this.#bytes < bytesMax / 2 && at.nowMs - this.#firstMs < ageMsMax / 2) return false
    this.#lastIndex = at.index
    this.#bytes = 0
    this.#firstMs = null
    this.#marks.push({ index: at.index, term: at.term, configuration: at.configuration })
    if (this.#marks.length > marksMax) this.#marks.shift()
    return true
  }

  synced(index: LogIndex): void {
    this.#synced = Math.max(this.#synced, index)
  }

  /** Where the state stands now is where the log shall begin, soon; the caller sees to a synced state. Null takes it back. */
  demand(at: SnapshotMeta | null): void {
    this.#demanded = at
  }

  get demanded(): SnapshotMeta | null {
    return this.#demanded
  }

  /** A snapshot was installed: the log begins there. */
  reset(index: LogIndex): void {
    this.#marks = []
    this.#demanded = null
    this.#lastIndex = index
    this.#bytes = 0
    this.#firstMs = null
    this.#synced = index
  }

  /** A quick look, before the log's own figures are gathered. */
  get isPossible(): boolean {
    const second = this.#marks[1]
    if (this.#demanded !== null && this.#demanded.index <= this.#synced) return true
    return second !== undefined && second.index <= this.#synced
  }

  /** Where the log may begin now, or null where it should stay as it is. */
  due(log: { readonly firstIndex: LogIndex; readonly lastIndex: LogIndex; readonly logBytes: number; readonly progress: Readonly<Record<string, Progress>> }): SnapshotMeta | null {
    const demanded = this.#demanded
    if (demanded !== null && demanded.index <= this.#synced && demanded.index < neededIndex(log.progress)) {
      this.#demanded = null
      this.#marks = this.#marks.filter((mark) => mark.index > demanded.index)
      if (demanded.index >= log.firstIndex) return demanded
    }
    const safe = this.#marks.filter((mark) => mark.index <= this.#synced)
    const candidates = safe.slice(0, -1).filter((mark) => mark.index >= log.firstIndex)
    const { entriesMax, bytesMax } = this.#bounds
    const isPatient = log.lastIndex - log.firstIndex < patienceFactor * entriesMax && log.logBytes < patienceFactor * bytesMax
    const needed = isPatient ? neededIndex(log.progress) : Infinity
    const target = candidates.findLast((mark) => mark.index < needed) ?? null
    if (target !== null) this.#marks = this.#marks.filter((mark) => mark.index > target.index)
    return target
  }
}

/** The first entry that a follower in reach will ask for: behind the snapshot under way to it, or behind what it has. */
function neededIndex(progress: Readonly<Record<string, Progress>>): LogIndex {
  let needed = Infinity
  for (const peer of Object.values(progress)) {
    if (peer.state === 'snapshot' && peer.pendingSnapshot > 0) needed = Math.min(needed, peer.pendingSnapshot + 1)
    else if (peer.recentActive && peer.state === 'replicate') needed = Math.min(needed, peer.match + 1)
  }
  return needed
}
