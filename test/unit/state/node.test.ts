// Apply of nodes that go or change their name: what is refused, what stays known, who is refused for ever.
import { describe, expect, test } from 'vitest'
import type { NodeId, TokenId } from '../../../src/model/id.ts'
import { bringOf } from '../../../src/state/bring.ts'
import { exportState, importState, stateHash } from '../../../src/state/state.ts'
import { World, announcement } from './world.ts'

function three() {
  const world = new World()
  const { nodeId } = world.form()
  const join = (name: string, peerId = `peer-${name}`, id = world.newId() as NodeId) => {
    const token = world.newId() as TokenId
    world.run('joinToken.create', { id: token, secretHash: 's', lifeSeconds: 60 })
    const outcome = world.outcome('node.admit', { node: { id, name, peerId, wrapKey: 'w', wrappedClusterKey: 'k' }, announcement: announcement(), joinTokenId: token, joinSecretHash: 's' })
    return { id, outcome }
  }
  return { world, nodeId, second: join('n2').id, third: join('n3').id, join }
}

describe('a node is removed', () => {
  test('marked first, forgotten then; images it held are held elsewhere', () => {
    const { world, nodeId, second } = three()
    const image = world.image(nodeId)
    world.run('image.register', { ...imageOf(world), holder: second })
    expect(world.state.tables.image.get(image)?.holders).toEqual([nodeId, second])
    expect(world.outcome('node.forget', { id: second })).toBe('STATE_CONFLICT')
    expect(world.outcome('node.remove', { id: second, force: false })).toBe('done')
    expect(world.state.tables.node.get(second)).toMatchObject({ leaving: { actor: 'admin', force: false }, spec: { schedulable: false } })
    expect(world.outcome('node.forget', { id: second })).toBe('done')
    expect(world.outcome('node.forget', { id: second })).toBe('done')
    expect(world.state.tables.node.has(second)).toBe(false)
    expect(world.state.tables.image.get(image)?.holders).toEqual([nodeId])
    expect([...world.state.tables.event.values()].slice(-1)).toMatchObject([{ kind: 'node', name: 'n2', reason: 'node.removed', actor: 'admin' }])
  })

  test('a wish for a node that is gone goes with it: the VM can be edited as before', () => {
    const { world, nodeId, second } = three()
    const id = world.vm(nodeId, 'web', { placement: { node: 'n1', strategy: 'pack' } })
    world.run('node.remove', { id: nodeId, force: true })
    world.run('node.forget', { id: nodeId })
    expect(world.state.tables.vm.get(id)).toMatchObject({ assignment: null, spec: { placement: { strategy: 'pack' } } })
    expect(world.state.tables.vm.get(id)?.spec.placement.node).toBeUndefined()
    expect(world.outcome('vm.patch', { id, patch: { labels: { tier: 'front' } }, seed: '0011223344556677' })).toBe('done')
    expect(world.outcome('vm.recover', { id, nodeId: second, formerNodeId: null, loseDisks: false })).toBe('done')
  })

  test('not while it has VMs: they are named, with what to do', () => {
    const { world, second } = three()
    world.vm(second, 'web')
    world.vm(second, 'db')
    const result = world.result('node.remove', { id: second, force: false })
    expect(result).toMatchObject({ kind: 'refused', code: 'IN_USE' })
    expect(result.kind === 'refused' && result.message).toMatch(/n2 has 2 VMs: db, web\. Drain it first/)
    expect(world.state.tables.node.get(second)?.leaving).toBeUndefined()
  })

  test('nothing is placed on it meanwhile', () => {
    const { world, second } = three()
    world.run('node.remove', { id: second, force: false })
    expect(world.outcome('vm.create', world.vmPayload(second, 'late'))).toBe('NO_FIT')
  })

  test('the last one stays, also while all others are leaving', () => {
    const { world, nodeId, second, third } = three()
    world.run('node.remove', { id: second, force: false })
    world.run('node.remove', { id: third, force: false })
    expect(world.outcome('node.remove', { id: nodeId, force: true })).toBe('STATE_CONFLICT')
  })

  test('its key and id are refused for ever, its name is free', () => {
    const { world, second, join } = three()
    world.run('node.remove', { id: second, force: false })
    world.run('node.forget', { id: second })
    expect(join('n4', 'peer-n2').outcome).toBe('NODE_REMOVED')
    expect(join('n4', 'peer-new', second).outcome).toBe('NODE_REMOVED')
    expect(join('n2', 'peer-new').outcome).toBe('done')
  })
})

