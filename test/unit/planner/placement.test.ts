// Where a VM goes: fit, wishes, neighbours it keeps away from, and the reasons told.
import { describe, expect, test } from 'vitest'
import type { NodeId, OperationId, TokenId } from '../../../src/model/id.ts'
import type { Labels } from '../../../src/model/resource.ts'
import { vmSpecSchema, type VmSpec } from '../../../src/model/vm.ts'
import { planPlacement } from '../../../src/planner/placement.ts'
import { World, announcement } from '../state/world.ts'

describe('placement', () => {
  function twoNodes() {
    const world = new World()
    const { nodeId } = world.form()
    const token = world.newId() as TokenId
    world.run('joinToken.create', { id: token, secretHash: 's', lifeSeconds: 60 })
    const second = world.newId() as NodeId
    world.run('node.admit', {
      node: { id: second, name: 'n2', peerId: 'p', wrapKey: 'w', wrappedClusterKey: 'k' }, announcement: announcement(), joinTokenId: token, joinSecretHash: 's',
    })
    world.image(nodeId)
    return { world, nodeId, second, ready: new Set<string>([nodeId, second]) }
  }
  const spec = (input: Record<string, unknown>) => vmSpecSchema.parse({ cpus: 1, memoryMiB: 512, runState: 'running', ...input })

  const toPlace = (wish: VmSpec, labels: Labels = {}) => ({ spec: wish, project: 'default', labels, vmId: '' })

  test('the named node, else the one with the most memory free', () => {
    const { world, nodeId, second, ready } = twoNodes()
    expect(planPlacement(world.state, toPlace(spec({ placement: { node: 'n2' } })), ready)).toMatchObject({ nodeId: second })
    expect(planPlacement(world.state, toPlace(spec({})), ready)).toMatchObject({ nodeId })
    world.vm(nodeId, 'web', { runState: 'running' })
    expect(planPlacement(world.state, toPlace(spec({})), ready)).toMatchObject({ nodeId: second })
  })

  test('stopped VMs, which take no memory, are spread by their number', () => {
    const { world, nodeId, second, ready } = twoNodes()
    const stopped = spec({ runState: 'stopped' })
    const chosen = Array.from({ length: 6 }, (_, at) => {
      const placed = planPlacement(world.state, toPlace(stopped), ready)
      if (placed.kind !== 'placed') throw new Error('fits nowhere')
      world.vm(placed.nodeId as NodeId, `idle-${at}`, { runState: 'stopped' })
      return placed.nodeId
    })
    expect(chosen.filter((id) => id === nodeId)).toHaveLength(3)
    expect(chosen.filter((id) => id === second)).toHaveLength(3)
  })

  test('only nodes that are in touch and hold the image; every reason is told', () => {
    const { world, nodeId, second, ready } = twoNodes()
    const withImage = spec({ disks: [{ name: 'root', image: 'tiny' }] })
    expect(planPlacement(world.state, toPlace(withImage), ready)).toMatchObject({ nodeId })
    expect(planPlacement(world.state, toPlace(withImage), new Set<string>([second]))).toMatchObject({
      kind: 'noFit', reasons: [{ node: 'n1', reason: 'is not in touch' }, { node: 'n2', reason: 'does not hold image tiny' }],
    })
  })

  test('a node that takes no new VMs is left out unless it is named', () => {
    const { world, nodeId, second, ready } = twoNodes()
    world.run('node.update', { id: nodeId, spec: { schedulable: false } })
    expect(planPlacement(world.state, toPlace(spec({})), ready)).toMatchObject({ nodeId: second })
    expect(planPlacement(world.state, toPlace(spec({ placement: { node: 'n1' } })), ready)).toMatchObject({ nodeId })
  })

  test('pack takes the fullest node that suffices', () => {
    const { world, nodeId, ready } = twoNodes()
    world.vm(nodeId, 'web', { runState: 'running' })
    const placed = planPlacement(world.state, toPlace(spec({ placement: { strategy: 'pack' } })), ready)
    expect(placed).toMatchObject({ kind: 'placed', nodeId, reason: expect.stringContaining('least memory free that suffices') })
    expect(placed.considered.map((each) => [each.node, each.fits])).toEqual([['n1', true], ['n2', true]])
  })

  test('a required anti-affinity keeps off, either way round; a soft one only weighs', () => {
    const { world, nodeId, second, ready } = twoNodes()
    const loner = world.vm(nodeId, 'db1', { runState: 'running' })
    world.run('vm.patch', { id: loner, patch: { labels: { tier: 'db' } }, seed: '00112233445566ff' })
    const never = spec({ placement: { antiAffinity: [{ label: 'tier=db', required: true }] } })
    expect(planPlacement(world.state, toPlace(never), ready)).toMatchObject({ nodeId: second })
    expect(planPlacement(world.state, toPlace(never), new Set([nodeId as string]))).toMatchObject({
      kind: 'noFit', reasons: [{ node: 'n1', reason: 'runs db1, which carries tier=db' }, { node: 'n2', reason: 'is not in touch' }],
    })
    const rather = spec({ placement: { strategy: 'pack', antiAffinity: [{ label: 'tier=db' }] } })
    expect(planPlacement(world.state, toPlace(rather), ready)).toMatchObject({ nodeId: second, reason: expect.stringContaining('fewest VMs it had rather not be with') })
    expect(planPlacement(world.state, toPlace(rather), new Set([nodeId as string]))).toMatchObject({ nodeId })
    world.run('vm.patch', { id: loner, patch: { spec: { placement: { antiAffinity: [{ label: 'noisy=yes', required: true }] } } }, seed: '00112233445566ff' })
    expect(planPlacement(world.state, toPlace(spec({}), { noisy: 'yes' }), new Set([nodeId as string]))).toMatchObject({ kind: 'noFit' })
  })

  test('what leaves a node is not placed there, even where its spec names it', () => {
    const { world, nodeId, second, ready } = twoNodes()
    expect(planPlacement(world.state, { ...toPlace(spec({ placement: { node: 'n1' } })), leaving: nodeId }, ready)).toMatchObject({ nodeId: second })
  })

  test('a node that is being drained takes nothing, not even what names it', () => {
    const { world, nodeId, ready } = twoNodes()
    const operationId = world.newId() as OperationId
    world.run('node.drain', { id: nodeId, operationId, concurrency: 1 })
    const wished = () => planPlacement(world.state, toPlace(spec({ placement: { node: 'n1' } })), ready)
    expect(wished()).toMatchObject({ kind: 'noFit', reasons: [{ node: 'n1', reason: 'is being drained' }] })
    world.run('operation.cancel', { id: operationId })
    expect(wished()).toMatchObject({ kind: 'noFit', reasons: [{ node: 'n1', reason: 'is drained and takes no VMs until it is opened again' }] })
  })
})
