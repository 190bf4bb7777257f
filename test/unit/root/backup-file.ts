// A backup of a state as a file that lies open, with a header that can be altered: for hosts that restore it.
import { createHash } from 'node:crypto'
import { backupFormat, beginBackup, encodeFrame, type BackupHeader, type Frame } from '../../../src/model/backup.ts'
import { exportState, type State } from '../../../src/state/state.ts'

const sha256Hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

export async function* backupFile(state: State, changes: Partial<BackupHeader> = {}): AsyncIterable<Uint8Array> {
  const { head, records } = exportState(state)
  const cluster = state.tables.cluster.get('cluster')!
  const header: BackupHeader = { format: backupFormat, version: '0', featureLevel: 1, clusterId: cluster.id, clusterName: cluster.name, node: 'n1', createdAt: new Date(head.timeMs).toISOString(), ...head, passphrase: null, ...changes }
  const frames: readonly (readonly [Frame['kind'], unknown])[] = [['header', header], ['records', records.map(({ table, id, value }) => [table, id, value])], ['end', { records: records.length }]]
  const begun = beginBackup(sha256Hex)
  let { check } = begun
  yield begun.bytes
  for (const [kind, value] of frames) {
    const encoded = encodeFrame({ kind, payload: new TextEncoder().encode(JSON.stringify(value)) }, check, sha256Hex)
    check = encoded.check
    yield encoded.bytes
  }
}
