// apply: one log entry → the changed state, the events and the outcome; the same on every node, whatever the entry.
import { auditRecordsMax } from '../model/audit.ts'
import type { Command, CommandResult } from '../model/command.ts'
import type { Event } from '../model/event.ts'
import { eventsKeptMax } from '../model/event.ts'
import { migrationsMax } from '../model/migration.ts'
import { formerNodesMax } from '../model/node.ts'
import type { StateWrite } from '../ports/state-store.ts'
import { requireAuthority } from './authority.ts'
import { applyBackup } from './backup.ts'
import { applyToCluster } from './cluster.ts'
import { applyToImage } from './image.ts'
import { applyToNode } from './node.ts'
import { recordObservation } from './observation.ts'
import { applyToOperation } from './operation.ts'
import { applyToProject } from './project.ts'
import { writeRecord, type State, type TableName } from './state.ts'
import { applyToToken } from './token.ts'
import { Refusal, Transaction } from './transaction.ts'
import { applyToUser } from './user.ts'
import { applyToVm } from './vm.ts'

export type Entry = { readonly index: number; readonly term: number; readonly timeMs: number }
export type Applied = { readonly result: CommandResult; readonly writes: readonly StateWrite[]; readonly events: readonly Event[] }

/** How long an Idempotency-Key is remembered, in state time, and how many at most. */
export const idempotencyLifeMs = 24 * 3_600_000
export const idempotencyRecordsMax = 10_000

/**
 * Applies a command. The state is changed in place; a refused command changes only the audit.
 * @param entry index must follow the state's; timeMs is the leader's stamp, state time never goes back
 */
export function applyCommand(state: State, entry: Entry & { readonly command: Command }): Applied {
  advance(state, entry)
  const { command } = entry
  const transaction = new Transaction(state, { index: entry.index, timeMs: state.timeMs, actor: command.actor, commandId: command.id })
  const replay = findReplay(state, command)
  if (replay !== null) return { result: replay, writes: [], events: [] }
  let result: CommandResult
  let recorder = transaction
  try {
    const outcome = dispatch(transaction, command)
    result = { kind: 'done', index: entry.index, ...outcome }
    rememberKey(transaction, command, result)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    result = { kind: 'refused', code: error.code, message: error.message, fields: error.fields }
    recorder = new Transaction(state, { index: entry.index, timeMs: state.timeMs, actor: command.actor, commandId: command.id })
  }
  recordAudit(recorder, command, result)
  const { writes, events } = recorder.commit()
  return { result, writes: [...writes, ...trim(state)], events }
}

export type Preview = { readonly result: CommandResult; readonly changes: ReturnType<Transaction['pending']> }

/** What applying a command now would come to, a remembered answer to its key included; the state is not changed. */
export function previewCommand(state: State, options: { readonly timeMs: number; readonly command: Command }): Preview {
  const { command } = options
  const index = state.index + 1
  const replay = findReplay(state, command)
  if (replay !== null) return { result: replay, changes: [] }
  const transaction = new Transaction(state, { index, timeMs: Math.max(state.timeMs, options.timeMs), actor: command.actor, commandId: command.id })
  try {
    const outcome = dispatch(transaction, command)
    return { result: { kind: 'done', index, ...outcome }, changes: transaction.pending() }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return { result: { kind: 'refused', code: error.code, message: error.message, fields: error.fields }, changes: [] }
  }
}

/** Applies an entry that changes nothing but the index: a no-op or a configuration change. */
export function applyEmpty(state: State, entry: Entry): void {
  advance(state, entry)
}

function advance(state: State, entry: Entry): void {
  if (entry.index !== state.index + 1) throw new Error(`entry ${entry.index} applied to a state at ${state.index}`)
  state.index = entry.index
  state.term = entry.term
  state.timeMs = Math.max(state.timeMs, entry.timeMs)
}

export type Outcome = { readonly id: string; readonly operationId?: string }

function dispatch(transaction: Transaction, command: Command): Outcome {
  requireAuthority(transaction, command)
  switch (command.type) {
    case 'cluster.init':
      return applyToCluster(transaction, command)
    case 'cluster.observe':
      return recordObservation(transaction, command.payload)
    case 'cluster.backup':
    case 'cluster.backedUp':
      return applyBackup(transaction, command)
    case 'joinToken.create':
    case 'joinToken.revoke':
    case 'token.create':
    case 'token.issue':
    case 'token.revoke':
    case 'session.revoke':
      return applyToToken(transaction, command)
    case 'node.admit':
    case 'node.admitWith':
    case 'node.announce':
    case 'node.update':
    case 'node.rename':
    case 'node.remove':
    case 'node.forget':
    case 'node.drain':
    case 'node.uncordon':
    case 'node.vote':
    case 'node.lead':
    case 'node.compact':
    case 'node.diverge':
    case 'node.trouble':
      return applyToNode(transaction, command)
    case 'user.create':
    case 'user.add':
    case 'user.update':
    case 'user.setPassword':
    case 'user.delete':
    case 'role.grant':
    case 'role.revoke':
    case 'session.revokeAll':
      return applyToUser(transaction, command)
    case 'project.create':
    case 'project.update':
    case 'project.delete':
      return applyToProject(transaction, command)
    case 'image.register':
    case 'image.delete':
    case 'image.patch':
    case 'image.hold':
    case 'image.drop':
    case 'image.import':
      return applyToImage(transaction, command)
    case 'vm.create':
    case 'vm.replace':
    case 'vm.patch':
    case 'vm.act':
    case 'vm.report':
    case 'vm.guestStopped':
    case 'vm.recover':
    case 'vm.migrate':
      return applyToVm(transaction, command)
    case 'operation.step':
    case 'operation.cancel':
    case 'operation.advance':
      return applyToOperation(transaction, command)
  }
}

