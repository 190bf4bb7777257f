// What a step of an operation is given, and what it may come to.
import type { CommandPayload } from '../model/command.ts'
import { isMove, stepsOf, type MoveOperation } from '../state/migration.ts'
import type { StoredOperation } from '../model/operation.ts'

export type StepOutcome = Exclude<CommandPayload<'operation.advance'>['outcome'], { readonly kind: 'lost' }>

export type StepContext<Operation extends StoredOperation = StoredOperation> = {
  readonly operation: Operation
  /** Aborted when it is not this step's turn any more, or the node stops. */
  readonly signal: AbortSignal
  /** False where an earlier life of this daemon may have begun it. */
  readonly fresh: boolean
}

/** Steps run again after a crash: each has to be idempotent. What it throws fails the step while the operation can turn back; else it is tried again. */
export type StepHandler = (context: StepContext<MoveOperation>) => Promise<StepOutcome>
export type StepHandlers = { readonly run: StepHandler; readonly undo?: StepHandler }

/** Which step it is, and which way: another key is another turn. */
export function turnOf(operation: StoredOperation | undefined, nodeId: string): string | null {
  if (operation === undefined || operation.state !== 'running' || operation.nodeId !== nodeId) return null
  if (isMove(operation)) return `${operation.move.direction} ${operation.step}`
  return operation.spec.operation === 'node-drain' ? 'drain' : null
}

export function stepName(operation: MoveOperation): string {
  return stepsOf(operation)[operation.step]?.name ?? ''
}

/** A failure here turns the operation back; where it cannot, the step is tried until it is done. */
export function canFail(operation: MoveOperation): boolean {
  return operation.move.direction === 'forward' && stepsOf(operation)[operation.step]?.returns === true
}

export const done = (outputs: Extract<StepOutcome, { kind: 'done' }>['outputs'] = {}): StepOutcome => ({ kind: 'done', outputs })
