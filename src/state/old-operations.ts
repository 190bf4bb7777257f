// The bound of the operations that are kept after their end.
import { operationsEndedMax } from '../model/operation.ts'
import type { Transaction } from './transaction.ts'

/** Ended operations are kept by count, the oldest go first; ids are UUIDv7, so their order is that of their making. */
export function dropOldOperations(transaction: Transaction): void {
  const { operation } = transaction.state.tables
  if (operation.size <= operationsEndedMax * 1.1) return
  const ended = [...operation.values()].filter((candidate) => candidate.endedMs !== null)
  const excess = ended.length - operationsEndedMax
  if (excess <= 0) return
  for (const old of ended.toSorted((left, right) => (left.id < right.id ? -1 : 1)).slice(0, excess)) transaction.delete('operation', old.id)
}
