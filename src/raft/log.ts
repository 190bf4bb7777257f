// The log in memory: a snapshot's name, the entries behind it, and how far they are durable, committed and applied.
import { assertRaft, breakRaft } from './assertion.ts'
import { changeConfiguration } from './confchange.ts'
import { decodeConfChange } from './confchange-codec.ts'
import { emptyConfiguration, isVoter } from './quorum.ts'
import type { Configuration, Entry, LogIndex, RaftId, Snapshot, SnapshotMeta, Term } from './types.ts'

/** Counted per entry on top of its data, so that a log of empty entries is bounded too. */
export const entryOverheadBytes = 16

/** What an entry weighs against the byte limits. */
export function entryBytes(entry: Entry): number {
  return entry.data.length + entryOverheadBytes
}

type AppliedConfiguration = { readonly index: LogIndex; readonly configuration: Configuration }

/**
 *   snapshot.index | first … applied … committed … last
 *   entries up to `stable` are durable; `applied` <= `committed` always, `stable` may lie on either side of `committed`.
 */
export class RaftLog {
  #snapshot: SnapshotMeta
  #entries: Entry[]
  #stable: LogIndex
  #committed: LogIndex
  #applied: LogIndex
  #bytes = 0
  /** A received snapshot that is not yet durable; everything in the log already counts from it. */
  #incoming: Snapshot | null = null
  /** The configuration at the snapshot and after every applied config entry since; compaction needs the one at its index. */
  #configurations: AppliedConfiguration[]

  constructor(snapshot: SnapshotMeta | null, entries: readonly Entry[]) {
    this.#snapshot = snapshot ?? { index: 0, term: 0, configuration: emptyConfiguration }
    this.#entries = []
    this.#stable = this.#snapshot.index
    this.#committed = this.#snapshot.index
    this.#applied = this.#snapshot.index
    this.#configurations = [{ index: this.#snapshot.index, configuration: this.#snapshot.configuration }]
    this.append(entries)
    this.#stable = this.lastIndex
  }

  get snapshot(): SnapshotMeta {
    return this.#snapshot
  }
  get snapshotIndex(): LogIndex {
    return this.#snapshot.index
  }
  get firstIndex(): LogIndex {
    return this.#snapshot.index + 1
  }
  get lastIndex(): LogIndex {
    return this.#snapshot.index + this.#entries.length
  }
  get lastTerm(): Term {
    return this.#entries.at(-1)?.term ?? this.#snapshot.term
  }
  get stable(): LogIndex {
    return this.#stable
  }
  get committed(): LogIndex {
    return this.#committed
  }
  get applied(): LogIndex {
    return this.#applied
  }
  get bytes(): number {
    return this.#bytes
  }
  get incoming(): Snapshot | null {
    return this.#incoming
  }
  get configuration(): Configuration {
    return (this.#configurations.at(-1) as AppliedConfiguration).configuration
  }
  /** Index of the config entry (or snapshot) that put the current configuration in force. */
  get configurationIndex(): LogIndex {
    return (this.#configurations.at(-1) as AppliedConfiguration).index
  }

  /** The term of the entry at `index`, or null when the log does not know it (compacted or beyond its end). */
  termAt(index: LogIndex): Term | null {
    if (index === this.#snapshot.index) return this.#snapshot.term
    return this.#entries[index - this.firstIndex]?.term ?? null
  }

  /** The entry at `index`, which must be in the log. */
  entryAt(index: LogIndex): Entry {
    return this.#entries[index - this.firstIndex] ?? breakRaft(`entry ${index} is not in the log ${this.firstIndex}..${this.lastIndex}`)
  }

  /** Paper §5.4.1: is a log that ends with (lastTerm, lastIndex) at least as complete as this one? */
  isUpToDate(lastTerm: Term, lastIndex: LogIndex): boolean {
    return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.lastIndex)
  }

  /** Entries from `from` up to `to`, as many as fit in `bytesMax`, always at least one of them. */
  slice(from: LogIndex, to: LogIndex, bytesMax: number): readonly Entry[] {
    if (from > to) return []
    const { firstIndex } = this
    if (from < firstIndex || to > this.lastIndex) breakRaft(`slice ${from}..${to} of ${firstIndex}..${this.lastIndex}`)
    let end = from
    for (let bytes = 0; end <= to; end += 1) {
      bytes += entryBytes(this.#entries[end - firstIndex] as Entry)
      if (bytes > bytesMax && end > from) break
    }
    return this.#entries.slice(from - firstIndex, end - firstIndex)
  }

  /** What the data of the entries from `from` up to `to` weighs. */
  dataBytes(from: LogIndex, to: LogIndex): number {
    let bytes = 0
    for (let index = from; index <= to; index += 1) bytes += this.entryAt(index).data.length
    return bytes
  }

  /** Appends at the end. Indexes are contiguous and terms never fall: one entry per index and term. */
  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.index !== this.lastIndex + 1) breakRaft(`entry ${entry.index} does not follow ${this.lastIndex}`)
      if (entry.term < this.lastTerm) breakRaft(`term ${entry.term} at ${entry.index} falls below ${this.lastTerm}`)
      this.#entries.push(entry)
      this.#bytes += entryBytes(entry)
    }
  }