describe('a dead node is removed by force', () => {
  test('its VMs stay known, without an owner, at an epoch it never had; it is not heard any more', () => {
    const { world, second } = three()
    const web = world.vm(second, 'web', { runState: 'running' })
    world.report(web, second, 'running')
    const stopping = world.act(web, 'stop').operationId
    expect(world.outcome('node.remove', { id: second, force: true })).toBe('done')
    const vm = world.state.tables.vm.get(web)
    expect(vm).toMatchObject({ assignment: null, operationId: null, lost: { nodeId: second, node: 'n2', epoch: 2 }, report: { phase: 'unknown' } })
    expect(world.state.tables.operation.get(stopping)).toMatchObject({ state: 'failed', error: { code: 'NODE_REMOVED' } })
    expect(world.report(web, second, 'running')).toBe('EPOCH_STALE')
    expect(world.state.vmIdsByNode.get(second)?.size ?? 0).toBe(0)
  })

  test('they can be deleted, at once, and nothing else', () => {
    const { world, second } = three()
    const web = world.vm(second, 'web', { runState: 'running', disks: [{ name: 'root', sizeGiB: 1 }] })
    world.run('node.remove', { id: second, force: true })
    world.run('node.forget', { id: second })
    for (const action of ['start', 'stop', 'restart', 'pause', 'resume', 'reset'] as const) expect(world.act(web, action).outcome).toBe('STATE_CONFLICT')
    const { outcome, operationId } = world.act(web, 'delete')
    expect(outcome).toBe('done')
    expect(world.state.tables.vm.has(web)).toBe(false)
    expect(world.state.tables.operation.get(operationId)).toMatchObject({ state: 'done', error: null })
  })

  test('force takes over a removal that waits', () => {
    const { world, second } = three()
    world.run('node.remove', { id: second, force: false })
    expect(world.outcome('node.remove', { id: second, force: true })).toBe('done')
    expect(world.state.tables.node.get(second)?.leaving?.force).toBe(true)
  })
})

describe('a node is renamed', () => {
  test('VMs that wish for it follow; the old name is free', () => {
    const { world, nodeId, second, join } = three()
    const web = world.vm(second, 'web', { placement: { node: 'n2' } })
    const other = world.vm(nodeId, 'db', { placement: { node: 'n1' } })
    const before = world.state.tables.vm.get(web)!
    expect(world.outcome('node.rename', { id: second, name: 'berlin' })).toBe('done')
    expect(world.state.tables.node.get(second)?.name).toBe('berlin')
    expect(world.state.tables.vm.get(web)).toMatchObject({ spec: { placement: { node: 'berlin' } }, generation: before.generation, assignment: { nodeId: second, epoch: 1 } })
    expect(world.state.tables.vm.get(other)?.spec.placement.node).toBe('n1')
    expect(join('n2', 'peer-other').outcome).toBe('done')
  })

  test('not to a name that is taken, nor at a stale revision', () => {
    const { world, second } = three()
    expect(world.outcome('node.rename', { id: second, name: 'n1' })).toBe('NAME_TAKEN')
    expect(world.outcome('node.rename', { id: second, name: 'n9', revision: 1 })).toBe('REVISION_STALE')
    expect(world.outcome('node.rename', { id: second, name: 'n9', ifMatch: 1 })).toBe('PRECONDITION_FAILED')
  })
})

