// The hashes of the last few thousand states, one per applied entry, so that one told of by another node can be compared later.
import { digestText, type Digest } from '../state/canonical.ts'
import type { LogIndex } from '../raft/types.ts'

/** More than can be on its way between a leader's look at its state and the moment its checkpoint is applied. */
export const trailEntriesMax = 8192

/** Two 32-bit words an entry in a ring: noting one costs two stores and allocates nothing. */
export class HashTrail {
  readonly #words = new Uint32Array(2 * trailEntriesMax)
  #first: LogIndex = 0
  #last: LogIndex = -1

  /** The state is another one: begins anew with it. */
  reset(index: LogIndex, digest: Digest): void {
    this.#first = index
    this.#last = index - 1
    this.note(index, digest)
  }

  /** @param index follows the one noted before */
  note(index: LogIndex, digest: Digest): void {
    const at = 2 * (index % trailEntriesMax)
    this.#words[at] = digest.high
    this.#words[at + 1] = digest.low
    this.#last = index
    if (index - this.#first >= trailEntriesMax) this.#first = index - trailEntriesMax + 1
  }

  /** As it is now, 64 KiB. */
  copy(): HashTrail {
    const copy = new HashTrail()
    copy.#words.set(this.#words)
    copy.#first = this.#first
    copy.#last = this.#last
    return copy
  }

  get firstIndex(): LogIndex {
    return this.#first
  }

  /** Null where it is not known (any more, or yet). */
  at(index: LogIndex): string | null {
    if (index < this.#first || index > this.#last) return null
    const at = 2 * (index % trailEntriesMax)
    return digestText({ high: this.#words[at] ?? 0, low: this.#words[at + 1] ?? 0 })
  }
}
