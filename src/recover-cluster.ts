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
import { recoverCluster, type Refounded, type Refounding } from './state/refounding.ts'
import { exportState, importState } from './state/state.ts'

const recoverSchema = z.strictObject({ othersAreOff: z.literal(true).optional(), dryRun: z.boolean().default(false) })
const statusSchema = z.object({ halted: z.string().nullable(), lastIndex: z.number(), commit: z.number() })
const answerTimeoutMs = 2_000

/** @throws INVALID */
export function parseRecovery(body: unknown): { readonly dryRun: boolean } {
  const { othersAreOff, dryRun } = parseInput(recoverSchema, body)
  if (!dryRun && othersAreOff !== true) throw new OperationalError('INVALID', 'Say that all other members are off and stay off: nothing else keeps them from going on as the former cluster.', { data: { fields: [{ path: 'othersAreOff', message: 'must be true' }] } })
  return { dryRun }
}

/** @throws STATE_CONFLICT where a quorum answers, this node takes no part or is not known to have what it acknowledged, or another survivor has more */
export async function planRecovery(host: Host, member: Member): Promise<RecoverAnswer> {
  const { cluster, app } = member.node
  const status = cluster.status()
  if (status.halted !== null) throw refused(`This node takes no part: ${status.halted}.`)
  if (status.divergence !== null) throw refused("This node is in doubt whether its state is the cluster's. Recover the cluster on another node, or restore a backup.")
  // Its log begins behind the damage: what it had acknowledged before may be missing, and nobody could tell.
  if (status.troubles.some(({ type }) => type === 'Resyncing')) throw refused('This node catches up after damage to its log, and has not got back yet all that it once had. Recover the cluster on another node, or restore a backup.')
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
  const { clusterName, node } = app.freshness()
  const lastQuorumMs = app.lastQuorumMs()
  // A look at a copy: entries beyond what is applied are not in it.
  const lost = tryOut(host, member)
  const isVoter = (id: string) => voters.includes(id) || votersOutgoing.includes(id)
  return {
    dryRun: true, clusterName, node: node.name, epoch: epochOf(cluster.state.tables.cluster.get('cluster')) + 1,
    term: status.term, lastIndex: status.lastIndex, commit: status.commit,
    lastLeaderAt: lastQuorumMs === null ? null : new Date(lastQuorumMs).toISOString(), lastEntryAt: new Date(cluster.state.timeMs).toISOString(),
    members: others.map(({ id, name }) => ({ name, voter: isVoter(id), answers: heard.get(id) !== null, lastIndex: heard.get(id)?.lastIndex ?? null })),
    droppedNodes: lost.droppedNodes, lostVms: lost.lostVms, lostImages: lost.lostImages,
    notes: [
      `Kept is all of this node's log, up to index ${status.lastIndex}; up to ${status.commit} it is known to be committed. Lost is whatever the other members acknowledged beyond ${status.lastIndex}.`,
      'Members that are dropped have to leave ("novacron cluster leave" on them) and join anew. Should they come back they are refused as soon as they reach this node, and take no part from then on; two of them that reach each other, but not this node, would go on as the former cluster.',
      ...(lost.lostVms.length === 0 ? [] : ['VMs of dropped members have no owner, and nothing starts them: begin each anew by "novacron vm recover NAME --host-is-off".']),
    ],
  }
}

/** The member is closed. Everything up to one atomic step leaves the former cluster as it was. @throws LOG_DAMAGED, STATE_CONFLICT, STORAGE_FAILED */
export async function writeRecovered(host: Host): Promise<Refounded> {
  const { nodeId } = host.identity
  const stores = await openStores(host)
  try {
    const { state, term } = await readToEnd(nodeId, stores)
    const refounded = orThrow(() => recoverCluster(state, nodeId as NodeId, refoundingOf(host, term + 1)))
    await installSole(nodeId, state, stores)
    return refounded
  } finally {
    await stores.logStore.close()
    await stores.stateStore.close()
  }
}

function tryOut(host: Host, member: Member): Refounded {
  const copy = importState(exportState(member.node.cluster.state))
  return orThrow(() => recoverCluster(copy, host.identity.nodeId as NodeId, refoundingOf(host, copy.term + 1)))
}

function refoundingOf({ clock, random, config, identity }: Host, term: number): Refounding {
  const timeMs = clock.nowMs()
  return { term, timeMs, commandId: uuidV7(timeMs, random.bytes(10)), actor: { kind: 'system', id: identity.nodeId, name: `root of ${config.name}`, address: '' } }
}

async function statusOf(member: Member, nodeId: string): Promise<z.output<typeof statusSchema> | null> {
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
