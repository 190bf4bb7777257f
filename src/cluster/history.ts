// What a node remembers of its past: the state as it was where the log begins, the log since, and the hash after each entry.
import type { HistoryBase, HistoryEntry, StateHistory } from '../ports/consensus.ts'
import type { RaftNode } from '../raft/node.ts'
import type { Configuration, Entry, LogIndex } from '../raft/types.ts'
import { exportState, type State } from '../state/state.ts'
import { decodeEntryData } from './entry.ts'
import type { HashTrail } from './hash-trail.ts'

/** The oldest that the log reaches back to, and newer ones for when it has been shortened. */
const basesMax = 3

/**
 * A base shares its records with the state: records are replaced, never changed. So it costs a list of references, made each time the log sets
 * a mark at which it may be cut, every few thousand entries.
 */
export class History {
  #bases: readonly HistoryBase[] = []

  /** The state stands where the log may begin one day. */
  mark(state: State, configuration: Configuration): void {
    const bases = [...this.#bases, { ...exportState(state), configuration }]
    this.#bases = bases.length > basesMax ? [...bases.slice(0, 1), ...bases.slice(2)] : bases
  }

  /** The state is another one: what was before is not its past. */
  reset(state: State, configuration: Configuration): void {
    this.#bases = [{ ...exportState(state), configuration }]
  }

  /** The log begins after this index now. */
  cut(index: LogIndex): void {
    const kept = this.#bases.filter((base) => base.head.index >= index)
    if (kept.length > 0) this.#bases = kept
  }

  /** From the oldest base from which at most so many entries lead to the present; from the present itself where there is none. */
  view({ state, configuration, node, trail }: { readonly state: State; readonly configuration: Configuration; readonly node: RaftNode | null; readonly trail: HashTrail }, entriesMax: number): StateHistory {
    const firstIndex = node?.status().firstIndex ?? state.index + 1
    const base = this.#bases.find(({ head }) => head.index >= firstIndex - 1 && state.index - head.index <= entriesMax) ?? { ...exportState(state), configuration }
    const entries = base.head.index === state.index ? [] : (node?.entries(base.head.index + 1, state.index) ?? [])
    return { base, entries: decodedLazily(entries, trail.copy()) }
  }
}

/** The entries themselves never change; of the hashes the oldest would be overwritten meanwhile, so they come as a copy. */
function decodedLazily(entries: readonly Entry[], trail: HashTrail): StateHistory['entries'] {
  return {
    length: entries.length,
    *[Symbol.iterator]() {
      for (const entry of entries) yield { ...viewOf(entry), hash: trail.at(entry.index) }
    },
  }
}

function viewOf({ index, term, kind, data }: Entry): Omit<HistoryEntry, 'hash'> {
  if (kind === 'config') return { index, term, timeMs: null, content: { kind, data: Buffer.from(data).toString('base64') } }
  if (data.length === 0) return { index, term, timeMs: null, content: { kind: 'empty' } }
  const decoded = decodeEntryData(data)
  switch (decoded.kind) {
    case 'command':
      return { index, term, timeMs: decoded.timeMs, content: { kind: 'command', command: decoded.command } }
    case 'checkpoint':
      return { index, term, timeMs: decoded.timeMs, content: { kind: 'checkpoint', checkpoint: decoded.checkpoint } }
    case 'ignorable':
      return { index, term, timeMs: decoded.timeMs, content: { kind: 'ignorable', type: decoded.type } }
    case 'unknown':
      return { index, term, timeMs: null, content: { kind: 'unknown', detail: decoded.detail } }
  }
}
