// The replicated state in memory: tables of records, their indexes, and a hash that is kept as records come and go.
import type { StoredAudit } from '../model/audit.ts'
import type { StoredCluster } from '../model/cluster.ts'
import type { CommandResult } from '../model/command.ts'
import type { Event } from '../model/event.ts'
import type { StoredImage } from '../model/image.ts'
import type { StoredFormerNode, StoredNode } from '../model/node.ts'
import type { StoredMigration } from '../model/migration.ts'
import type { StoredOperation } from '../model/operation.ts'
import type { StoredProject } from '../model/project.ts'
import type { StoredJoinToken, StoredToken } from '../model/token.ts'
import type { StoredUser } from '../model/user.ts'
import type { StoredVm } from '../model/vm.ts'
import type { StateHead, StateWrite } from '../ports/state-store.ts'
import { addDigest, digestOf, digestText, emptyDigest, subtractDigest, type Digest } from './canonical.ts'
import { countVm, emptyUsage, type Usage } from './usage.ts'

export type RevokedSession = { readonly id: string; readonly expiresMs: number }
export type IdempotencyRecord = { readonly id: string; readonly index: number; readonly timeMs: number; readonly bodyHash: string; readonly result: CommandResult }

/** Table → record. Append only: a table's name is never reused. */
export type Tables = {
  cluster: StoredCluster
  node: StoredNode
  user: StoredUser
  token: StoredToken
  joinToken: StoredJoinToken
  revokedSession: RevokedSession
  image: StoredImage
  vm: StoredVm
  operation: StoredOperation
  audit: StoredAudit
  event: Event
  idempotency: IdempotencyRecord
  project: StoredProject
  formerNode: StoredFormerNode
  migration: StoredMigration
}
export type TableName = keyof Tables
export const tableNames = [
  'cluster', 'node', 'user', 'token', 'joinToken', 'revokedSession', 'image', 'vm', 'operation', 'audit', 'event', 'idempotency', 'formerNode', 'project', 'migration',
] as const satisfies readonly TableName[]

export type TableMaps = { readonly [Name in TableName]: Map<string, Tables[Name]> }

export type State = {
  index: number
  term: number
  /** State time: the highest time stamp applied, milliseconds since the epoch. */
  timeMs: number
  digest: Digest
  readonly tables: TableMaps
  /** `kind/project/name` → id. */
  readonly names: Map<string, string>
  readonly vmIdsByNode: Map<string, Set<string>>
  readonly usage: Usage
  readonly macs: Set<string>
  /** SHA-256 of an API token's secret → its id. */
  readonly tokenIdsByHash: Map<string, string>
  /** No revoked session ends before this; milliseconds since the epoch. */
  revokedSessionsEndMs: number
}

/** Whoever keeps the state: it is another object after a snapshot was installed, so ask anew each time. */
export interface StateHolder {
  readonly state: State
}

export function emptyState(): State {
  const tables = Object.fromEntries(tableNames.map((name) => [name, new Map()])) as unknown as TableMaps
  return {
    index: 0, term: 0, timeMs: 0, digest: emptyDigest, tables, names: new Map(), vmIdsByNode: new Map(), usage: emptyUsage(), macs: new Set(), tokenIdsByHash: new Map(),
    revokedSessionsEndMs: Number.POSITIVE_INFINITY,
  }
}

export function stateHash(state: State): string {
  return digestText(state.digest)
}

/** Puts (or, with null, deletes) a record and keeps indexes and hash. Only apply and import call this. */
export function writeRecord<Name extends TableName>(state: State, table: Name, id: string, record: Tables[Name] | null): void {
  const map = state.tables[table] as Map<string, Tables[Name]>
  const former = map.get(id)
  if (former !== undefined) {
    state.digest = subtractDigest(state.digest, digests.get(former) ?? recordDigest(table, id, former))
    unindex(state, table, former)
  }
  if (record === null) {
    map.delete(id)
    return
  }
  // Trimming goes by the map's order, which has to be that of an import: by the last write.
  if (table === 'idempotency' || table === 'migration') map.delete(id)
  map.set(id, record)
  const digest = recordDigest(table, id, record)
  if (rewrittenTables.has(table)) digests.set(record, digest)
  state.digest = addDigest(state.digest, digest)
  indexRecord(state, table, record)
}

/** Whose records are replaced again and again: what one added to the hash is kept until it is taken off. */
const rewrittenTables: ReadonlySet<TableName> = new Set(['vm', 'node', 'operation', 'migration'])
const digests = new WeakMap<object, Digest>()

/** What a record adds to the hash of the state. */
export function recordDigest(table: TableName, id: string, record: unknown): Digest {
  return digestOf([table, id, record])
}

export function nameKey(kind: string, project: string, name: string): string {
  return `${kind}/${project}/${name}`
}

