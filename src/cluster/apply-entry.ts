// One committed entry onto the state: a command, a change of membership, a checkpoint, or nothing.
import type { StateWrite } from '../ports/state-store.ts'
import type { RaftNode } from '../raft/node.ts'
import type { Configuration, Entry } from '../raft/types.ts'
import { applyCommand, applyEmpty } from '../state/apply.ts'
import type { State } from '../state/state.ts'
import type { EngineListener } from './engine-ports.ts'
import { decodeEntryData, type DecodedEntry } from './entry.ts'
import { configurationRecord } from './image.ts'

export type Applying = {
  readonly node: RaftNode
  /** Changed in place. */
  readonly state: State
  /** What this node has encoded itself need not be decoded again. */
  readonly commands: WeakMap<Uint8Array, DecodedEntry>
  readonly listener: Pick<EngineListener, 'applied' | 'checkpoint'>
}

export type AppliedEntry =
  /** What is to be written of it; `configuration` where it changed that. */
  | { readonly kind: 'applied'; readonly writes: readonly StateWrite[]; readonly configuration?: Configuration }
  /** This version cannot apply it: the node has to halt. */
  | { readonly kind: 'unknown'; readonly detail: string }

export function applyEntry(entry: Entry, { node, state, commands, listener }: Applying): AppliedEntry {
  const { index, term } = entry
  const applyNothing = (timeMs: number): AppliedEntry => {
    applyEmpty(state, { index, term, timeMs })
    listener.applied({ index, term, timeMs: state.timeMs, command: null, result: null, events: [] })
    return { kind: 'applied', writes: [] }
  }
  if (entry.kind === 'config') {
    const configuration = node.applyConfChange(entry)
    applyNothing(state.timeMs)
    return { kind: 'applied', writes: [configurationRecord({ index, configuration })], configuration }
  }
  if (entry.data.length === 0) return applyNothing(state.timeMs)
  const decoded = commands.get(entry.data) ?? decodeEntryData(entry.data)
  switch (decoded.kind) {
    case 'unknown':
      return { kind: 'unknown', detail: `entry ${index} cannot be applied by this version: ${decoded.detail}` }
    case 'checkpoint': {
      const applied = applyNothing(decoded.timeMs)
      listener.checkpoint(index, decoded.checkpoint)
      return applied
    }
    case 'ignorable':
      return applyNothing(decoded.timeMs)
    case 'command': {
      const { command, timeMs } = decoded
      const { result, writes, events } = applyCommand(state, { index, term, timeMs, command })
      listener.applied({ index, term, timeMs: state.timeMs, command, result, events })
      return { kind: 'applied', writes }
    }
  }
}
