// What changed in consensus since it was put on record last, as events: who leads, that there is a quorum again, who votes, who is silent.
import type { StoredCluster } from '../model/cluster.ts'
import type { CommandOf } from '../model/command.ts'
import type { StoredNode } from '../model/node.ts'
import type { Observation, StoredObservation } from '../model/observation.ts'
import { flappingNote, tellAt, type Told } from '../model/told.ts'
import type { Outcome } from './apply.ts'
import { Refusal, type Transaction } from './transaction.ts'

/** A time without a leader that is longer than an election takes is told as such. */
const leaderlessMsTold = 5_000

type Payload = Observation & Pick<CommandOf<'cluster.observe'>['payload'], 'seenInTerm' | 'leaderlessMs'>
/** `told` gets what is told now. */
type Change = { readonly transaction: Transaction; readonly payload: Payload; readonly former: StoredObservation; readonly told: Map<string, Told> }

/** The first observation is what later ones are compared with: it tells nothing. */
export function recordObservation(transaction: Transaction, payload: Payload): Outcome {
  const cluster = transaction.get('cluster', 'cluster')
  if (cluster === undefined) throw new Refusal('NOT_CLUSTERED', 'There is no cluster yet.')
  // What a deposed leader saw came by way of its successor.
  if (payload.seenInTerm !== transaction.state.term) throw new Refusal('STATE_CONFLICT', 'Another leads by now.')
  const { leaderId, term, voters, silent } = payload
  const { observation: former } = cluster
  const told = new Map(Object.entries(former?.told ?? {}).filter(([what]) => what === 'leader' || what === 'voters' || transaction.get('node', what) !== undefined))
  if (former !== undefined) {
    const change = { transaction, payload, former, told }
    tellLeader(change, cluster)
    tellVoters(change)
    tellSilence(change)
  }
  transaction.put('cluster', 'cluster', { ...cluster, observation: { leaderId, term, voters, silent, told: Object.fromEntries(told) } })
  return { id: cluster.id }
}

function tellLeader(change: Change, cluster: StoredCluster): void {
  const { transaction, payload, former } = change
  const leader = transaction.get('node', payload.leaderId)
  if (leader === undefined || (payload.term === former.term && payload.leaderId === former.leaderId)) return
  const note = tell(change, 'leader')
  const before = transaction.get('node', former.leaderId)
  const isSame = payload.leaderId === former.leaderId
  say(transaction, leader, `Node ${leader.name} leads${isSame ? ' again' : ''}, in term ${payload.term}${isSame || before === undefined ? '' : `; before it ${before.name} led, in term ${former.term}`}${note}`, 'node.leads')
  if (payload.leaderlessMs < leaderlessMsTold) return
  transaction.event({ type: 'updated', kind: 'cluster', resourceId: cluster.id, name: cluster.name, project: '', message: `There is a quorum again, after ${Math.round(payload.leaderlessMs / 1000)} s without a leader`, reason: 'cluster.quorum' })
}

function tellVoters(change: Change): void {
  const { transaction, payload, former } = change
  const nodesOf = (ids: readonly string[]) => ids.map((id) => transaction.get('node', id)).filter((node) => node !== undefined)
  const added = payload.voters.filter((id) => !former.voters.includes(id))
  const removed = former.voters.filter((id) => !payload.voters.includes(id))
  if (added.length + removed.length === 0) return
  const note = tell(change, 'voters')
  const [come, gone] = [nodesOf(added), nodesOf(removed)]
  const names = (nodes: readonly StoredNode[]) => nodes.map(({ name }) => name).join(', ')
  for (const node of come) say(transaction, node, `Node ${node.name} votes now${gone.length === 0 ? '' : `, in place of ${names(gone)}`}${note}`, 'node.promoted')
  for (const node of gone) say(transaction, node, `Node ${node.name} votes no more${reasonOf(node, payload)}${come.length === 0 ? '' : `; ${names(come)} ${come.length === 1 ? 'votes' : 'vote'} in its place`}${note}`, 'node.demoted')
}

function reasonOf(node: StoredNode, { silent }: Payload): string {
  if (node.leaving !== undefined) return ': it is being removed'
  if (node.spec.voting === 'never') return ', as was wished'
  return silent.includes(node.id) ? ': it is silent' : ''
}

function tellSilence(change: Change): void {
  const { transaction, payload, former } = change
  const leader = transaction.get('node', payload.leaderId)?.name ?? 'the leader'
  for (const id of [...payload.silent, ...former.silent.filter((each) => !payload.silent.includes(each))]) {
    const node = transaction.get('node', id)
    const isSilent = payload.silent.includes(id)
    if (node === undefined || former.silent.includes(id) === isSilent) continue
    const note = tell(change, id)
    if (isSilent) say(transaction, node, `Node ${node.name} is silent: ${leader}, which leads, hears nothing of it${note}`, 'node.silent')
    else say(transaction, node, `Node ${node.name} is heard again${note}`, 'node.heard')
  }
}

/** @returns how its sentence ends */
function tell({ transaction, told }: Change, what: string): string {
  const next = tellAt(told.get(what), transaction.timeMs)
  told.set(what, next)
  return flappingNote(next)
}

function say(transaction: Transaction, node: StoredNode, message: string, reason: string): void {
  transaction.event({ type: 'updated', kind: 'node', resourceId: node.id, name: node.name, project: '', message, reason })
}
