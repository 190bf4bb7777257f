// The way of every write: command, dry run or proposal, outcome as a value or an error, and waiting for what follows.
import { makeCommand, type Command, type CommandPayload, type CommandResult, type CommandType } from '../model/command.ts'
import { OperationalError } from '../model/error.ts'
import { commandLevels, labelPatchLevel } from '../model/feature-level.ts'
import type { Labels } from '../model/resource.ts'
import type { Actor } from '../model/user.ts'
import { findReplay, previewCommand } from '../state/apply.ts'
import { changedLabels } from '../state/labels.ts'
import { isKnownToAll } from '../state/query.ts'
import type { TableName } from '../state/state.ts'
import { Refusal } from '../state/transaction.ts'
import type { AppContext } from './context.ts'
import type { Caller, Difference, DryRun, WriteOptions } from './face.ts'

export const waitSecondsMax = 300
type Done = Extract<CommandResult, { kind: 'done' }>

/** @throws the refusal as an OperationalError, or what `Consensus.propose` throws */
export async function propose<Type extends CommandType>(
  context: AppContext, actor: Actor, type: Type, payload: CommandPayload<Type>, options: Pick<WriteOptions, 'idempotencyKey' | 'bodyHash' | 'signal'> | null,
): Promise<Done> {
  requireKnown(context, type)
  const command = makeCommand(type, { id: context.newId(), actor, idempotency: idempotencyOf(options), authorize: true }, payload)
  await requireAcceptable(context, command)
  // A client that goes away does not take its command back: the outcome stays what it is.
  const result = await context.ports.consensus.propose(command, {})
  if (result.kind === 'refused') throw refusalError(result, { inLog: true, confirmed: true })
  return result
}

/** A member that does not know a type would halt at it; one that is away counts with its last word. @throws STATE_CONFLICT */
function requireKnown(context: AppContext, type: CommandType): void {
  const level = commandLevels[type] ?? 1
  const older = [...context.state.tables.node.values()].find((node) => node.announcement !== null && node.announcement.featureLevel < level)
  if (older === undefined) return
  throw new OperationalError('STATE_CONFLICT', `${older.name} runs ${older.announcement?.version ?? 'a version'}, which does not know this yet. Nothing was changed; update that node first.`)
}

type LabelPatch = Readonly<Record<string, string | null>>

/** A change of labels, such that every member understands it: while one of the first level is there it is merged here, where of two at once one may be lost. @throws INVALID */
export function labelChange(context: AppContext, former: Labels, patch: LabelPatch | undefined): { readonly labels?: Labels; readonly labelPatch?: LabelPatch } {
  if (patch === undefined) return {}
  if (isKnownToAll(context.state, labelPatchLevel)) return { labelPatch: patch }
  return { labels: orThrow(() => changedLabels(former, { labelPatch: patch })) }
}

function idempotencyOf(options: Pick<WriteOptions, 'idempotencyKey' | 'bodyHash'> | null): Command['idempotency'] {
  return options === null || options.idempotencyKey === null ? undefined : { key: options.idempotencyKey, bodyHash: options.bodyHash }
}

/**
 * What came of a request that is sent again, to be asked before its target is looked for: that may be gone by now, by this very request.
 * Null for a new one, and for one whose first outcome has not arrived here; then apply finds it.
 * @throws IDEMPOTENCY_MISMATCH
 */
export function findEarlier(context: AppContext, caller: Caller, options: WriteOptions): Done | null {
  if (options.dryRun) return null
  const result = findReplay(context.state, { actor: caller.actor, idempotency: idempotencyOf(options) })
  if (result?.kind === 'refused') throw refusalError(result)
  return result
}

/**
 * What would be refused is not proposed: it leaves no trace in the log. This node may be behind, so a refusal is asked for again at a
 * linearizable point. Apply decides in the end, for what is accepted here may be overtaken.
 */
