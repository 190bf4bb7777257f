// Members of the cluster: admission by a join token, what they announce, and what an operator says of them.
import type { CommandOf } from '../model/command.ts'
import type { NodeTrouble, StoredNode } from '../model/node.ts'
import type { Outcome } from './apply.ts'
import { recordDivergence } from './divergence.ts'
import { drainNode, uncordonNode } from './drain.ts'
import { forgetNode, removeNode } from './node-removal.ts'
import { compactNode, leadNode, voteNode } from './node-voting.ts'
import { takeOver } from './bring.ts'
import { changedLabels } from './labels.ts'
import { requireCurrent } from './revision.ts'
import { Refusal, type Transaction } from './transaction.ts'
import { sayOfVm } from './vm-event.ts'

export const nodesMax = 256

export function applyToNode(transaction: Transaction, command: CommandOf<'node.admit' | 'node.admitWith' | 'node.announce' | 'node.update' | 'node.rename' | 'node.remove' | 'node.forget' | 'node.drain' | 'node.uncordon' | 'node.vote' | 'node.lead' | 'node.compact' | 'node.diverge' | 'node.trouble'>): Outcome {
  switch (command.type) {
    case 'node.admit':
      return admit(transaction, command.payload)
    case 'node.admitWith': {
      const { bring, ...payload } = command.payload
      const outcome = admit(transaction, payload)
      // Asked again after a lost answer, it has been taken over already.
      if (!bring.vms.every((vm) => transaction.get('vm', vm.id)?.assignment?.nodeId === payload.node.id) || bring.vms.length === 0) takeOver(transaction, payload.node.id, bring)
      return outcome
    }
    case 'node.announce':
      return announce(transaction, command.payload)
    case 'node.update':
      return update(transaction, command.payload)
    case 'node.rename':
      return rename(transaction, command.payload)
    case 'node.remove':
      return removeNode(transaction, command.payload)
    case 'node.forget':
      return forgetNode(transaction, command.payload.id)
    case 'node.drain':
      return drainNode(transaction, command.payload)
    case 'node.uncordon':
      return uncordonNode(transaction, command.payload)
    case 'node.vote':
      return voteNode(transaction, command.payload)
    case 'node.lead':
      return leadNode(transaction, command.payload)
    case 'node.compact':
      return compactNode(transaction, command.payload)
    case 'node.diverge':
      return recordDivergence(transaction, command.payload)
    case 'node.trouble':
      return tellTrouble(transaction, command.payload)
  }
}

function admit(transaction: Transaction, payload: CommandOf<'node.admit'>['payload']): Outcome {
  const token = transaction.get('joinToken', payload.joinTokenId)
  if (token === undefined || token.secretHash !== payload.joinSecretHash) throw new Refusal('TOKEN_INVALID', 'The join token is not known here.')
  if (token.revokedMs !== null) throw new Refusal('TOKEN_INVALID', 'The join token was revoked.')
  const former = transaction.get('node', payload.node.id)
  requireSameMember(transaction, former, payload.node)
  // The joiner may ask again while its first answer may have been lost; that is over once it was heard of.
  const again = token.usedByNodeId === payload.node.id && former?.revision === token.revision
  if (token.usedByNodeId !== null && !again) throw new Refusal('TOKEN_USED', 'The join token was used already. Make a new one.')
  if (token.expiresMs < transaction.timeMs) throw new Refusal('TOKEN_EXPIRED', 'The join token has expired. Make a new one.')
  if (former !== undefined && wasHeardOf(transaction, former)) {
    throw new Refusal('ALREADY_MEMBER', `${former.name} is a member that took part already. If its data is lost, remove it and let it join under a new key.`)
  }
  if (former === undefined && transaction.state.tables.node.size >= nodesMax) throw new Refusal('LIMIT_REACHED', `A cluster has at most ${nodesMax} nodes.`)
  transaction.requireFreeName('node', '', payload.node.name, payload.node.id)
  transaction.put('joinToken', token.id, { ...token, usedByNodeId: payload.node.id, revision: transaction.index })
  transaction.put('node', payload.node.id, {
    kind: 'node', project: '', labels: {}, generation: 1, spec: { schedulable: true }, joinedMs: transaction.timeMs,
    ...former, ...payload.node, revision: transaction.index, announcement: payload.announcement,
  })
  say(transaction, payload.node, 'created', `Node ${payload.node.name} joined`, 'node.joined')
  return { id: payload.node.id }
}

/**
 * Anything said of a member since its admission. Who took part and asks to join has an empty disk: under its old id its votes and entries, which
 * the others count on, would be as if they had never been.
 */