describe('a host brings what it has', () => {
  function two() {
    const home = new World()
    const { nodeId } = home.form()
    const image = home.image(nodeId)
    const web = home.vm(nodeId, 'web', { runState: 'running', disks: [{ name: 'root', image: 'tiny' }], nics: [{ network: 'nat' }] })
    home.report(web, nodeId, 'running')
    const there = new World()
    there.timeMs += 1_000_000
    const other = there.form().nodeId
    const token = there.newId() as TokenId
    there.run('joinToken.create', { id: token, secretHash: 's', lifeSeconds: 60 })
    const payload = () => ({
      node: { id: nodeId, name: 'n2', peerId: 'peer-n2', wrapKey: 'w', wrappedClusterKey: 'k' }, announcement: announcement(), joinTokenId: token, joinSecretHash: 's', bring: bringOf(home.state, nodeId),
    })
    return { home, there, nodeId, other, image, web, payload }
  }

  test('its VMs and images become the cluster\'s, as they are, at the same epoch', () => {
    const { home, there, nodeId, image, web, payload } = two()
    expect(there.outcome('node.admitWith', payload())).toBe('done')
    const [before, after] = [home.state.tables.vm.get(web)!, there.state.tables.vm.get(web)!]
    expect(after).toMatchObject({ name: 'web', spec: before.spec, domainName: before.domainName, images: before.images, assignment: { nodeId, epoch: 1 }, report: { phase: 'running' }, operationId: null })
    expect(there.state.tables.image.get(image)?.holders).toEqual([nodeId])
    expect(there.state.usage.byImage.get(image)).toBe(1)
    expect(there.state.macs.has(after.spec.nics[0]!.mac!)).toBe(true)
    expect(there.outcome('node.admitWith', payload())).toBe('done')
    expect(there.report(web, nodeId, 'running')).toBe('done')
  })

  test('an image of the same name and content is the same image', () => {
    const { there, nodeId, other, web, payload } = two()
    const known = there.image(other)
    expect(there.outcome('node.admitWith', payload())).toBe('done')
    expect(there.state.tables.image.size).toBe(1)
    expect(there.state.tables.image.get(known)?.holders).toEqual([other, nodeId])
    expect(there.state.tables.vm.get(web)?.images['root']?.imageId).toBe(known)
  })

  test('everything that is in the way is told, and nothing is changed', () => {
    const { there, other, payload } = two()
    there.image(other, 'tiny', 'b'.repeat(64))
    there.vm(other, 'web')
    const before = [there.state.tables.node.size, there.state.tables.vm.size, there.state.tables.image.size]
    const result = there.result('node.admitWith', payload())
    expect(result).toMatchObject({ kind: 'refused', code: 'NAME_TAKEN', fields: [{ path: 'bring.images.0.name' }, { path: 'bring.vms.0.name' }] })
    expect(result.kind === 'refused' && result.message).toMatch(/image tiny has another content here; VM web exists here/)
    expect([there.state.tables.node.size, there.state.tables.vm.size, there.state.tables.image.size]).toEqual(before)
    expect([...there.state.tables.joinToken.values()].every((token) => token.usedByNodeId === null)).toBe(true)
  })

  test('only the one node of a cluster, while nothing is under way', () => {
    const { home, nodeId, web } = two()
    home.act(web, 'stop')
    expect(() => bringOf(home.state, nodeId)).toThrow(/Something is under way on VM web/)
    const { world, nodeId: first } = three()
    expect(() => bringOf(world.state, first)).toThrow(/Only the one node/)
  })
})

test('a snapshot keeps former nodes in the order in which they are dropped', () => {
  const { world, second, third } = three()
  for (const id of [third, second]) {
    world.run('node.remove', { id, force: false })
    world.run('node.forget', { id })
  }
  const image = exportState(world.state)
  const taken = importState(image)
  expect(stateHash(taken)).toBe(stateHash(world.state))
  expect([...taken.tables.formerNode.keys()]).toEqual([third, second])
})

function imageOf(world: World) {
  return {
    id: world.newId() as never, name: 'tiny', project: 'default', labels: {},
    spec: { format: 'qcow2' as const, sha256: 'a'.repeat(64), sizeBytes: 100, virtualSizeBytes: 64 * 2 ** 20, os: '' },
  }
}

describe('who votes', () => {
  test('a wish is kept, seen by nobody who does not ask, and survives edits and drains', () => {
    const { world, second } = three()
    expect(world.outcome('node.vote', { id: second, voting: 'never' })).toBe('done')
    const node = () => world.state.tables.node.get(second)
    expect(node()).toMatchObject({ spec: { schedulable: true, voting: 'never' }, generation: 2 })
    const { revision } = node()!
    expect(world.outcome('node.vote', { id: second, voting: 'never' })).toBe('done')
    expect(node()).toMatchObject({ revision })
    world.run('node.update', { id: second, spec: { schedulable: false } })
    expect(node()?.spec).toEqual({ schedulable: false, voting: 'never' })
    world.run('node.uncordon', { id: second })
    expect(node()?.spec).toEqual({ schedulable: true, voting: 'never' })
    world.run('node.vote', { id: second, voting: 'auto' })
    expect(node()?.spec).toEqual({ schedulable: true })
    expect(world.outcome('node.vote', { id: second, voting: 'always', ifMatch: 1 })).toBe('PRECONDITION_FAILED')
  })

  test('one member at least may vote; who is being removed is not asked', () => {
    const { world, nodeId, second, third } = three()
    world.run('node.vote', { id: second, voting: 'never' })
    world.run('node.vote', { id: third, voting: 'never' })
    expect(world.outcome('node.vote', { id: nodeId, voting: 'never' })).toBe('STATE_CONFLICT')
    world.run('node.remove', { id: third, force: false })
    expect(world.outcome('node.vote', { id: third, voting: 'auto' })).toBe('STATE_CONFLICT')
    expect(world.outcome('node.lead', { id: third })).toBe('STATE_CONFLICT')
  })

  test('what operators ask for is on record and changes nothing', () => {
    const { world, second } = three()
    const before = world.state.tables.node.get(second)
    expect([world.outcome('node.lead', { id: second }), world.outcome('node.compact', { id: second })]).toEqual(['done', 'done'])
    expect(world.state.tables.node.get(second)).toEqual(before)
    expect([...world.state.tables.event.values()].slice(-2)).toMatchObject([{ name: 'n2', reason: 'node.lead', actor: 'admin' }, { name: 'n2', reason: 'node.compact', actor: 'admin' }])
  })
})
