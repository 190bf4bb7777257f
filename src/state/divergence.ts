// What the cluster remembers of a member whose state was found to differ, so that every node and every alarm can tell of it.
import type { CommandOf } from '../model/command.ts'
import type { Outcome } from './apply.ts'
import type { Transaction } from './transaction.ts'

export function recordDivergence(transaction: Transaction, { id, divergence }: CommandOf<'node.diverge'>['payload']): Outcome {
  const node = transaction.require('node', id)
  const { divergence: former, ...rest } = node
  // Said by several at once, or said again: nothing new.
  if ((former === undefined) === (divergence === null)) return { id }
  transaction.put('node', id, { ...rest, revision: transaction.index, ...(divergence === null ? {} : { divergence: { ...divergence, sinceMs: transaction.timeMs } }) })
  const message = divergence === null
    ? `The state of node ${node.name} is the cluster's again`
    : `The state of node ${node.name} differs from the cluster's at index ${divergence.index} or before: it has stopped serving and voting; its VMs run on`
  transaction.event({ type: 'updated', kind: 'node', resourceId: id, name: node.name, project: '', message, reason: divergence === null ? 'node.converged' : 'node.diverged' })
  return { id }
}
