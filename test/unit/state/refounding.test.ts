// A state goes on with one node: from a backup, and as the survivor of a lost quorum.
import { describe, expect, test } from 'vitest'
import { EpochGuard } from '../../../src/drivers/epoch-guard.ts'
import type { NodeId, TokenId } from '../../../src/model/id.ts'
import { epochJump, indexJump, recoverCluster, restoreCluster, type Refounding } from '../../../src/state/refounding.ts'
import { exportState, importState, stateHash } from '../../../src/state/state.ts'
import { memoryLocalStore } from '../../contract/memory.ts'
import { announcement, startMs, World } from './world.ts'

const refounding: Refounding = { term: 9, timeMs: startMs + 60_000, actor: { kind: 'system', id: 'n', name: 'root of new', address: '' }, commandId: 'c' }

/** n1 with a running VM and the only copy of an image, n2 with a VM, n3 with none. */
function three() {
  const world = new World()
  const { nodeId: n1, adminId } = world.form()
  const join = (name: string): NodeId => {
    const [id, tokenId] = [world.newId() as NodeId, world.newId() as TokenId]
    world.run('joinToken.create', { id: tokenId, secretHash: `h-${name}`, lifeSeconds: 60 })
    const admitted = world.outcome('node.admit', { node: { id, name, peerId: `peer-${name}`, wrapKey: 'w', wrappedClusterKey: 'k' }, announcement: announcement(), joinTokenId: tokenId, joinSecretHash: `h-${name}` })
    expect(admitted).toBe('done')
    return id
  }
  const [n2, n3] = [join('n2'), join('n3')]
  world.image(n1)
  const vms = { one: world.vm(n1, 'one', { runState: 'running' }), two: world.vm(n2, 'two') }
  world.report(vms.one, n1, 'running')
  return { world, state: world.state, adminId, n1, n2, n3, vms }
}

describe('a survivor goes on', () => {
  test('alone, at a new epoch; the VMs of the others have no owner, its own stay', () => {
    const { state, n1, n2, n3, vms } = three()
    const before = state.index
    const lost = recoverCluster(state, n1, refounding)
    expect(lost).toMatchObject({ droppedNodes: ['n2', 'n3'], lostVms: ['two'], lostImages: [], index: state.index })
    expect(state.index).toBeGreaterThan(before + indexJump)
    expect([...state.tables.node.keys()]).toEqual([n1])
    expect([n2, n3].map((id) => state.tables.formerNode.get(id))).toMatchObject([{ name: 'n2', peerId: 'peer-n2', epoch: 2 }, { name: 'n3', epoch: 2 }])
    expect(state.tables.cluster.get('cluster')).toMatchObject({ epoch: 2, jump: { fromIndex: before, toIndex: before + indexJump + 1 } })
    expect(state.tables.vm.get(vms.one)).toMatchObject({ assignment: { nodeId: n1, epoch: 1 } })
    expect(state.tables.vm.get(vms.two)).toMatchObject({ assignment: null, lost: { nodeId: n2, node: 'n2', epoch: 2 + epochJump } })
  })
  test('what its own VMs are given next is beyond what the former cluster may have given', () => {
    const { state, n1, vms } = three()
    recoverCluster(state, n1, refounding)
    expect(state.tables.vm.get(vms.one)).toMatchObject({ assignment: { epoch: 1 }, epochSpent: 1 + epochJump })
    recoverCluster(state, n1, { ...refounding, term: 10 })
    expect(state.tables.vm.get(vms.one)).toMatchObject({ assignment: { epoch: 1 }, epochSpent: 1 + 2 * epochJump })
    expect(stateHash(importState(exportState(state)))).toBe(stateHash(state))
  })
  test('from a copy that may lack something: a VM that came back to it in the lost tail is not locked out', async () => {
    const { world, state, n1, vms } = three()
    const guard = new EpochGuard(memoryLocalStore())
    // It went to n2 and came back; of both this state knows nothing.
    await guard.admit(vms.one, 3, async () => {})
    recoverCluster(state, n1, { ...refounding, mayLack: true })
    const { assignment, epochSpent } = state.tables.vm.get(vms.one)!
    expect(assignment).toEqual({ nodeId: n1, epoch: 1 + epochJump })
    expect(epochSpent).toBe(assignment?.epoch)
    expect(await guard.admit(vms.one, assignment!.epoch, async () => 'booted')).toBe('booted')
    expect(world.report(vms.one, n1, 'running', assignment!.epoch)).toBe('done')
  })
  test('it is in the audit and in the events, and the state is whole', () => {
    const { state, n1 } = three()
    recoverCluster(state, n1, refounding)
    expect([...state.tables.audit.values()].at(-1)).toMatchObject({ command: 'cluster.recover', target: 'n1', actor: { name: 'root of new' }, detail: expect.stringContaining('without n2, n3') })
    expect([...state.tables.event.values()].at(-1)).toMatchObject({ reason: 'cluster.recovered', kind: 'cluster' })
    expect(stateHash(importState(exportState(state)))).toBe(stateHash(state))
  })
  test('twice: the epoch rises, nobody is dropped again', () => {
    const { state, n1 } = three()
    recoverCluster(state, n1, refounding)
    expect(recoverCluster(state, n1, { ...refounding, term: 10 }).droppedNodes).toEqual([])
    expect(state.tables.cluster.get('cluster')).toMatchObject({ epoch: 3 })
    expect(state.term).toBe(10)
  })
  test('not where it is no member, nor where it was being removed', () => {
    const { world, state, n1, n2 } = three()
    expect(() => recoverCluster(state, world.newId() as NodeId, refounding)).toThrow(/not in the state/)
    world.run('node.remove', { id: n2, force: true })
    expect(() => recoverCluster(state, n2, refounding)).toThrow(/was being removed/)
    expect(state.tables.node.has(n1)).toBe(true)
  })
  test('a dropped member cannot join under its old key', () => {
    const { world, state, n1, n2 } = three()
    recoverCluster(state, n1, refounding)
    const tokenId = world.newId() as TokenId
    world.run('joinToken.create', { id: tokenId, secretHash: 'again', lifeSeconds: 60 })
    const again = (id: NodeId, peerId: string) => world.outcome('node.admit', { node: { id, name: 'n2', peerId, wrapKey: 'w', wrappedClusterKey: 'k' }, announcement: announcement(), joinTokenId: tokenId, joinSecretHash: 'again' })
    expect(again(n2, 'peer-n2')).toBe('NODE_REMOVED')
    expect(again(world.newId() as NodeId, 'peer-new')).toBe('done')
  })
})

