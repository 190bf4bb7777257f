// What speaks against the recovery of a cluster: whoever answers is asked first.
import { describe, expect, test } from 'vitest'
import type { ClusterStatus } from '../../../src/cluster/status.ts'
import { systemRandom } from '../../../src/drivers/crypto/random.ts'
import { systemClock } from '../../../src/drivers/host/clock.ts'
import type { Host, Member } from '../../../src/member.ts'
import type { NodeId, TokenId } from '../../../src/model/id.ts'
import { parseRecovery, planRecovery } from '../../../src/recover-cluster.ts'
import { stateHash } from '../../../src/state/state.ts'
import { announcement, World } from '../state/world.ts'

type Peer = { readonly lastIndex?: number; readonly halted?: string | null }

/** n1, a survivor whose log ends at 50, with voters n2…; each answers as told, or not at all. */
function survivor(peers: Readonly<Record<string, Peer | null>>, changes: Partial<ClusterStatus> = {}) {
  const world = new World()
  const { nodeId } = world.form()
  const ids = Object.keys(peers).map((name) => {
    const [id, tokenId] = [world.newId() as NodeId, world.newId() as TokenId]
    world.run('joinToken.create', { id: tokenId, secretHash: name, lifeSeconds: 60 })
    world.run('node.admit', { node: { id, name, peerId: `peer-${name}`, wrapKey: 'w', wrappedClusterKey: 'k' }, announcement: announcement(), joinTokenId: tokenId, joinSecretHash: name })
    return id
  })
  const status: Partial<ClusterStatus> = { nodeId, quorum: false, halted: null, divergence: null, troubles: [], term: 3, commit: 48, lastIndex: 50, configuration: { voters: [nodeId, ...ids], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false }, ...changes }
  const request = (to: string): Promise<Uint8Array> => {
    const peer = peers[world.state.tables.node.get(to)?.name ?? '']
    return peer === null || peer === undefined ? Promise.reject(new Error('silent')) : Promise.resolve(new TextEncoder().encode(JSON.stringify({ halted: null, lastIndex: 50, commit: 48, ...peer })))
  }
  const member = {
    node: { cluster: { state: world.state, status: () => status }, app: { lastQuorumMs: () => 1, freshness: () => ({ clusterName: 'test', node: { id: nodeId, name: 'n1' } }) } },
    p2p: { transport: { request } },
  } as unknown as Member
  const host = { identity: { nodeId }, config: { name: 'n1' }, clock: systemClock, random: systemRandom } as unknown as Host
  return { world, nodeId, plan: (options = { acceptLoss: false }) => planRecovery(host, member, options) }
}

