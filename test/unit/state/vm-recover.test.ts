// A VM of a dead host begins anew elsewhere: once, with a higher epoch, and never by mistake.
import { expect, test } from 'vitest'
import type { NodeId, TokenId } from '../../../src/model/id.ts'
import { announcement, World } from './world.ts'

function twoNodes() {
  const world = new World()
  const { nodeId: dead } = world.form()
  const [joinTokenId, other] = [world.newId() as TokenId, world.newId() as NodeId]
  world.run('joinToken.create', { id: joinTokenId, secretHash: 's', lifeSeconds: 60 })
  world.run('node.admit', { node: { id: other, name: 'n2', peerId: 'p', wrapKey: 'w', wrappedClusterKey: 'k' }, announcement: announcement(), joinTokenId, joinSecretHash: 's' })
  for (const holder of [dead, other]) world.image(holder)
  return { world, dead, other }
}
const root = { disks: [{ name: 'root', image: 'tiny' }], runState: 'running' }

test('it gets another owner at a higher epoch, its disks begin anew, and its operation is over', () => {
  const { world, dead, other } = twoNodes()
  const id = world.vm(dead, 'web', root)
  world.report(id, dead, 'running')
  const { operationId } = world.act(id, 'stop')
  expect(world.outcome('vm.recover', { id, nodeId: other, formerNodeId: dead, loseDisks: false })).toBe('done')
  const vm = world.state.tables.vm.get(id)!
  expect(vm).toMatchObject({ assignment: { nodeId: other, epoch: 2 }, operationId: null, report: { phase: 'pending', madeDisks: [] } })
  expect(world.state.tables.operation.get(operationId)).toMatchObject({ state: 'cancelled' })
  // The former host's word does not count any more, whatever it says when it is back.
  expect(world.report(id, dead, 'running', 1)).toBe('EPOCH_STALE')
  expect(world.report(id, other, 'running', 2)).toBe('done')
  expect([...world.state.vmIdsByNode.get(dead) ?? []]).toEqual([])
})

test('two operators who recover it at once: the second is refused', () => {
  const { world, dead, other } = twoNodes()
  const id = world.vm(dead, 'web', root)
  expect(world.outcome('vm.recover', { id, nodeId: other, formerNodeId: dead, loseDisks: false })).toBe('done')
  expect(world.outcome('vm.recover', { id, nodeId: dead, formerNodeId: dead, loseDisks: false })).toBe('STATE_CONFLICT')
})

test('not to where it is, not while it is deleted, not without a word about disks that would begin empty', () => {
  const { world, dead, other } = twoNodes()
  const id = world.vm(dead, 'web', { ...root, disks: [...root.disks, { name: 'data', sizeGiB: 1 }] })
  expect(world.outcome('vm.recover', { id, nodeId: dead, formerNodeId: dead, loseDisks: true })).toBe('STATE_CONFLICT')
  const refused = world.result('vm.recover', { id, nodeId: other, formerNodeId: dead, loseDisks: false })
  expect(refused).toMatchObject({ kind: 'refused', message: expect.stringContaining('Disk data of web') })
  world.act(id, 'delete', true)
  expect(world.outcome('vm.recover', { id, nodeId: other, formerNodeId: dead, loseDisks: true })).toBe('STATE_CONFLICT')
})

test('only where it fits', () => {
  const { world, dead, other } = twoNodes()
  const id = world.vm(dead, 'big', { ...root, memoryMiB: 4096 })
  world.run('node.announce', { id: other, announcement: announcement({ capacity: { cpus: 1, memoryMiB: 1024, storageBytes: 2 ** 40 } }) })
  expect(world.outcome('vm.recover', { id, nodeId: other, formerNodeId: dead, loseDisks: false })).toBe('NO_FIT')
  expect(world.state.tables.vm.get(id)?.assignment).toEqual({ nodeId: dead, epoch: 1 })
})
