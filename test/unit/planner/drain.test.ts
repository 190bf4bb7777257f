// A drain's plan: each VM is counted where it went, as the drain itself will find it; the state it was made from stays as it was.
import { expect, test } from 'vitest'
import type { NodeId, TokenId } from '../../../src/model/id.ts'
import { planDrain } from '../../../src/planner/drain.ts'
import { exportState, stateHash } from '../../../src/state/state.ts'
import { World, announcement } from '../state/world.ts'

function threeNodes() {
  const world = new World()
  const { nodeId } = world.form()
  const join = (name: string) => {
    const [id, token] = [world.newId() as NodeId, world.newId() as TokenId]
    world.run('joinToken.create', { id: token, secretHash: name, lifeSeconds: 60 })
    world.run('node.admit', { node: { id, name, peerId: `p-${name}`, wrapKey: 'w', wrappedClusterKey: 'k' }, announcement: announcement({ capacity: { cpus: 8, memoryMiB: 1024, storageBytes: 2 ** 40 } }), joinTokenId: token, joinSecretHash: name })
    return id
  }
  return { world, n1: nodeId, n2: join('n2'), n3: join('n3') }
}

test('room, and whom a VM keeps away from, are counted as the plan goes on', () => {
  const { world, n1, n2, n3 } = threeNodes()
  const ready = new Set<string>([n1, n2, n3])
  const apart = { runState: 'running', placement: { antiAffinity: [{ label: 'tier=db', required: true }] } }
  const ids = ['a', 'b', 'c'].map((name) => world.vm(n1, name, { memoryMiB: 512, runState: 'running' }))
  for (const id of ids) world.run('vm.patch', { id, patch: { labels: { tier: 'db' } }, seed: '00112233445566ff' })
  for (const id of ids.slice(1)) world.run('vm.patch', { id, patch: { spec: apart }, seed: '00112233445566ff' })
  const before = [stateHash(world.state), structuredClone(world.state.usage), structuredClone(world.state.vmIdsByNode), exportState(world.state).records.length]
  const plan = planDrain(world.state, n1, ready)
  expect(plan.map(({ vm, nodeId }) => [vm.name, nodeId])).toEqual([['a', n2], ['b', n3], ['c', null]])
  expect(plan.at(-1)?.reason).toBe('n2 runs a, which carries tier=db, n3 runs b, which carries tier=db')
  expect([stateHash(world.state), world.state.usage, world.state.vmIdsByNode, exportState(world.state).records.length]).toEqual(before)
})

test('what is on its way goes where it goes; a wish for the node itself does not count', () => {
  const { world, n1, n2, n3 } = threeNodes()
  const web = world.vm(n1, 'web', { runState: 'running' })
  world.report(web, n1, 'running')
  world.run('vm.migrate', { id: web, operationId: world.newId() as never, targetNodeId: n3, bandwidthMiBps: null, force: false })
  world.vm(n1, 'wish', { placement: { node: 'n1' } })
  expect(planDrain(world.state, n1, new Set<string>([n1, n2, n3])).map(({ vm, nodeId, reason }) => [vm.name, nodeId, reason])).toEqual([['web', n3, 'is on its way there'], ['wish', n2, 'most memory free (1024 MiB) of 2 that fit']])
  expect(planDrain(world.state, n1, new Set<string>([n1])).map(({ nodeId }) => nodeId)).toEqual([n3, null])
})

test('a wish for a node that takes it not holds no VM back', () => {
  const { world, n1, n2, n3 } = threeNodes()
  world.vm(n1, 'web', { placement: { node: 'n3' } })
  const ready = new Set<string>([n1, n2, n3])
  expect(planDrain(world.state, n1, ready)).toMatchObject([{ nodeId: n3, reason: 'named in the spec' }])
  world.run('node.drain', { id: n3, operationId: world.newId() as never, concurrency: 1 })
  expect(planDrain(world.state, n1, ready)).toMatchObject([{ nodeId: n2 }])
})