function wasHeardOf(transaction: Transaction, node: StoredNode): boolean {
  return ![...transaction.state.tables.joinToken.values()].some((token) => token.usedByNodeId === node.id && token.revision === node.revision)
}

/** An id, a peer id and a key belong to one node for ever: whoever joins cannot take over a member. */
function requireSameMember(transaction: Transaction, former: StoredNode | undefined, node: CommandOf<'node.admit'>['payload']['node']): void {
  if (former !== undefined && (former.peerId !== node.peerId || former.wrapKey !== node.wrapKey)) {
    throw new Refusal('ALREADY_MEMBER', `Node id ${node.id} is that of member ${former.name}, which has another key.`)
  }
  for (const gone of transaction.state.tables.formerNode.values()) {
    if (gone.id === node.id || gone.peerId === node.peerId) throw new Refusal('NODE_REMOVED', `The key is that of ${gone.name}, which was removed: a node joins again under a new one.`)
  }
  for (const other of transaction.state.tables.node.values()) {
    if (other.id !== node.id && other.peerId === node.peerId) throw new Refusal('ALREADY_MEMBER', `The key is that of member ${other.name}, which has another id.`)
  }
}

function announce(transaction: Transaction, payload: CommandOf<'node.announce'>['payload']): Outcome {
  const node = transaction.require('node', payload.id)
  transaction.put('node', node.id, { ...node, announcement: payload.announcement, revision: transaction.index })
  say(transaction, node, 'updated', `Node ${node.name} runs ${payload.announcement.version}`, 'node.announced')
  return { id: node.id }
}

function update(transaction: Transaction, payload: CommandOf<'node.update'>['payload']): Outcome {
  const node = transaction.require('node', payload.id)
  requireCurrent(node, payload)
  const next: StoredNode = {
    ...node,
    labels: changedLabels(node.labels, payload),
    spec: payload.spec === undefined ? node.spec : { ...payload.spec, ...(node.spec.draining === true && !payload.spec.schedulable ? { draining: true } : {}), ...(node.spec.voting === undefined ? {} : { voting: node.spec.voting }) },
    revision: transaction.index,
    generation: payload.spec === undefined ? node.generation : node.generation + 1,
  }
  transaction.put('node', node.id, next)
  const message = next.spec.schedulable ? `Node ${node.name} takes new VMs` : `Node ${node.name} takes no new VMs`
  say(transaction, node, 'updated', message, 'node.updated')
  return { id: node.id }
}

/** Members are known by their ids; what names this one by its name follows. */
function rename(transaction: Transaction, payload: CommandOf<'node.rename'>['payload']): Outcome {
  const node = transaction.require('node', payload.id)
  requireCurrent(node, payload)
  if (payload.name === node.name) return { id: node.id }
  transaction.requireFreeName('node', '', payload.name, node.id)
  transaction.put('node', node.id, { ...node, name: payload.name, revision: transaction.index })
  for (const vm of transaction.state.tables.vm.values()) {
    if (vm.spec.placement.node !== node.name) continue
    const next = { ...vm, spec: { ...vm.spec, placement: { ...vm.spec.placement, node: payload.name } }, revision: transaction.index }
    transaction.put('vm', vm.id, next)
    sayOfVm(transaction, next, { type: 'updated', message: `VM ${vm.name} wishes for ${payload.name}, as ${node.name} is called now`, reason: 'vm.edited' })
  }
  say(transaction, { id: node.id, name: payload.name }, 'updated', `Node ${node.name} is called ${payload.name} now`, 'node.renamed')
  return { id: node.id }
}

/** Changes nothing of the node: its conditions are computed where they are read. */
function tellTrouble(transaction: Transaction, { id, isOver, message, trouble }: CommandOf<'node.trouble'>['payload']): Outcome {
  const node = transaction.require('node', id)
  say(transaction, node, 'updated', isOver ? `Node ${node.name} is well again: ${troubleOver[trouble]}` : `Node ${node.name}: ${message}`, isOver ? 'node.recovered' : 'node.trouble')
  return { id }
}

const troubleOver: Readonly<Record<NodeTrouble, string>> = {
  LogDamaged: 'its damaged log was put aside, and it re-syncs from the others',
  Resyncing: 'it has caught up with the others after damage to its log',
  DiskFull: 'there is space for its log',
  DiskHung: 'its disk goes on',
}

function say(transaction: Transaction, node: { id: string; name: string }, type: 'created' | 'updated', message: string, reason: string): void {
  transaction.event({ type, kind: 'node', resourceId: node.id, name: node.name, project: '', message, reason })
}
