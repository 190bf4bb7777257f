// After the loss of a quorum this node, a survivor, goes on alone: what speaks against it, what would be lost, and the deed (ADR 0016).
import { z } from 'zod'
import { parseInput } from './app/parse.ts'
import { orThrow } from './app/write.ts'
import type { RecoverAnswer } from './app/face.ts'
import { installSole, readToEnd } from './cluster/refounding.ts'
import { statusMethod } from './cluster/request.ts'
import { majorityHas } from './cluster/status.ts'
import { openStores, type Host, type Member } from './member.ts'
import { epochOf } from './model/cluster.ts'
import { OperationalError } from './model/error.ts'
import { uuidV7, type NodeId } from './model/id.ts'
import { clauseOf } from './model/sentence.ts'
import { recoverCluster, type Refounded, type Refounding } from './state/refounding.ts'
import { vmsOnNode } from './state/query.ts'
import { exportState, importState, type State } from './state/state.ts'

const recoverSchema = z.strictObject({ othersAreOff: z.literal(true).optional(), acceptLoss: z.boolean().default(false), dryRun: z.boolean().default(false) })
const statusSchema = z.object({ halted: z.string().nullable(), lastIndex: z.number(), commit: z.number(), troubles: z.array(z.object({ type: z.string() })).default([]) })
type HeardStatus = z.output<typeof statusSchema>
export type Recovery = { readonly dryRun: boolean; /** Also from a copy that is not known to have all that it acknowledged. */ readonly acceptLoss: boolean }
/** Troubles after which a copy may lack what this node had acknowledged. */
const losing: ReadonlySet<string> = new Set(['LogDamaged', 'Resyncing'])
const answerTimeoutMs = 2_000
/** Names in a note; of further ones the count. */
const namesMax = 20

/** @throws INVALID */
export function parseRecovery(body: unknown): Recovery {
  const { othersAreOff, dryRun, acceptLoss } = parseInput(recoverSchema, body)
  if (!dryRun && othersAreOff !== true) throw new OperationalError('INVALID', 'Say that all other members are off and stay off: nothing else keeps them from going on as the former cluster.', { data: { fields: [{ path: 'othersAreOff', message: 'must be true' }] } })
  return { dryRun, acceptLoss }
}

/**
 * @throws STATE_CONFLICT where a quorum answers, this node takes no part, another survivor has more, or (without `acceptLoss`) this node is not known to have
 *   what it acknowledged
 */
export async function planRecovery(host: Host, member: Member, { acceptLoss }: Pick<Recovery, 'acceptLoss'>): Promise<RecoverAnswer> {
  const { cluster, app } = member.node
  const status = cluster.status()
  const isDamaged = status.troubles.some(({ type }) => losing.has(type))
  if (status.halted !== null && !isDamaged) throw refused(`This node takes no part: ${clauseOf(status.halted)}.`)
  if (status.divergence !== null) throw refused("This node is in doubt whether its state is the cluster's. Recover the cluster on another node, or restore a backup.")
  if (status.quorum) throw refused('This node is in touch with a leader that has a majority: there is a quorum.')
  const { nodeId } = host.identity
  const { voters, votersOutgoing } = status.configuration
  const others = [...cluster.state.tables.node.values()].filter((node) => node.id !== nodeId).toSorted((left, right) => (left.name < right.name ? -1 : 1))
  const heard = new Map(await Promise.all(others.map(async ({ id }) => [id, await statusOf(member, id)] as const)))
  const answers = (id: string) => id === nodeId || heard.get(id)?.halted === null
  if (majorityHas(status.configuration, answers)) {
    const names = others.filter(({ id }) => voters.includes(id) && answers(id)).map(({ name }) => name).join(', ')
    throw refused(`With ${names} most voters answer: they elect a leader by themselves. Wait for it, or look why they do not.`)
  }
  const further = others.find(({ id }) => answers(id) && (heard.get(id)?.lastIndex ?? 0) > status.lastIndex)
  if (further !== undefined) throw refused(`${further.name} has a longer log, up to index ${heard.get(further.id)?.lastIndex}, and this node's ends at ${status.lastIndex}: recover the cluster there.`)
  const loss = isDamaged ? lossOf(member, others.find(({ id }) => isWhole(heard.get(id)))?.name ?? null, acceptLoss) : null
  const { clusterName, node } = app.freshness()
  const lastQuorumMs = app.lastQuorumMs()
  // A look at a copy: entries beyond what is applied are not in it.
  const lost = tryOut(host, member)
  const starting = loss === null ? [] : startingVms(cluster.state, nodeId)
  const isVoter = (id: string) => voters.includes(id) || votersOutgoing.includes(id)
  return {
    dryRun: true, clusterName, node: node.name, epoch: epochOf(cluster.state.tables.cluster.get('cluster')) + 1,
    term: status.term, lastIndex: status.lastIndex, commit: status.commit, mayLack: loss !== null,
    lastLeaderAt: lastQuorumMs === null ? null : new Date(lastQuorumMs).toISOString(), lastEntryAt: new Date(cluster.state.timeMs).toISOString(),
    members: others.map(({ id, name }) => ({ name, voter: isVoter(id), answers: heard.get(id) !== null, lastIndex: heard.get(id)?.lastIndex ?? null })),
    droppedNodes: lost.droppedNodes, lostVms: lost.lostVms, lostImages: lost.lostImages,
    notes: [
      loss ?? `Kept is all of this node's log, up to index ${status.lastIndex}; up to ${status.commit} it is known to be committed. Lost is whatever the other members acknowledged beyond ${status.lastIndex}.`,
      'Members that are dropped have to leave ("novacron cluster leave" on them) and join anew. Should they come back they are refused as soon as they reach this node, and take no part from then on; two of them that reach each other, but not this node, would go on as the former cluster.',
      ...(lost.lostVms.length === 0 ? [] : ['VMs of dropped members have no owner, and nothing starts them: begin each anew by "novacron vm recover NAME --host-is-off".']),
      ...(starting.length === 0 ? [] : [`VMs that this state has as running on ${node.name} start there at once, though one may run on another host by now, or was deleted: ${starting.slice(0, namesMax).join(', ')}${starting.length > namesMax ? ` and ${starting.length - namesMax} more (${starting.length} in all)` : ''}. Make sure beforehand that no other host runs them.`]),
    ],
  }
}