type Keyed = Pick<Command, 'actor' | 'idempotency'>

function idempotencyId(command: Keyed): string | null {
  if (command.idempotency === undefined) return null
  return `${command.actor.kind}:${command.actor.id}:${command.idempotency.key}`
}

/** The answer remembered for a command's key, or the refusal of a key that was another request's; null where the key is new. */
export function findReplay(state: State, command: Keyed): CommandResult | null {
  const id = idempotencyId(command)
  if (id === null) return null
  const record = state.tables.idempotency.get(id)
  if (record === undefined || state.timeMs - record.timeMs > idempotencyLifeMs) return null
  if (record.bodyHash === command.idempotency?.bodyHash) {
    return record.result.kind === 'done' ? { ...record.result, replayed: true } : record.result
  }
  return { kind: 'refused', code: 'IDEMPOTENCY_MISMATCH', message: 'This Idempotency-Key was used with another request. Nothing was changed; use a new key.' }
}

function rememberKey(transaction: Transaction, command: Command, result: CommandResult): void {
  const id = idempotencyId(command)
  if (id === null || command.idempotency === undefined) return
  const { bodyHash } = command.idempotency
  transaction.put('idempotency', id, { id, index: transaction.index, timeMs: transaction.timeMs, bodyHash, result })
}

/** What a person, their token, a guest or the cluster itself did is a record; reports and renewals of nodes are not. */
function recordAudit(transaction: Transaction, command: Command, result: CommandResult): void {
  const { actor } = command
  if (actor.kind === 'node') return
  const id = String(transaction.index)
  const payload = command.payload as AuditedPayload & { readonly action?: string }
  transaction.put('audit', id, {
    id,
    kind: 'audit',
    timeMs: transaction.timeMs,
    actor: { kind: actor.kind, id: actor.id, name: actor.name, address: actor.address },
    command: payload.action === undefined ? command.type : `vm.${payload.action}`,
    target: targetOf(transaction, payload),
    outcome: result.kind,
    code: result.kind === 'refused' ? result.code : '',
    detail: result.kind === 'refused' ? result.message : command.type === 'role.grant' || command.type === 'role.revoke' ? `${command.payload.role} in ${command.payload.scope}` : '',
  })
}

type AuditedPayload = { readonly id?: string; readonly userId?: string; readonly name?: string; readonly node?: { readonly name: string } }

function targetOf(transaction: Transaction, payload: AuditedPayload): string {
  if (payload.name !== undefined) return payload.name
  if (payload.node !== undefined) return payload.node.name
  const id = payload.id ?? payload.userId
  if (id === undefined) return ''
  for (const table of ['vm', 'image', 'node', 'user', 'token', 'operation', 'project'] as const) {
    // What the command deleted is in the state still.
    const record = transaction.get(table, id) ?? transaction.state.tables[table].get(id)
    if (record !== undefined) return record.name
  }
  return id
}

const bounded = [
  { table: 'audit', max: auditRecordsMax },
  { table: 'event', max: eventsKeptMax },
  { table: 'migration', max: migrationsMax },
  { table: 'idempotency', max: idempotencyRecordsMax },
  { table: 'formerNode', max: formerNodesMax },
] as const satisfies readonly { table: TableName; max: number }[]

/** Where taking the oldest goes on. A map keeps the places of what was deleted for a while: begun anew, each look would pass thousands of them. */
const oldest = new WeakMap<object, Iterator<string>>()

/** The first key of a map that is not empty. It has to be deleted before the next one is asked for. */
function takeOldest(map: ReadonlyMap<string, unknown>): string {
  const next = oldest.get(map)?.next()
  if (next?.done === false) return next.value
  const keys = map.keys()
  oldest.set(map, keys)
  const first = keys.next()
  if (first.done === true) throw new RangeError('assertion: nothing is left to drop')
  return first.value
}

/** Drops the oldest of what is kept by count, and keys and sessions whose time is over. */
function trim(state: State): readonly StateWrite[] {
  const writes: StateWrite[] = []
  const drop = (table: TableName, id: string) => {
    writeRecord(state, table, id, null)
    writes.push({ table, id, value: null })
  }
  for (const { table, max } of bounded) {
    const map = state.tables[table]
    while (map.size > max) drop(table, takeOldest(map))
  }
  for (const record of state.tables.idempotency.values()) {
    if (state.timeMs - record.timeMs <= idempotencyLifeMs) break
    drop('idempotency', record.id)
  }
  if (state.revokedSessionsEndMs < state.timeMs) dropEndedSessions(state, drop)
  return writes
}

/** In no order of time, so all are looked at; but only when one has ended. */
function dropEndedSessions(state: State, drop: (table: TableName, id: string) => void): void {
  state.revokedSessionsEndMs = Number.POSITIVE_INFINITY
  for (const record of state.tables.revokedSession.values()) {
    if (record.expiresMs < state.timeMs) drop('revokedSession', record.id)
    else state.revokedSessionsEndMs = Math.min(state.revokedSessionsEndMs, record.expiresMs)
  }
}