  /**
   * A leader's entries behind (prevIndex, prevTerm): null when that entry does not match, else the last index now known to match.
   * Truncates only from the first entry that conflicts (statement 14), and never a committed one.
   */
  maybeAppend(prevIndex: LogIndex, prevTerm: Term, entries: readonly Entry[]): LogIndex | null {
    if (this.termAt(prevIndex) !== prevTerm) return null
    const fresh = entries.findIndex((entry) => this.termAt(entry.index) !== entry.term)
    if (fresh !== -1) {
      const conflict = prevIndex + 1 + fresh
      assertRaft(conflict > this.#committed, `entry ${conflict} conflicts with a committed one (commit ${this.#committed})`)
      this.#truncate(conflict)
      this.append(entries.slice(fresh))
    }
    return prevIndex + entries.length
  }

  /** The largest index <= `index` whose term is <= `term` (or unknown): where two logs can agree at the latest. */
  findConflictByTerm(index: LogIndex, term: Term): { readonly index: LogIndex; readonly term: Term } {
    for (let at = Math.min(index, this.lastIndex); at > 0; at -= 1) {
      const own = this.termAt(at)
      if (own === null || own <= term) return { index: at, term: own ?? 0 }
    }
    return { index: 0, term: 0 }
  }

  /** Commit never falls and never passes the end of the log. */
  commitTo(index: LogIndex): void {
    if (index <= this.#committed) return
    if (index > this.lastIndex) breakRaft(`commit ${index} is beyond the log's end ${this.lastIndex}`)
    this.#committed = index
  }

  /** Entries not yet handed out for the disk. */
  unstableEntries(): readonly Entry[] {
    if (this.#stable >= this.lastIndex) return []
    return this.#entries.slice(this.#stable + 1 - this.firstIndex)
  }
  get hasUnstable(): boolean {
    return this.#stable < this.lastIndex
  }

  /**
   * The disk now ends with (index, term) as handed out. When the log changed meanwhile the entry is another one, and the
   * next write has to replace it: then nothing becomes stable (statement 16).
   */
  stableTo(index: LogIndex, term: Term): void {
    if (index > this.#stable && this.termAt(index) === term) this.#stable = index
  }

  /** The next page of committed entries to apply (statement 19: it starts where `applied` ends, whatever the page's size). */
  nextCommitted(bytesMax: number): readonly Entry[] {
    return this.slice(this.#handedOut + 1, this.#committed, bytesMax)
  }
  get hasNextCommitted(): boolean {
    return this.#handedOut < this.#committed
  }

  appliedTo(index: LogIndex): void {
    if (index <= this.#applied) return
    if (index > this.#committed) breakRaft(`applied ${index} is beyond commit ${this.#committed}`)
    this.#applied = index
  }

  /** Puts a configuration in force as of the config entry at `index`. */
  applyConfiguration(index: LogIndex, configuration: Configuration): void {
    assertRaft(index > this.configurationIndex, `configuration of ${index} is older than that of ${this.configurationIndex}`)
    this.#configurations.push({ index, configuration })
  }

  /** Brings a restored log to its committed and applied place, replaying config entries that nobody will apply again. */
  restoreProgress(committed: LogIndex, applied: LogIndex): void {
    assertRaft(committed <= this.lastIndex, `the restored log ends at ${this.lastIndex}, before its commit ${committed}`)
    this.commitTo(committed)
    this.appliedTo(applied)
    for (const entry of this.slice(this.firstIndex, applied, Infinity)) {
      if (entry.kind !== 'config') continue
      const outcome = changeConfiguration(this.configuration, decodeConfChange(entry.data))
      this.applyConfiguration(entry.index, outcome.kind === 'changed' ? outcome.configuration : this.configuration)
    }
  }

  /** True when a committed config entry still waits to be applied (statement 32). */
  get hasUnappliedConfiguration(): boolean {
    for (let index = Math.max(this.#applied, this.configurationIndex) + 1; index <= this.#committed; index += 1) {
      if (this.entryAt(index).kind === 'config') return true
    }
    return false
  }

  /** Where `id`, no voter now, ceased to be one; null when no configuration since the snapshot knew it as a voter. */
  removalOf(id: RaftId): LogIndex | null {
    const last = this.#configurations.findLastIndex(({ configuration }) => isVoter(configuration, id))
    return last === -1 ? null : (this.#configurations[last + 1]?.index ?? null)
  }

  /** The name of a snapshot of the state as applied. */
  appliedSnapshot(): SnapshotMeta {
    const term = this.termAt(this.#applied)
    assertRaft(term !== null, `applied ${this.#applied} is not in the log`)
    return { index: this.#applied, term, configuration: this.#configurationAt(this.#applied) }
  }

  /** Replaces everything by a received snapshot: log reset and installation are one step (statement 36). */
  restore(snapshot: Snapshot): void {
    assertRaft(snapshot.index > this.#committed, `snapshot ${snapshot.index} is not ahead of commit ${this.#committed}`)
    const { index, term, configuration } = snapshot
    this.#snapshot = { index, term, configuration }
    this.#incoming = snapshot
    this.#entries = []
    this.#bytes = 0
    this.#stable = index
    this.#committed = index
    this.#configurations = [{ index, configuration }]
  }

  /** The received snapshot handed out as `index` is durable and applied. */
  incomingApplied(index: LogIndex): void {
    if (this.#incoming?.index === index) this.#incoming = null
    this.appliedTo(index)
  }

  /** Forgets entries up to `index`, which must be applied and durable, keeping its term and the configuration as of it. */
  compact(index: LogIndex): void {
    if (index <= this.snapshotIndex) return
    assertRaft(index <= this.#applied && index <= this.#stable, `cannot compact to ${index}: applied ${this.#applied}, stable ${this.#stable}`)
    const { term } = this.entryAt(index)
    const configuration = this.#configurationAt(index)
    for (const entry of this.#entries.splice(0, index - this.snapshotIndex)) this.#bytes -= entryBytes(entry)
    this.#snapshot = { index, term, configuration }
    this.#configurations = [{ index, configuration }, ...this.#configurations.filter((applied) => applied.index > index)]
  }

  /** A snapshot still on its way to the state counts as applied for what comes next: it goes out first. */
  get #handedOut(): LogIndex {
    return Math.max(this.#applied, this.#snapshot.index)
  }

  #configurationAt(index: LogIndex): Configuration {
    const applied = this.#configurations.findLast((candidate) => candidate.index <= index)
    assertRaft(applied !== undefined, `no configuration is known as of ${index}`)
    return applied.configuration
  }

  #truncate(from: LogIndex): void {
    for (const entry of this.#entries.splice(from - this.firstIndex)) this.#bytes -= entryBytes(entry)
    this.#stable = Math.min(this.#stable, from - 1)
  }
}