type Named = { readonly id: string; readonly kind: string; readonly project: string; readonly name: string }
const namedTables: ReadonlySet<TableName> = new Set(['node', 'user', 'token', 'image', 'vm', 'project'])

function indexRecord(state: State, table: TableName, record: Tables[TableName]): void {
  if (namedTables.has(table)) {
    const named = record as Named
    state.names.set(nameKey(named.kind, named.project, named.name), named.id)
  }
  if (table === 'token') state.tokenIdsByHash.set((record as StoredToken).secretHash, (record as StoredToken).id)
  if (table === 'revokedSession') state.revokedSessionsEndMs = Math.min(state.revokedSessionsEndMs, (record as RevokedSession).expiresMs)
  if (table !== 'vm') return
  const vm = record as StoredVm
  countVm(state.usage, vm, 1)
  for (const nic of vm.spec.nics) if (nic.mac !== undefined) state.macs.add(nic.mac)
  for (const nodeId of holdersOf(vm)) {
    const ids = state.vmIdsByNode.get(nodeId) ?? new Set()
    ids.add(vm.id)
    state.vmIdsByNode.set(nodeId, ids)
  }
}

/** Its owner, and while it moves the other one. */
function holdersOf(vm: StoredVm): readonly string[] {
  const nodeIds = vm.assignment === null ? [] : [vm.assignment.nodeId as string]
  return vm.migration === undefined || vm.migration === null ? nodeIds : [...nodeIds, vm.migration.source.nodeId, vm.migration.target.nodeId]
}

function unindex(state: State, table: TableName, record: Tables[TableName]): void {
  if (namedTables.has(table)) {
    const named = record as Named
    const key = nameKey(named.kind, named.project, named.name)
    if (state.names.get(key) === named.id) state.names.delete(key)
  }
  if (table === 'token') state.tokenIdsByHash.delete((record as StoredToken).secretHash)
  if (table !== 'vm') return
  const vm = record as StoredVm
  countVm(state.usage, vm, -1)
  for (const nic of vm.spec.nics) if (nic.mac !== undefined) state.macs.delete(nic.mac)
  for (const nodeId of holdersOf(vm)) state.vmIdsByNode.get(nodeId)?.delete(vm.id)
}

/** The whole state as records, for snapshots. */
export function exportState(state: State): { readonly head: StateHead; readonly records: readonly StateWrite[] } {
  const records: StateWrite[] = []
  for (const table of tableNames) {
    for (const [id, value] of state.tables[table]) records.push({ table, id, value })
  }
  return { head: stateHead(state), records }
}

export function stateHead(state: State): StateHead {
  return { index: state.index, term: state.term, timeMs: state.timeMs, hash: stateHash(state) }
}

type StateImage = { readonly head: StateHead; readonly records: readonly StateWrite[] }

/**
 * Builds a state from records in any order.
 * @throws where the records do not have the hash their head claims, or a table is unknown
 */
export function importState(image: StateImage): State {
  for (const parts = importInParts(image, Infinity); ; ) {
    const { done, value } = parts.next()
    if (done === true) return value
  }
}

/** The same, for whoever has others take their turn: yields after every so many records. */
export function* importInParts(image: StateImage, recordsTogether: number): Generator<void, State> {
  const state = emptyState()
  let taken = 0
  for (const { record } of image.records.map((record) => ({ record, age: age(record) })).toSorted(byAge)) {
    taken += 1
    if (taken % recordsTogether === 0) yield
    if (!(tableNames as readonly string[]).includes(record.table)) throw new Error(`unknown state table ${record.table}`)
    writeRecord(state, record.table as TableName, record.id, record.value as Tables[TableName])
  }
  state.index = image.head.index
  state.term = image.head.term
  state.timeMs = image.head.timeMs
  if (stateHash(state) !== image.head.hash) throw new Error('the state does not have the hash it was stored with')
  return state
}

type Aged = { readonly record: StateWrite; readonly age: readonly [number, number] }

/** Bounded tables are trimmed oldest first, in map order: so records are put in by age, the same on every node. */
function byAge({ record: left, age: [leftIndex, leftOrdinal] }: Aged, { record: right, age: [rightIndex, rightOrdinal] }: Aged): number {
  if (left.table !== right.table) return left.table < right.table ? -1 : 1
  if (leftIndex !== rightIndex) return leftIndex - rightIndex
  if (leftOrdinal !== rightOrdinal) return leftOrdinal - rightOrdinal
  return left.id < right.id ? -1 : 1
}

function age(write: StateWrite): readonly [number, number] {
  if (write.table === 'event' || write.table === 'audit') {
    const [index = 0, ordinal = 0] = write.id.split('.').map(Number)
    return [index, ordinal]
  }
  if (write.table === 'formerNode') return [(write.value as StoredFormerNode).index, 0]
  if (write.table === 'migration') return [(write.value as StoredMigration).revision, 0]
  if (write.table === 'idempotency') return [(write.value as IdempotencyRecord).index, 0]
  return [0, 0]
}
