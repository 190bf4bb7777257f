// A cluster goes on with one node: founded anew from a backup, or by the survivor of a lost quorum (ADR 0016).
// Not commands: this is done to a state that no consensus runs on, and its log begins behind it.
import type { StoredAudit } from '../model/audit.ts'
import { epochOf, type StoredCluster } from '../model/cluster.ts'
import { auditRecordsMax } from '../model/audit.ts'
import type { NodeId } from '../model/id.ts'
import type { StoredNode } from '../model/node.ts'
import type { Actor } from '../model/user.ts'
import { forgetNode, removeNode } from './node-removal.ts'
import { writeRecord, type State } from './state.ts'
import { Refusal, Transaction } from './transaction.ts'

/**
 * Indexes and epochs passed over: what the former cluster may have given after all that is known here. So neither a revision nor an
 * event's id nor a VM's epoch is ever given twice with two meanings.
 */
export const indexJump = 1_000_000
export const epochJump = 1_000

export type Refounding = { readonly term: number; readonly timeMs: number; readonly actor: Actor; readonly commandId: string; /** The survivor's log was damaged: it may lack what was acknowledged. */ readonly mayLack?: true }

export type RestoredCluster = {
  readonly clusterId: string
  readonly clusterName: string
  readonly caCertificate: string
  readonly caKeySealed: string
  readonly sessionKeySealed: string
  readonly node: Pick<StoredNode, 'id' | 'name' | 'peerId' | 'wrapKey' | 'wrappedClusterKey'>
}

export type Refounded = { readonly index: number; /** By name, sorted. */ readonly droppedNodes: readonly string[]; readonly lostVms: readonly string[]; /** Without a copy. */ readonly lostImages: readonly string[] }

/** The state of a backup becomes that of a new cluster whose only member is the node. The state is changed in place. @throws Refusal where the node is, or was, a member of the former one */
export function restoreCluster(state: State, restored: RestoredCluster, refounding: Refounding): Refounded {
  const former = requireCluster(state)
  const { node } = restored
  requireStranger(state, node)
  const fromIndex = state.index
  const work = begin(state, refounding)
  work.step((transaction) => {
    // The name may be that of a member that is still to be dropped: until then it has another.
    transaction.put('node', node.id, {
      ...node, name: `restored-${node.id.slice(-8)}`, kind: 'node', project: '', labels: {}, generation: 1, spec: { schedulable: true }, announcement: null, joinedMs: transaction.timeMs, revision: transaction.index,
    })
    const { lastBackup: _last, observation: _observation, ...kept } = former
    transaction.put('cluster', 'cluster', {
      ...kept, id: restored.clusterId, name: restored.clusterName, revision: transaction.index, generation: former.generation + 1, epoch: epochOf(former) + 1, jump: { fromIndex, toIndex: transaction.index },
      caCertificate: restored.caCertificate, caKeySealed: restored.caKeySealed, sessionKeySealed: restored.sessionKeySealed,
    })
    // Made for the former cluster, signed by its key.
    for (const id of state.tables.joinToken.keys()) transaction.delete('joinToken', id)
    for (const id of state.tables.revokedSession.keys()) transaction.delete('revokedSession', id)
  })
  const droppedNodes = dropOthers(work, node.id, null)
  const lostVms = passOverEpochs(work, refounding)
  work.step((transaction) => {
    transaction.put('node', node.id, { ...transaction.require('node', node.id), name: node.name, revision: transaction.index })
    say(transaction, requireCluster(state), `Cluster ${former.name} was restored on ${node.name} from a backup of index ${fromIndex}`, 'cluster.restored')
    audit(transaction, 'cluster.restore', node.name, `from cluster ${former.id} at index ${fromIndex}`)
  })
  return { index: state.index, droppedNodes, lostVms, lostImages: imagesWithoutCopy(state) }
}

/** The survivor's state goes on without all other members. The state is changed in place. @throws Refusal where the node is no member, or is leaving */
export function recoverCluster(state: State, nodeId: NodeId, refounding: Refounding): Refounded {
  const former = requireCluster(state)
  const own = state.tables.node.get(nodeId)
  if (own === undefined) throw new Refusal('STATE_CONFLICT', 'This node is not in the state that it has: it had not caught up with the cluster.')
  if (own.leaving !== undefined) throw new Refusal('STATE_CONFLICT', `${own.name} was being removed. Recover the cluster on another node.`)
  const fromIndex = state.index
  const epoch = epochOf(former) + 1
  const work = begin(state, refounding)
  work.step((transaction) => {
    // Those who were silent are members no more, and this node leads in a term of its own.
    const { observation: _observation, ...kept } = former
    transaction.put('cluster', 'cluster', { ...kept, revision: transaction.index, generation: former.generation + 1, epoch, jump: { fromIndex, toIndex: transaction.index } })
  })
  const droppedNodes = dropOthers(work, nodeId, epoch)
  const lostVms = passOverEpochs(work, refounding)
  work.step((transaction) => {
    say(transaction, requireCluster(state), `Cluster ${former.name} goes on with ${own.name} alone, at epoch ${epoch}: ${refounding.actor.name} said that its quorum is lost${refounding.mayLack === true ? `; its log was damaged, and what was acknowledged after index ${fromIndex} is lost` : ''}`, 'cluster.recovered')
    audit(transaction, 'cluster.recover', own.name, `epoch ${epoch}; log up to index ${fromIndex}${refounding.mayLack === true ? ', damaged' : ''}; without ${droppedNodes.join(', ')}`)
  })
  return { index: state.index, droppedNodes, lostVms, lostImages: imagesWithoutCopy(state) }
}