describe('refused', () => {
  const conflict = (message: RegExp) => expect.objectContaining({ code: 'STATE_CONFLICT', message: expect.stringMatching(message) })
  test('while a leader is in touch', async () => {
    await expect(survivor({ n2: null, n3: null }, { quorum: true }).plan()).rejects.toEqual(conflict(/there is a quorum/))
  })
  test('while most voters answer, though none leads', async () => {
    await expect(survivor({ n2: {}, n3: null }).plan()).rejects.toEqual(conflict(/With n2 most voters answer/))
  })
  test('where another that answers has more', async () => {
    await expect(survivor({ n2: { lastIndex: 51 }, n3: null, n4: null, n5: null }).plan()).rejects.toEqual(conflict(/n2 has a longer log, up to index 51, and this node's ends at 50/))
  })
  test('on a node that takes no part itself', async () => {
    await expect(survivor({ n2: null, n3: null }, { halted: 'the log is damaged' }).plan()).rejects.toEqual(conflict(/takes no part: the log is damaged/))
  })
  test('on a node that doubts its state, or has not got back what it once had', async () => {
    await expect(survivor({ n2: null, n3: null }, { divergence: { phase: 'doubt', index: 9, hash: 'a', expected: 'b' } }).plan()).rejects.toEqual(conflict(/in doubt/))
    await expect(survivor({ n2: null, n3: null }, { troubles: [{ type: 'Resyncing', message: '', sinceMs: 1 }] }).plan()).rejects.toEqual(conflict(/any part may be missing.*--accept-loss.*Nothing was changed/))
    await expect(survivor({ n2: null, n3: null }, { troubles: [{ type: 'DiskFull', message: '', sinceMs: 1 }] }).plan()).resolves.toMatchObject({ dryRun: true })
  })
  test('without the word', () => {
    expect(() => parseRecovery({})).toThrow(expect.objectContaining({ code: 'INVALID' }))
    expect(() => parseRecovery({ othersAreOff: false })).toThrow(expect.objectContaining({ code: 'INVALID' }))
    expect(parseRecovery({ dryRun: true })).toEqual({ dryRun: true, acceptLoss: false })
    expect(parseRecovery({ othersAreOff: true, acceptLoss: true })).toEqual({ dryRun: false, acceptLoss: true })
  })
})

describe('not refused', () => {
  test('where a member answers that takes no part: its vote does not come', async () => {
    expect(await survivor({ n2: { halted: 'damaged', lastIndex: 99 }, n3: null }).plan()).toMatchObject({ members: [{ name: 'n2', answers: true }, { name: 'n3', answers: false, lastIndex: null }] })
  })
  test('the plan says what is kept, what is dropped and what may be lost, and changes nothing', async () => {
    const { world, plan } = survivor({ n2: null, n3: null })
    const before = stateHash(world.state)
    expect(await plan()).toMatchObject({ dryRun: true, epoch: 2, term: 3, lastIndex: 50, commit: 48, lastLeaderAt: '1970-01-01T00:00:00.001Z', droppedNodes: ['n2', 'n3'], notes: expect.arrayContaining([expect.stringContaining('beyond 50')]) })
    expect(stateHash(world.state)).toBe(before)
  })
})

describe('a survivor whose log was damaged', () => {
  const resyncing = { troubles: [{ type: 'Resyncing' as const, message: '', sinceMs: 1 }] }
  const damaged = { halted: 'The Raft log is damaged (gone).', troubles: [{ type: 'LogDamaged' as const, message: '', sinceMs: 1 }], configuration: { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false } }
  test.each([['that catches up', resyncing], ['that waits', damaged]])('%s goes on by word, and is told what may be lost', async (_what, trouble) => {
    expect(await survivor({ n2: null, n3: null }, trouble).plan({ acceptLoss: true })).toMatchObject({ mayLack: true, notes: expect.arrayContaining([expect.stringMatching(/^Kept is what is left on this node, up to index 50.*lost is whatever was acknowledged after that/)]) })
    await expect(survivor({ n2: null, n3: null }, trouble).plan()).rejects.toMatchObject({ code: 'STATE_CONFLICT' })
  })
  test('is told which VMs start at once; a long list ends in a count', async () => {
    const { world, nodeId, plan } = survivor({ n2: null, n3: null }, damaged)
    const noteOf = async () => (await plan({ acceptLoss: true })).notes.find((note) => note.includes('start there at once'))
    world.vm(nodeId, 'off')
    expect(await noteOf()).toBeUndefined()
    world.vm(nodeId, 'web', { runState: 'running' })
    world.vm(nodeId, 'db', { runState: 'paused' })
    expect(await noteOf()).toMatch(/^VMs that this state has as running on n1 start there at once.*: db, web\. Make sure/)
    for (let at = 10; at < 31; at++) world.vm(nodeId, `a${at}`, { runState: 'running' })
    expect(await noteOf()).toMatch(/: a10, .*, a29 and 3 more \(23 in all\)\. Make sure/)
  })
  test('is not told of them where nothing is missing: they run already', async () => {
    const { world, nodeId, plan } = survivor({ n2: null, n3: null })
    world.vm(nodeId, 'web', { runState: 'running' })
    expect((await plan()).notes.join()).not.toMatch(/at once/)
  })
  test('is not recovered while a member whose log is whole answers', async () => {
    await expect(survivor({ n2: {}, n3: null, n4: null, n5: null }, damaged).plan({ acceptLoss: true })).rejects.toThrow(/n2 answers, and its log is whole: recover the cluster there/)
  })
  test('is not recovered where nothing is left of the state', async () => {
    const { world, plan } = survivor({ n2: null, n3: null }, damaged)
    world.state.tables.cluster.clear()
    await expect(plan({ acceptLoss: true })).rejects.toThrow(/nothing of the state is left here.*restore a backup/)
  })
})
