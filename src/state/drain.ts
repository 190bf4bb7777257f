// A node gives its VMs away: it takes no new ones, and an operation on it moves those that are there.
import type { CommandOf } from '../model/command.ts'
import { operationKinds, type StoredOperation } from '../model/operation.ts'
import type { Outcome } from './apply.ts'
import { dropOldOperations } from './old-operations.ts'
import { endOperation } from './operation.ts'
import { requireCurrent } from './revision.ts'
import type { State } from './state.ts'
import { Refusal, type Transaction } from './transaction.ts'

/** The drain that runs on a node; undefined where none does. */
export function drainOf(state: State, nodeId: string): StoredOperation | undefined {
  return [...state.tables.operation.values()].find((operation) => operation.state === 'running' && operation.spec.operation === 'node-drain' && operation.spec.target.id === nodeId)
}

export function drainNode(transaction: Transaction, payload: CommandOf<'node.drain'>['payload']): Outcome {
  const node = transaction.require('node', payload.id)
  requireCurrent(node, payload)
  const running = drainOf(transaction.state, node.id)
  if (running !== undefined) throw new Refusal('OPERATION_ACTIVE', `${node.name} is being drained already, by ${running.actor}.`)
  const operation: StoredOperation = {
    id: payload.operationId, kind: 'operation', name: `node-drain-${payload.operationId.slice(-8)}`, project: '', labels: {}, revision: transaction.index, generation: 1,
    spec: { operation: 'node-drain', target: { kind: 'node', id: node.id, name: node.name }, force: false, timeoutSeconds: 0 },
    state: 'running', step: 0, steps: operationKinds['node-drain'].map(() => ({ startedMs: transaction.timeMs, endedMs: null })), nodeId: node.id,
    actor: transaction.actor.name, commandId: transaction.commandId, startedMs: transaction.timeMs, endedMs: null, error: null, formerRunState: null,
    drain: { concurrency: payload.concurrency },
  }
  transaction.put('node', node.id, { ...node, spec: { ...node.spec, schedulable: false, draining: true }, revision: transaction.index, generation: node.generation + 1 })
  transaction.put('operation', operation.id, operation)
  dropOldOperations(transaction)
  say(transaction, node, `Node ${node.name} is being drained: its VMs move away`, 'node.drain')
  transaction.event({
    type: 'created', kind: 'operation', resourceId: operation.id, name: operation.name, project: '', message: `Operation node-drain of ${node.name} began`, reason: 'operation.running',
  })
  return { id: node.id, operationId: operation.id }
}

export function uncordonNode(transaction: Transaction, payload: CommandOf<'node.uncordon'>['payload']): Outcome {
  const node = transaction.require('node', payload.id)
  requireCurrent(node, payload)
  const running = drainOf(transaction.state, node.id)
  if (running !== undefined) endOperation(transaction, running, { state: 'cancelled', error: { code: 'CANCELLED', message: `${transaction.actor.name} let the node take VMs again.` } })
  const { draining: _, ...spec } = node.spec
  transaction.put('node', node.id, { ...node, spec: { ...spec, schedulable: true }, revision: transaction.index, generation: node.generation + 1 })
  say(transaction, node, `Node ${node.name} takes new VMs`, 'node.uncordon')
  return { id: node.id }
}

function say(transaction: Transaction, node: { readonly id: string; readonly name: string }, message: string, reason: string): void {
  transaction.event({ type: 'updated', kind: 'node', resourceId: node.id, name: node.name, project: '', message, reason })
}
