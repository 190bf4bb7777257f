// A state image as it travels in a snapshot: the state's head and records as JSON, proven by the state's own hash.
import type { Divergence } from '../model/checkpoint.ts'
import type { StateHead, StateWrite } from '../ports/state-store.ts'
import type { SnapshotMeta } from '../raft/types.ts'
import { exportState, importState, type State } from '../state/state.ts'

export type StateImage = { readonly head: StateHead; readonly records: readonly StateWrite[] }
export type DecodedImage = { readonly image: StateImage; readonly state: State }

const formatVersion = 1
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

export function encodeImage(state: State): Uint8Array {
  return encoder.encode(JSON.stringify({ version: formatVersion, ...exportState(state) }))
}

/** Null where the bytes are not an intact image of exactly this snapshot: it must not be installed. */
export function decodeImage(data: Uint8Array, meta: SnapshotMeta): DecodedImage | null {
  try {
    const parsed = JSON.parse(decoder.decode(data)) as { version: unknown } & StateImage
    const { head, records } = parsed
    if (parsed.version !== formatVersion || head.index !== meta.index || head.term !== meta.term) return null
    const image = { head, records }
    // Importing proves the records against the head's hash.
    return { image, state: importState(image) }
  } catch {
    // Whatever is wrong with the bytes, the answer is the same: the leader will send another.
    return null
  }
}

/** What the engine itself keeps beside the state's tables, in the same atomic batches. */
const ownTable = '~cluster'
const configurationId = 'configuration'
const divergenceId = 'divergence'

export type StoredConfiguration = Omit<SnapshotMeta, 'term'>

/** The configuration as of an index, to rebuild the log's base from when a crash left the state ahead of the log. */
export function configurationRecord(stored: StoredConfiguration): StateWrite {
  return { table: ownTable, id: configurationId, value: stored }
}

/** That this very copy of the state is not the cluster's. It lies with the copy, and goes when another takes its place. */
export function divergenceRecord(divergence: Divergence): StateWrite {
  return { table: ownTable, id: divergenceId, value: divergence }
}

type SplitRecords = { readonly records: readonly StateWrite[]; readonly configuration: StoredConfiguration | null; readonly divergence: Divergence | null }

/** Splits what was loaded into the state's own records and the engine's. */
export function splitRecords(records: readonly StateWrite[]): SplitRecords {
  const own = (id: string): unknown => records.find((record) => record.table === ownTable && record.id === id)?.value ?? null
  return {
    records: records.filter((record) => record.table !== ownTable),
    configuration: own(configurationId) as StoredConfiguration | null,
    divergence: own(divergenceId) as Divergence | null,
  }
}
