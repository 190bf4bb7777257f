// Watches a host's Raft log from outside: knows what was acknowledged as durable, and what the next opening must therefore find.
import type { LogBatch, LogRecovery, LogStore } from '../../src/ports/log-store.ts'
import type { Entry, HardState, SnapshotMeta } from '../../src/raft/types.ts'

type Content = { readonly hardState: HardState; readonly base: SnapshotMeta; readonly entries: readonly Entry[] }

export class LogWatch {
  /** What every acknowledged write together says; null before the first. */
  #acknowledged: Content | null = null
  /** Written, but not acknowledged: it may be there or not. */
  #underWay: LogBatch | null = null
  /** A damaged log is put aside, for this one that begins anew: cut short it may be fresh or damaged still. */
  #renewal: Content | null = null
  /** Something of it went bad at rest, or will be read from the wrong place: only then may it be found damaged. */
  isHarmed = false
  /** The last index that a leader was told is held here, and its term: while that lasts, none of it goes. */
  #promise = { term: 0, index: 0 }
  readonly #broken: (what: string) => void
  /** Told of the entries that a write is about to take off the log's end, and does not put back. */
  onCut: ((cut: readonly Entry[]) => void) | null = null
  /** Told of the entries that are durable now, and of the term of the one before the first. */
  onAppended: ((entries: readonly Entry[], previousTerm: number) => void) | null = null

  /** `broken` gets a sentence for whatever must not be. */
  constructor(broken: (what: string) => void) {
    this.#broken = broken
  }

  get content(): Content | null {
    return this.#acknowledged
  }
  get lastIndex(): number {
    const { entries, base } = this.#acknowledged ?? { entries: [], base: null }
    return entries.at(-1)?.index ?? base?.index ?? 0
  }

  /** Durable here, or behind the log's beginning. */
  holds(index: number, term: number): boolean {
    const content = this.#acknowledged
    if (content === null) return false
    return index <= content.base.index || content.entries[index - content.base.index - 1]?.term === term
  }

  get lastTerm(): number {
    return this.#acknowledged?.entries.at(-1)?.term ?? this.#acknowledged?.base.term ?? 0
  }

  /** The leader of the term is told that everything up to the index is held here. */
  promise(term: number, index: number): void {
    if (term < this.#promise.term) return
    this.#promise = { term, index: term === this.#promise.term ? Math.max(index, this.#promise.index) : index }
  }

  /** The same store, watched for one life of its process; what a dead process still hears counts no more. */
  around(store: LogStore, isAlive: () => boolean): LogStore {
    return {
      open: async () => {
        const recovery = await store.open()
        if (isAlive()) this.#opened(recovery)
        return recovery
      },
      write: async (batch) => {
        this.#underWay = batch
        this.#checkCut(batch)
        await store.write(batch)
        if (!isAlive()) return
        this.#acknowledged = after(this.#acknowledged, batch)
        this.#underWay = null
        const [first] = batch.entries
        if (first !== undefined) this.onAppended?.(batch.entries, termAt(this.#acknowledged, first.index - 1))
      },
      renew: async (beginning) => {
        this.#renewal = { ...nothing, hardState: beginning.hardState, base: beginning.base ?? nothing.base }
        const hardState = await store.renew(beginning)
        if (!isAlive()) return hardState
        this.#acknowledged = { ...this.#renewal, hardState }
        this.#promise = { term: 0, index: 0 }
        this.#renewal = null
        this.#underWay = null
        this.isHarmed = false
        return hardState
      },
      distrust: async (index) => {
        this.isHarmed = true
        await store.distrust?.(index)
      },
      watchFailure: (listener) => store.watchFailure(listener),
      close: () => store.close(),
      sizeBytes: () => store.sizeBytes(),
    }
  }

  #checkCut(batch: LogBatch): void {
    const { entries = [], hardState = null } = this.#acknowledged ?? {}
    const cut = cutBy(batch, entries)
    const [first] = cut
    if (first === undefined) return
    const term = batch.hardState?.term ?? hardState?.term
    if (term === this.#promise.term && first.index <= this.#promise.index) this.#broken(`cuts its log at ${first.index}, having acknowledged ${this.#promise.index} in the same term ${term}`)
    this.onCut?.(cut)
  }

  #opened(recovery: LogRecovery): void {
    const possible = [this.#acknowledged, ...(this.#underWay === null ? [] : [after(this.#acknowledged, this.#underWay)])]
    if (recovery.kind === 'damaged') {
      if (!this.isHarmed && this.#renewal === null) this.#broken(`finds its log damaged, which nobody harmed: ${recovery.detail}`)
      return
    }
    const found = recovery.kind === 'fresh' ? null : recovery
    // Its vote may be one that was remembered elsewhere, so of a renewed log the term counts.
    const isRenewed = this.#renewal !== null && (found === null || (found.entries.length === 0 && found.base.index === this.#renewal.base.index && found.hardState.term >= this.#renewal.hardState.term))
    this.#renewal = null
    if (!isRenewed && !possible.some((content) => isSame(content, found))) {
      this.#broken(`finds ${describeContent(found)} in its log, which held ${possible.map(describeContent).join(' or ')}`)
    }
    this.#acknowledged = found
    this.#underWay = null
    // All that counts was read just now.
    this.isHarmed = false
  }
}

const nothing: Content = {
  hardState: { term: 0, vote: null, commit: 0 },
  base: { index: 0, term: 0, configuration: { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false } },
  entries: [],
}

function after(former: Content | null, batch: LogBatch): Content {
  const { hardState, base, entries } = former ?? nothing
  const newBase = batch.base?.meta ?? base
  const first = batch.entries[0]?.index ?? Infinity
  const kept = batch.base?.discardSuffix === true ? [] : entries.filter(({ index }) => index > newBase.index && index < first)
  return { hardState: batch.hardState ?? hardState, base: newBase, entries: [...kept, ...batch.entries] }
}

/** 0 before the first entry. */
function termAt({ base, entries }: Content, index: number): number {
  return index === base.index ? base.term : (entries[index - base.index - 1]?.term ?? 0)
}

/** What a snapshot covers is not cut, and neither is an entry that comes again in the batch. */
function cutBy({ base, entries }: LogBatch, former: readonly Entry[]): readonly Entry[] {
  const first = base?.discardSuffix === true ? base.meta.index + 1 : (entries[0]?.index ?? Infinity)
  if (first > (former.at(-1)?.index ?? 0)) return []
  const again = new Map(entries.map(({ index, term }) => [index, term]))
  return former.filter(({ index, term }) => index >= first && again.get(index) !== term)
}

function isSame(left: Content | null, right: Content | null): boolean {
  return describeContent(left) === describeContent(right) && left?.entries.every((entry, at) => entry.term === right?.entries[at]?.term && entry.data.length === right.entries[at].data.length) !== false
}

function describeContent(content: Content | null): string {
  if (content === null) return 'nothing'
  const { hardState: { term, vote, commit }, base, entries } = content
  return `term ${term}, vote ${String(vote)}, commit ${commit}, base ${base.index} of term ${base.term}, ${entries.length} entries up to ${entries.at(-1)?.index ?? base.index} of term ${entries.at(-1)?.term ?? base.term}`
}
