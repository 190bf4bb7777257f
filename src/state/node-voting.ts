// What an operator wishes of consensus: that a node votes or does not, that it leads, that its log is shortened.
import type { CommandOf } from '../model/command.ts'
import type { NodeVoting, StoredNode } from '../model/node.ts'
import type { Outcome } from './apply.ts'
import { requireCurrent } from './revision.ts'
import { Refusal, type Transaction } from './transaction.ts'

const words: Readonly<Record<NodeVoting, string>> = { auto: 'votes as the cluster decides', always: 'shall vote', never: 'shall not vote' }

/** One member at least may vote: else nobody could lead. What is merely unwise is refused before it is proposed. */
export function voteNode(transaction: Transaction, payload: CommandOf<'node.vote'>['payload']): Outcome {
  const node = requireStaying(transaction, payload.id)
  requireCurrent(node, payload)
  const mayVote = [...transaction.state.tables.node.values()].some((other) => other.id !== node.id && other.leaving === undefined && other.spec.voting !== 'never')
  if (payload.voting === 'never' && !mayVote) throw new Refusal('STATE_CONFLICT', `${node.name} is the only member that may vote: without it nobody could lead.`)
  if ((node.spec.voting ?? 'auto') === payload.voting) return { id: node.id }
  const { voting: _, ...spec } = node.spec
  const next = payload.voting === 'auto' ? spec : { ...spec, voting: payload.voting }
  transaction.put('node', node.id, { ...node, spec: next, revision: transaction.index, generation: node.generation + 1 })
  say(transaction, node, `Node ${node.name} ${words[payload.voting]}`, 'node.vote')
  return { id: node.id }
}

export function leadNode(transaction: Transaction, payload: CommandOf<'node.lead'>['payload']): Outcome {
  const node = requireStaying(transaction, payload.id)
  requireCurrent(node, payload)
  say(transaction, node, `Node ${node.name} is asked to lead`, 'node.lead')
  return { id: node.id }
}

export function compactNode(transaction: Transaction, payload: CommandOf<'node.compact'>['payload']): Outcome {
  const node = transaction.require('node', payload.id)
  requireCurrent(node, payload)
  say(transaction, node, `The log of node ${node.name} is shortened`, 'node.compact')
  return { id: node.id }
}

function requireStaying(transaction: Transaction, id: string): StoredNode {
  const node = transaction.require('node', id)
  if (node.leaving !== undefined) throw new Refusal('STATE_CONFLICT', `${node.name} is being removed.`)
  return node
}

function say(transaction: Transaction, node: { readonly id: string; readonly name: string }, message: string, reason: string): void {
  transaction.event({ type: 'updated', kind: 'node', resourceId: node.id, name: node.name, project: '', message, reason })
}