/** It answers, and nothing is amiss with its log. */
function isWhole(heard: HeardStatus | null | undefined): boolean {
  return heard !== null && heard !== undefined && heard.halted === null && !heard.troubles.some(({ type }) => losing.has(type))
}

/**
 * Its log begins behind the damage: what it had acknowledged before may be missing, and nobody can tell. That is for the operator to weigh against a backup.
 * @returns what may be lost, as a sentence. @throws STATE_CONFLICT
 */
function lossOf(member: Member, whole: string | null, acceptLoss: boolean): string {
  const { state } = member.node.cluster
  const { lastIndex } = member.node.cluster.status()
  const damage = 'The log of this node was damaged, and it has not got back all that it once had'
  if (whole !== null) throw refused(`${damage}. ${whole} answers, and its log is whole: recover the cluster there.`)
  if (state.tables.cluster.size === 0) throw refused(`${damage}; nothing of the state is left here. Recover the cluster on another member, or restore a backup.`)
  const at = new Date(state.timeMs).toISOString()
  if (!acceptLoss) throw refused(`${damage}: of what the cluster acknowledged after ${at}, the time of the last entry that is left here (index ${state.index}), any part may be missing. Recover the cluster on a member whose log is whole. If there is none, restore a newer backup, or say --accept-loss: it goes on with what is left here.`)
  return `Kept is what is left on this node, up to index ${lastIndex}, of ${at}. Its log was damaged: lost is whatever was acknowledged after that, by this node as well. VMs that were created, moved or deleted since are as they were then: look at each host beforehand.`
}

/** The member is closed. Everything up to one atomic step leaves the former cluster as it was. @throws LOG_DAMAGED, STATE_CONFLICT, STORAGE_FAILED */
export async function writeRecovered(host: Host, { acceptLoss }: Pick<Recovery, 'acceptLoss'>): Promise<Refounded> {
  const { nodeId } = host.identity
  const stores = await openStores(host)
  try {
    const { state, term, isDamaged } = await readToEnd(nodeId, stores, { acceptLoss })
    const refounded = orThrow(() => recoverCluster(state, nodeId as NodeId, { ...refoundingOf(host, term + 1), ...(acceptLoss ? { mayLack: true } : {}) }))
    await installSole(nodeId, state, { ...stores, isDamaged })
    return refounded
  } finally {
    await stores.logStore.close()
    await stores.stateStore.close()
  }
}

/** By name, sorted: what this node's controller brings up as soon as it leads. */
function startingVms(state: State, nodeId: string): readonly string[] {
  return vmsOnNode(state, nodeId as NodeId).filter((vm) => vm.spec.runState !== 'stopped' && !vm.deleting).map(({ name }) => name).toSorted()
}

function tryOut(host: Host, member: Member): Refounded {
  const copy = importState(exportState(member.node.cluster.state))
  return orThrow(() => recoverCluster(copy, host.identity.nodeId as NodeId, refoundingOf(host, copy.term + 1)))
}

function refoundingOf({ clock, random, config, identity }: Host, term: number): Refounding {
  const timeMs = clock.nowMs()
  return { term, timeMs, commandId: uuidV7(timeMs, random.bytes(10)), actor: { kind: 'system', id: identity.nodeId, name: `root of ${config.name}`, address: '' } }
}

async function statusOf(member: Member, nodeId: string): Promise<HeardStatus | null> {
  try {
    const body = await member.p2p.transport.request(nodeId, statusMethod, new Uint8Array(), { timeoutMs: answerTimeoutMs })
    return statusSchema.parse(JSON.parse(new TextDecoder().decode(body)))
  } catch {
    // Whatever the reason, it does not answer.
    return null
  }
}

function refused(why: string): OperationalError {
  return new OperationalError('STATE_CONFLICT', `${why} Nothing was changed.`)
}
