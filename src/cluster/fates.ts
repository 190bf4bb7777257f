// Proposals waiting for their fate: applied with a result, surely lost, or unknown because nobody can tell in time.
import type { CommandResult } from '../model/command.ts'
import type { Cancel } from '../ports/clock.ts'
import type { LogIndex, Term } from '../raft/types.ts'

export type Fate =
  | { readonly kind: 'applied'; readonly result: CommandResult }
  /** Another entry was committed in its place: it will never be applied. */
  | { readonly kind: 'lost' }
  | { readonly kind: 'unknown' }

/** Where a proposal was appended, as soon as its leader said so. */
export type Place = { readonly index: LogIndex; readonly term: Term }

export class PendingProposal {
  readonly commandId: string
  /** The leader's term when it was handed over. */
  readonly leaderTerm: Term
  place: Place | null = null
  /** A snapshot was installed since: not every applied entry was seen. */
  isBlurred = false
  readonly #settle: (fate: Fate) => void

  constructor(options: { readonly commandId: string; readonly leaderTerm: Term }, settle: (fate: Fate) => void) {
    this.commandId = options.commandId
    this.leaderTerm = options.leaderTerm
    this.#settle = settle
  }

  settle(fate: Fate): void {
    this.#settle(fate)
  }
}

export class Fates {
  readonly #byCommand = new Map<string, Set<PendingProposal>>()
  readonly #byIndex = new Map<LogIndex, Set<PendingProposal>>()
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Begins to watch for the command; watched before it is sent, as it may be applied here before the leader's answer comes. */
  add(proposal: PendingProposal): Cancel {
    put(this.#byCommand, proposal.commandId, proposal)
    this.#size += 1
    let here = true
    return () => {
      if (!here) return
      here = false
      this.#size -= 1
      take(this.#byCommand, proposal.commandId, proposal)
      if (proposal.place !== null) take(this.#byIndex, proposal.place.index, proposal)
    }
  }

  /** The leader said where it stands. `appliedIndex` is how far this node has applied. */
  placed(proposal: PendingProposal, place: Place, appliedIndex: LogIndex): void {
    proposal.place = place
    if (appliedIndex < place.index) {
      put(this.#byIndex, place.index, proposal)
      return
    }
    // Applied here before we heard of the place: had it been ours, the command would have settled it, unless a snapshot hid it.
    proposal.settle({ kind: proposal.isBlurred ? 'unknown' : 'lost' })
  }

  /** An entry was applied. */
  applied(entry: { readonly index: LogIndex; readonly commandId: string | null; readonly result: CommandResult | null }): void {
    if (entry.commandId !== null && entry.result !== null) {
      for (const proposal of this.#byCommand.get(entry.commandId) ?? []) proposal.settle({ kind: 'applied', result: entry.result })
    }
    // Whoever waits for this index and is not that command lost its place.
    for (const proposal of this.#byIndex.get(entry.index) ?? []) proposal.settle({ kind: 'lost' })
  }

  /** A snapshot took the place of the entries up to `index`: what stood there cannot be told any more. */
  replaced(index: LogIndex): void {
    for (const proposal of this.all()) {
      proposal.isBlurred = true
      if (proposal.place !== null && proposal.place.index <= index) proposal.settle({ kind: 'unknown' })
    }
  }

  all(): readonly PendingProposal[] {
    return [...this.#byCommand.values()].flatMap((proposals) => [...proposals])
  }
}

function put<Key>(map: Map<Key, Set<PendingProposal>>, key: Key, proposal: PendingProposal): void {
  const proposals = map.get(key)
  if (proposals === undefined) map.set(key, new Set([proposal]))
  else proposals.add(proposal)
}

function take<Key>(map: Map<Key, Set<PendingProposal>>, key: Key, proposal: PendingProposal): void {
  const proposals = map.get(key)
  proposals?.delete(proposal)
  if (proposals?.size === 0) map.delete(key)
}