describe('a backup becomes another cluster', () => {
  const restored = (world: World) => ({
    clusterId: 'other-cluster', clusterName: 'atlas', caCertificate: 'ca2', caKeySealed: 's2', sessionKeySealed: 's3',
    node: { id: world.newId() as NodeId, name: 'n1', peerId: 'peer-new', wrapKey: 'w', wrappedClusterKey: 'k' },
  })
  test('people and VMs are as they were; nobody owns a VM, nobody has an image', () => {
    const { world, state, adminId, n1, vms } = three()
    const about = restored(world)
    const lost = restoreCluster(state, about, refounding)
    expect(lost).toMatchObject({ droppedNodes: ['n1', 'n2', 'n3'], lostVms: ['one', 'two'], lostImages: ['tiny'] })
    expect([...state.tables.node.values()]).toMatchObject([{ id: about.node.id, name: 'n1', wrappedClusterKey: 'k', announcement: null }])
    expect(state.names.get('node//n1')).toBe(about.node.id)
    expect(state.tables.user.get(adminId)).toMatchObject({ name: 'admin', passwordHash: 'hash' })
    expect(state.tables.token.size).toBe(1)
    expect(state.tables.cluster.get('cluster')).toMatchObject({ id: 'other-cluster', name: 'atlas', caCertificate: 'ca2', caKeySealed: 's2', epoch: 2 })
    expect(state.tables.vm.get(vms.one)).toMatchObject({ spec: { runState: 'running' }, assignment: null, lost: { nodeId: n1, epoch: 2 + epochJump }, report: { phase: 'unknown' } })
    expect(stateHash(importState(exportState(state)))).toBe(stateHash(state))
  })
  test('not on a host that is a member in it, or was one: VMs that run elsewhere by now would be its own', () => {
    const { world, state, n1, n2 } = three()
    world.run('node.remove', { id: n2, force: true })
    world.run('node.forget', { id: n2 })
    expect(state.tables.formerNode.has(n2)).toBe(true)
    const before = stateHash(state)
    const { node, ...about } = restored(world)
    for (const known of [{ id: n1 }, { id: n2 }, { peerId: 'peer-n1' }, { peerId: 'peer-n2' }]) {
      expect(() => restoreCluster(state, { ...about, node: { ...node, ...known } }, refounding), JSON.stringify(known)).toThrow(/This host is n[12] in the backup/)
    }
    expect(stateHash(state)).toBe(before)
  })
  test('join tokens are void; the former members are not told that they were dismissed', () => {
    const { world, state, n2 } = three()
    restoreCluster(state, restored(world), refounding)
    expect(state.tables.joinToken.size).toBe(0)
    expect(state.tables.formerNode.get(n2)).not.toHaveProperty('epoch')
  })
  test('a VM without an owner begins anew at an epoch that the former cluster has not given', () => {
    const { world, state, vms } = three()
    const about = restored(world)
    restoreCluster(state, about, refounding)
    world.run('node.announce', { id: about.node.id, announcement: announcement() })
    expect(world.outcome('vm.recover', { id: vms.two, nodeId: about.node.id, formerNodeId: null, loseDisks: false })).toBe('done')
    expect(state.tables.vm.get(vms.two)?.assignment).toEqual({ nodeId: about.node.id, epoch: 3 + epochJump })
  })
})