type Work = { readonly state: State; readonly step: (change: (transaction: Transaction) => void) => void }

/** Each step has an index of its own, for the ids of its events. */
function begin(state: State, { term, timeMs, actor, commandId }: Refounding): Work {
  state.index += indexJump
  state.term = term
  state.timeMs = Math.max(state.timeMs, timeMs)
  return {
    state,
    step: (change) => {
      state.index += 1
      const transaction = new Transaction(state, { index: state.index, timeMs: state.timeMs, actor, commandId })
      change(transaction)
      transaction.commit()
    },
  }
}

/** As if each were removed by force: its VMs lose their owner, its moves end, its copies of images do not count. */
function dropOthers({ state, step }: Work, ownId: string, epoch: number | null): readonly string[] {
  const others = [...state.tables.node.values()].filter((node) => node.id !== ownId).toSorted((left, right) => (left.id < right.id ? -1 : 1))
  for (const { id } of others) {
    step((transaction) => void removeNode(transaction, { id: id as NodeId, force: true }))
    step((transaction) => {
      forgetNode(transaction, id)
      const gone = transaction.require('formerNode', id)
      if (epoch !== null) transaction.put('formerNode', id, { ...gone, epoch })
    })
  }
  return others.map(({ name }) => name).toSorted()
}

/**
 * No VM is given an epoch that the former cluster may have given: those without an owner begin anew behind it, those that stay are moved behind it.
 * Where the state may lack what was acknowledged those begin there at once: this node may have had one at a later epoch, and refuses the older one (`EpochGuard`).
 * @returns the names of those without an owner
 */
function passOverEpochs({ state, step }: Work, { mayLack }: Pick<Refounding, 'mayLack'>): readonly string[] {
  const vms = [...state.tables.vm.values()].toSorted((left, right) => (left.id < right.id ? -1 : 1))
  const lost = vms.filter((vm) => vm.lost !== undefined && vm.assignment === null)
  step((transaction) => {
    for (const vm of vms) {
      if (vm.assignment === null) continue
      const epochSpent = Math.max(vm.assignment.epoch, vm.epochSpent ?? 0) + epochJump
      transaction.put('vm', vm.id, { ...vm, revision: transaction.index, epochSpent, ...(mayLack === true ? { assignment: { ...vm.assignment, epoch: epochSpent } } : {}) })
    }
    for (const vm of lost) if (vm.lost !== undefined) transaction.put('vm', vm.id, { ...vm, revision: transaction.index, lost: { ...vm.lost, epoch: vm.lost.epoch + epochJump } })
  })
  return lost.map(({ name }) => name).toSorted()
}

function imagesWithoutCopy(state: State): readonly string[] {
  return [...state.tables.image.values()].filter((image) => image.holders.length === 0).map(({ name }) => name).toSorted()
}

/** A host that brings its former identity along would own its VMs at once, which may run elsewhere by now. */
function requireStranger(state: State, { id, peerId }: Pick<StoredNode, 'id' | 'peerId'>): void {
  const known = [...state.tables.node.values(), ...state.tables.formerNode.values()].find((node) => node.id === id || node.peerId === peerId)
  if (known !== undefined) throw new Refusal('STATE_CONFLICT', `This host is ${known.name} in the backup: a VM that runs elsewhere by now could run here, too. Restore on another host; or stop this host's daemon, move identity.json in its data directory aside and start it, and it is another one. Nothing was changed.`)
}

function requireCluster(state: State): StoredCluster {
  const cluster = state.tables.cluster.get('cluster')
  if (cluster === undefined) throw new Refusal('NOT_CLUSTERED', 'The state holds no cluster.')
  return cluster
}

function say(transaction: Transaction, cluster: StoredCluster, message: string, reason: string): void {
  transaction.event({ type: 'updated', kind: 'cluster', resourceId: cluster.id, name: cluster.name, project: '', message, reason })
}

function audit(transaction: Transaction, command: string, target: string, detail: string): void {
  const id = String(transaction.index)
  const { actor, state } = transaction
  const record: StoredAudit = { id, kind: 'audit', timeMs: transaction.timeMs, actor: { kind: actor.kind, id: actor.id, name: actor.name, address: actor.address }, command, target, outcome: 'done', code: '', detail }
  for (const oldest of state.tables.audit.keys()) {
    if (state.tables.audit.size < auditRecordsMax) break
    writeRecord(state, 'audit', oldest, null)
  }
  transaction.put('audit', id, record)
}
