// Stores of a node that takes no part: what a survivor's log comes to when all of it counts, and a state put in the place of everything.
import { OperationalError } from '../model/error.ts'
import type { LogStore } from '../ports/log-store.ts'
import type { StateStore } from '../ports/state-store.ts'
import type { Configuration, RaftId } from '../raft/types.ts'
import { applyCommand, applyEmpty } from '../state/apply.ts'
import { exportState, type State } from '../state/state.ts'
import { decodeEntryData } from './entry.ts'
import { configurationRecord } from './image.ts'
import { recover } from './recovery.ts'
import { emptyConfiguration } from './status.ts'

type Stores = { readonly logStore: LogStore; readonly stateStore: StateStore }

/**
 * Reads both stores and applies the log to its end. Its last entries may never have been committed, but each of them may have been
 * acknowledged by members that are lost: leaving one out could lose what somebody was told is done.
 * @param acceptLoss of a damaged copy the last intact state will do
 * @returns the state, and the highest term that this node is known to have seen
 * @throws LOG_DAMAGED, STATE_DIVERGED, STATE_CONFLICT where an entry is of a newer version
 */
export async function readToEnd(nodeId: RaftId, stores: Stores, { acceptLoss }: { readonly acceptLoss: boolean } = { acceptLoss: false }): Promise<{ readonly state: State; readonly term: number; readonly isDamaged: boolean }> {
  const recovered = await recover({ nodeId, bootstrap: false }, stores)
  if (recovered.kind === 'damaged' && acceptLoss && recovered.state.index > 0) return { state: recovered.state, term: recovered.state.term, isDamaged: true }
  if (recovered.kind === 'damaged') throw new OperationalError('LOG_DAMAGED', `This node's copy is damaged: ${recovered.detail}. Recover the cluster on another node, or restore a backup.`)
  if (recovered.kind === 'diverged') throw new OperationalError('STATE_DIVERGED', "This node's state is not the one that the cluster had. Recover the cluster on another node, or restore a backup. Nothing was changed.")
  const { state, entries, hardState } = recovered
  for (const { index, term, kind, data } of entries) {
    if (index <= state.index) continue
    if (kind === 'config' || data.length === 0) {
      applyEmpty(state, { index, term, timeMs: state.timeMs })
      continue
    }
    const decoded = decodeEntryData(data)
    if (decoded.kind === 'unknown') throw new OperationalError('STATE_CONFLICT', `Entry ${index} cannot be applied by this version: ${decoded.detail}. Update this node first. Nothing was changed.`)
    if (decoded.kind === 'ignorable' || decoded.kind === 'checkpoint') applyEmpty(state, { index, term, timeMs: decoded.timeMs })
    else applyCommand(state, { index, term, timeMs: decoded.timeMs, command: decoded.command })
  }
  return { state, term: Math.max(hardState.term, state.term), isDamaged: false }
}

/**
 * Makes the node the only voter of a cluster with this state. State first, then the log, as a snapshot is installed (recovery.ts): a crash
 * before the state's one atomic step leaves what was there, one after it is finished at the next start. A damaged log is put aside and begun anew.
 */
export async function installSole(nodeId: RaftId, state: State, { logStore, stateStore, isDamaged = false }: Stores & { readonly isDamaged?: boolean }): Promise<void> {
  const { index, term } = state
  const configuration: Configuration = { ...emptyConfiguration, voters: [nodeId] }
  const { head, records } = exportState(state)
  await stateStore.replace({ head, records: [...records, configurationRecord({ index, configuration })] })
  const hardState = { term, vote: null, commit: index }
  const meta = { index, term, configuration }
  if (isDamaged) await logStore.renew({ hardState, base: meta })
  else await logStore.write({ hardState, entries: [], base: { meta, discardSuffix: true } })
}
