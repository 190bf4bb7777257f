// Opens both stores at start and brings them to one place: what the log and the state say after a crash at any write.
import type { Divergence } from '../model/checkpoint.ts'
import type { LogRecovery, LogStore } from '../ports/log-store.ts'
import type { StateStore } from '../ports/state-store.ts'
import { encodeConfChange } from '../raft/confchange-codec.ts'
import type { Configuration, Entry, HardState, LogIndex, RaftId, SnapshotMeta } from '../raft/types.ts'
import { emptyState, importState, stateHead, type State } from '../state/state.ts'
import { splitRecords, type StoredConfiguration } from './image.ts'
import { emptyConfiguration } from './status.ts'

export type Recovered =
  | { readonly kind: 'ready'; readonly state: State; readonly hardState: HardState; readonly base: SnapshotMeta; readonly entries: readonly Entry[]; /** See `LogRecovery`. */ readonly renewedTo?: LogIndex | undefined }
  /**
   * The node must neither vote nor truncate; `state` is the last one readable. `base` names it where the log may begin anew behind it: what
   * was applied was committed. Null: nothing is left to begin with.
   */
  | { readonly kind: 'damaged'; readonly state: State; readonly base: SnapshotMeta | null; readonly detail: string }
  /** Its state was found not to be the cluster's: as bad as damage, but the tables are whole. */
  | { readonly kind: 'diverged'; readonly state: State; readonly divergence: Divergence }

type Stores = { readonly logStore: LogStore; readonly stateStore: StateStore }
/** `resumes`: this node was a member before, so that an empty disk is a loss. */
export type RecoveryOptions = { readonly nodeId: RaftId; readonly bootstrap: boolean; readonly resumes?: boolean | undefined }
type LoadedState = { readonly state: State; readonly stored: boolean; readonly configuration: StoredConfiguration | null; readonly divergence: Divergence | null }

/**
 * State and log are written apart, in an order that makes each crash tellable:
 *
 *   apply       entries are synced in the log → state batch (may be lost)   ⇒ state ≤ log's end, replay the rest
 *   compaction  state batch synced → log base moves up to it                ⇒ log base ≤ state
 *   snapshot    state replaced, synced → log base = snapshot, suffix gone   ⇒ in between, state beyond or in conflict with the log
 *
 * Only the last leaves the state ahead of the log, or with another term at its index: then the state is the newer truth (it was
 * committed by a quorum) and the log begins anew behind it. A base beyond the state, or no log beside a state, is damage.
 */
export async function recover(options: RecoveryOptions, stores: Stores): Promise<Recovered> {
  const recovery = await stores.logStore.open()
  const loaded = await loadState(stores.stateStore)
  if (loaded === null) return { kind: 'damaged', state: emptyState(), base: null, detail: 'the state tables cannot be read or do not have their hash' }
  const { state, stored, divergence } = loaded
  if (divergence !== null) return { kind: 'diverged', state, divergence }
  switch (recovery.kind) {
    case 'damaged':
      return damaged(loaded, recovery.detail)
    case 'fresh':
      if (stored && state.index > 0) return damaged(loaded, 'there is a state, but no log')
      if (options.resumes === true) return damaged(loaded, 'nothing is left of the log, though this node was a member before')
      return options.bootstrap ? await bootstrap(options.nodeId, stores.logStore) : freshNode()
    case 'intact':
      if (recovery.base.index > state.index) {
        return damaged(loaded, `the state is at ${state.index}, before the log's base ${recovery.base.index}`)
      }
      return await reconcile(recovery, loaded, stores)
  }
}

function damaged({ state, configuration }: LoadedState, detail: string): Recovered {
  const isKnown = configuration !== null && configuration.index <= state.index
  return { kind: 'damaged', state, base: isKnown ? baseAt(state, configuration.configuration) : null, detail }
}

/** What is applied was committed, so a log may begin behind it; null where nothing is applied. */
export function baseAt({ index, term }: State, configuration: Configuration): SnapshotMeta | null {
  return index === 0 ? null : { index, term, configuration }
}

async function loadState(store: StateStore): Promise<LoadedState | null> {
  const loaded = await store.load()
  if (loaded === null) return { state: emptyState(), stored: false, configuration: null, divergence: null }
  const { records, configuration, divergence } = splitRecords(loaded.records)
  try {
    return { state: importState({ head: loaded.head, records }), stored: true, configuration, divergence }
  } catch {
    // Whichever record is wrong, this copy cannot be served. Where it differed in memory only, the disk contradicts itself.
    return divergence === null ? null : { state: emptyState(), stored: true, configuration, divergence }
  }
}

function freshNode(): Recovered {
  const base = { index: 0, term: 0, configuration: emptyConfiguration }
  return { kind: 'ready', state: emptyState(), hardState: { term: 0, vote: null, commit: 0 }, base, entries: [] }
}

/** A cluster of one begins with a committed entry that names it, so that everyone who joins later learns it from the log. */
async function bootstrap(nodeId: RaftId, logStore: LogStore): Promise<Recovered> {
  const data = encodeConfChange({ transition: 'simple', steps: [{ kind: 'addVoter', id: nodeId }] })
  const entries: readonly Entry[] = [{ index: 1, term: 1, kind: 'config', data }]
  const hardState = { term: 1, vote: null, commit: 1 }
  await logStore.write({ hardState, entries, base: null })
  return { kind: 'ready', state: emptyState(), hardState, base: { index: 0, term: 0, configuration: emptyConfiguration }, entries }
}

type IntactLog = Pick<Extract<LogRecovery, { kind: 'intact' }>, 'hardState' | 'base' | 'entries' | 'renewedTo'>

async function reconcile(log: IntactLog, loaded: LoadedState, { logStore, stateStore }: Stores): Promise<Recovered> {
  const { state, configuration } = loaded
  const { base, entries, renewedTo } = log
  const termThere = state.index === base.index ? base.term : entries[state.index - base.index - 1]?.term
  if (termThere === state.term || state.index === 0) {
    // What was applied was committed, even where the hard state's commit was not written again.
    const commit = Math.max(log.hardState.commit, state.index)
    return { kind: 'ready', state, base, entries, hardState: { ...log.hardState, commit }, renewedTo }
  }
  if (configuration === null || configuration.index > state.index) {
    return damaged(loaded, `the log does not hold the state's index ${state.index}, nor is its configuration known`)
  }
  const newBase: SnapshotMeta = { index: state.index, term: state.term, configuration: configuration.configuration }
  // Our term was below the snapshot's, so we cannot have voted in that one.
  const raised = state.term > log.hardState.term
  const hardState: HardState = { term: Math.max(log.hardState.term, state.term), vote: raised ? null : log.hardState.vote, commit: state.index }
  // A process that died while it replaced the state may have left it in the page cache only; the log must not begin behind what can still be lost.
  await stateStore.write({ head: stateHead(state), writes: [], sync: true })
  await logStore.write({ hardState, entries: [], base: { meta: newBase, discardSuffix: true } })
  return { kind: 'ready', state, base: newBase, entries: [], hardState, renewedTo }
}
