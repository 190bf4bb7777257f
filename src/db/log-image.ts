// What a log holds once its batches are applied in order: hard state, base and entries, and whether entries are missing.
import { strict as assert } from 'node:assert'
import type { LogBatch } from '../ports/log-store.ts'
import type { Entry, HardState, LogIndex, SnapshotMeta } from '../raft/types.ts'

export const emptyHardState: HardState = { term: 0, vote: null, commit: 0 }
export const emptyBase: SnapshotMeta = {
  index: 0,
  term: 0,
  configuration: { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
}

/** Replays batches. Begins at a segment's checkpoint, so older entries may be missing until a base covers them; `gap` tells. */
export class LogImage {
  hardState: HardState
  base: SnapshotMeta
  /** Index of the last entry, or of the base; kept apart from `entries`, which may lack what it counts. */
  lastIndex: LogIndex
  entries: Entry[] = []

  constructor(checkpoint: { readonly hardState: HardState; readonly base: SnapshotMeta; readonly lastIndex: LogIndex }) {
    this.hardState = checkpoint.hardState
    this.base = checkpoint.base
    this.lastIndex = checkpoint.lastIndex
  }

  apply(batch: LogBatch): void {
    if (batch.hardState !== null) this.hardState = batch.hardState
    if (batch.base !== null) {
      this.base = batch.base.meta
      const { index } = batch.base.meta
      this.lastIndex = batch.base.discardSuffix ? index : Math.max(this.lastIndex, index)
      if (batch.base.discardSuffix) this.entries = []
      else if ((this.entries[0]?.index ?? Infinity) <= index) this.entries = this.entries.filter((entry) => entry.index > index)
    }
    const first = batch.entries[0]
    if (first === undefined) return
    while ((this.entries.at(-1)?.index ?? 0) >= first.index) this.entries.pop()
    for (const entry of batch.entries) this.entries.push(entry)
    this.lastIndex = (batch.entries.at(-1) as Entry).index
  }

  /** A sentence about the first missing entry; null if base and entries make up the whole log. */
  gap(): string | null {
    let expected = this.base.index + 1
    for (const entry of this.entries) {
      if (entry.index !== expected) return `entry ${expected} is missing: the next one is ${entry.index}`
      expected += 1
    }
    return expected === this.lastIndex + 1 ? null : `entries ${expected} to ${this.lastIndex} are missing`
  }
}

/** Asserts that a batch continues a log that begins after `baseIndex` and ends at `lastIndex`; anything else is a bug of the caller. */
export function assertBatchContinues(batch: LogBatch, log: { readonly lastIndex: LogIndex; readonly baseIndex: LogIndex }): void {
  const base = batch.base
  const baseIndex = base === null ? log.baseIndex : base.meta.index
  const lastIndex = base === null ? log.lastIndex : base.discardSuffix ? baseIndex : Math.max(log.lastIndex, baseIndex)
  assert(baseIndex >= log.baseIndex, `the base moves back from ${log.baseIndex} to ${baseIndex}`)
  const first = batch.entries[0]
  if (first === undefined) return
  assert(first.index > baseIndex && first.index <= lastIndex + 1, `entry ${first.index} does not follow base ${baseIndex} and last index ${lastIndex}`)
  for (const [offset, entry] of batch.entries.entries()) assert(entry.index === first.index + offset, `entry ${entry.index} is not contiguous`)
}