async function requireAcceptable(context: AppContext, command: Command): Promise<void> {
  const refusal = () => {
    const { result } = previewCommand(context.state, { timeMs: context.ports.clock.nowMs(), command })
    return result.kind === 'refused' ? result : null
  }
  if (refusal() === null) return
  try {
    await context.ports.consensus.readBarrier()
  } catch {
    // Not confirmed in time: then the log decides, or says itself that there is no quorum.
    return
  }
  const refused = refusal()
  // What was found by its name may be another one by now, or gone: that is looked up anew.
  if (refused !== null) throw refusalError(refused, refused.code === 'NOT_FOUND' ? {} : { confirmed: true })
}

/** @param known `inLog`: the log has it, and so has the audit; `confirmed`: it was found at a linearizable point */
function refusalError(result: Extract<CommandResult, { kind: 'refused' }>, known: { readonly inLog?: true; readonly confirmed?: true } = {}): OperationalError {
  const fields = result.fields ?? []
  return new OperationalError(result.code, result.message, { data: { ...(fields.length === 0 ? {} : { fields }), ...known } })
}

/** Runs a question about the state that may refuse. */
export function orThrow<T>(ask: () => T): T {
  try {
    return ask()
  } catch (error) {
    if (error instanceof Refusal) throw refusalError({ kind: 'refused', code: error.code, message: error.message, fields: error.fields })
    throw error
  }
}

/** What a command would change in one table, as differences between resources. @throws the refusal it would meet */
export function dryRun<Type extends CommandType>(context: AppContext, caller: Caller, type: Type, payload: CommandPayload<Type>, table: TableName): DryRun {
  requireKnown(context, type)
  const command = makeCommand(type, { id: context.newId(), actor: caller.actor, authorize: true }, payload)
  const { result, changes } = previewCommand(context.state, { timeMs: context.ports.clock.nowMs(), command })
  if (result.kind === 'refused') throw refusalError(result)
  const differences: Difference[] = []
  for (const change of changes) if (change.table === table) compare('', visible(change.before), visible(change.after), differences)
  return { dryRun: true, differences }
}

/** What a command does beside what it writes into the wish: seen in the status, or done by an operation. */
export function effect(preview: DryRun, ...differences: readonly Difference[]): DryRun {
  return { ...preview, differences: [...preview.differences, ...differences] }
}

/** The parts of a record that a client knows and may wish. */
function visible(record: unknown): unknown {
  if (record === null) return null
  const { kind, name, labels, spec } = record as { readonly kind?: unknown; readonly name?: unknown; readonly labels?: unknown; readonly spec?: object }
  // As it is shown: a node without a wish about voting has the wish auto.
  return { name, labels, spec: kind === 'node' ? { voting: 'auto', ...spec } : spec }
}

function compare(path: string, before: unknown, after: unknown, into: Difference[]): void {
  if (JSON.stringify(before) === JSON.stringify(after)) return
  if (!isObject(before) || !isObject(after)) {
    into.push({ path, before: before ?? null, after: after ?? null })
    return
  }
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    compare(path === '' ? key : `${path}.${key}`, before[key], after[key], into)
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

/** Resolves when the predicate holds, the time is over, or the caller has gone. The predicate is asked after every applied entry. */
export async function waitUntil(context: AppContext, options: { readonly seconds: number; readonly signal: AbortSignal; readonly holds: () => boolean }): Promise<void> {
  const { seconds, signal, holds } = options
  if (seconds <= 0 || signal.aborted || holds()) return
  const { promise, resolve } = Promise.withResolvers<void>()
  const check = () => {
    if (holds()) resolve()
  }
  const cancels = [
    context.ports.consensus.watch((notice) => {
      if (notice.kind === 'applied' || notice.kind === 'replaced') check()
    }),
    context.ports.clock.after(Math.min(seconds, waitSecondsMax) * 1000, resolve),
  ]
  const onAbort = () => resolve()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    await promise
  } finally {
    for (const cancel of cancels) cancel()
    signal.removeEventListener('abort', onAbort)
  }
}
