// Who leads, since when nobody does, and whether a quorum is in reach, as seen from here.
import type { Cancel, Clock } from '../ports/clock.ts'
import type { RaftId, Status, Term } from '../raft/types.ts'
import { majorityHas } from './status.ts'
import { waitFor } from './wait.ts'

export type Leader = { readonly id: RaftId | null; readonly term: Term }

export class Leadership {
  readonly #nodeId: RaftId
  readonly #electionMs: number
  readonly #clock: Clock
  readonly #heardMs = new Map<RaftId, number>()
  readonly #listeners = new Set<() => void>()
  #leader: Leader = { id: null, term: 0 }
  #leaderlessSinceMs: number
  #gapMs = 0

  constructor(options: { readonly nodeId: RaftId; readonly electionMs: number }, clock: Clock) {
    this.#nodeId = options.nodeId
    this.#electionMs = options.electionMs
    this.#clock = clock
    this.#leaderlessSinceMs = clock.monotonicMs()
  }

  get leader(): Leader {
    return this.#leader
  }

  /** How long there has been no leader; 0 while there is one. */
  get leaderlessMs(): number {
    return this.#leader.id === null ? this.#clock.monotonicMs() - this.#leaderlessSinceMs : 0
  }

  /** How long there was no leader before the present one, or is none by now. */
  get gapMs(): number {
    return this.#leader.id === null ? this.leaderlessMs : this.#gapMs
  }

  heard(from: RaftId): void {
    this.#heardMs.set(from, this.#clock.monotonicMs())
  }

  /** Milliseconds since a member was heard of; null where it never was. */
  heardMs(id: RaftId): number | null {
    const at = this.#heardMs.get(id)
    return at === undefined ? null : Math.max(0, this.#clock.monotonicMs() - at)
  }

  /** Takes over what the core says; true where the leader or its term is another one. */
  update(leader: Leader): boolean {
    const former = this.#leader
    if (former.id === leader.id && former.term === leader.term) return false
    if (former.id !== null && leader.id === null) this.#leaderlessSinceMs = this.#clock.monotonicMs()
    if (leader.id !== null) this.#gapMs = this.leaderlessMs
    this.#leader = leader
    for (const listener of this.#listeners) listener()
    return true
  }

  hasQuorum(status: Pick<Status, 'role' | 'leader' | 'configuration'>): boolean {
    const isFresh = (id: RaftId): boolean => id === this.#nodeId || this.#clock.monotonicMs() - (this.#heardMs.get(id) ?? -Infinity) <= this.#electionMs
    if (status.role === 'leader') return majorityHas(status.configuration, isFresh)
    return status.leader !== null && isFresh(status.leader)
  }

  /** Resolves when there is a leader that `suits`, or false when the time is over. */
  async wait(options: { readonly limitMs: number; readonly signal?: AbortSignal | undefined; readonly suits: (leader: Leader) => boolean }): Promise<boolean> {
    const { limitMs, signal, suits } = options
    if (suits(this.#leader)) return true
    const outcome = await waitFor<true>({ clock: this.#clock, limitMs, signal }, (resolve) => this.#onChange(() => {
      if (suits(this.#leader)) resolve(true)
    }))
    return outcome === true
  }

  #onChange(listener: () => void): Cancel {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}
