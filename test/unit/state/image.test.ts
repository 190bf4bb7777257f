// Images in the state: how many copies are wished, who holds one, who may give one up, and what stands on them.
import { expect, test } from 'vitest'
import type { ImageId, NodeId, TokenId } from '../../../src/model/id.ts'
import { planCopies, type ImageHost } from '../../../src/planner/image.ts'
import { emptyState, exportState, importState } from '../../../src/state/state.ts'
import { isImageNeededOn } from '../../../src/state/image-use.ts'
import { announcement, World } from './world.ts'

const sha256 = 'b'.repeat(64)

function threeNodes(): { readonly world: World; readonly nodes: readonly [NodeId, NodeId, NodeId] } {
  const world = new World()
  const { nodeId } = world.form()
  const join = (name: string): NodeId => {
    const id = world.newId() as NodeId
    const joinTokenId = world.newId() as TokenId
    world.run('joinToken.create', { id: joinTokenId, secretHash: `s-${name}`, lifeSeconds: 600 })
    expect(world.outcome('node.admit', { node: { id, name, peerId: `peer-${name}`, wrapKey: 'w', wrappedClusterKey: 'k' }, announcement: announcement(), joinTokenId, joinSecretHash: `s-${name}` })).toBe('done')
    return id
  }
  return { world, nodes: [nodeId, join('n2'), join('n3')] }
}

function register(world: World, holder: NodeId, copies?: number | 'all'): ImageId {
  const id = world.newId() as ImageId
  const spec = { format: 'qcow2' as const, sha256, sizeBytes: 100, virtualSizeBytes: 2 ** 20, os: '', ...(copies === undefined ? {} : { copies }) }
  expect(world.outcome('image.register', { id, name: 'base', project: 'default', labels: {}, holder, spec })).toBe('done')
  return id
}

const image = (world: World, id: ImageId) => world.state.tables.image.get(id)!
const hosts = (nodes: readonly NodeId[], free: readonly number[], inTouch = [true, true, true]): readonly ImageHost[] => nodes.map((nodeId, at) => ({ nodeId, freeBytes: free[at]! * 2 ** 30, inTouch: inTouch[at]! }))

test('the number of copies, the name and labels can be edited, the content cannot', () => {
  const { world, nodes } = threeNodes()
  const id = register(world, nodes[0])
  expect(world.outcome('image.patch', { id, patch: { name: 'rock', labels: { tier: 'a' }, spec: { copies: 'all' } } })).toBe('done')
  expect(image(world, id)).toMatchObject({ name: 'rock', labels: { tier: 'a' }, generation: 2, spec: { copies: 'all', sha256 } })
  expect(world.outcome('image.patch', { id, patch: { labels: { tier: null } } })).toBe('done')
  expect(image(world, id)).toMatchObject({ labels: {}, generation: 2 })
  expect(world.result('image.patch', { id, patch: { spec: { sha256: 'c'.repeat(64) } } })).toMatchObject({ code: 'INVALID', fields: [{ path: 'spec.sha256' }] })
  expect(world.result('image.patch', { id, patch: { spec: { copies: 0 } } })).toMatchObject({ code: 'INVALID' })
  expect(world.result('image.patch', { id, patch: { spec: { colour: 'red' } } })).toMatchObject({ code: 'INVALID', fields: [{ path: 'spec.colour' }] })
  expect(world.outcome('image.patch', { id, patch: { name: 'x' }, ifMatch: 1 })).toBe('PRECONDITION_FAILED')
  world.image(nodes[0], 'taken')
  expect(world.outcome('image.patch', { id, patch: { name: 'taken' } })).toBe('NAME_TAKEN')
})

test('a copy is given up only where there is one too many and nothing stands on it', () => {
  const { world, nodes } = threeNodes()
  const id = register(world, nodes[0], 1)
  const drop = (nodeId: NodeId, lost = false) => world.outcome('image.drop', { id, nodeId, lost })
  expect(drop(nodes[0])).toBe('STATE_CONFLICT')
  world.run('image.hold', { id, nodeId: nodes[1] })
  world.run('image.hold', { id, nodeId: nodes[1] })
  expect(image(world, id).holders).toEqual([nodes[0], nodes[1]].toSorted())
  world.vm(nodes[1], 'web', { disks: [{ name: 'root', image: 'base' }] })
  expect(isImageNeededOn(world.state, sha256, nodes[1])).toBe(true)
  expect(drop(nodes[1])).toBe('IN_USE')
  expect(drop(nodes[0])).toBe('done')
  expect(image(world, id).holders).toEqual([nodes[1]])
  expect(drop(nodes[1], true)).toBe('done')
  expect(image(world, id).holders).toEqual([])
})

test('a base in use cannot be deleted, and the refusal names the VMs', () => {
  const { world, nodes } = threeNodes()
  const id = register(world, nodes[0], 2)
  for (const name of ['f', 'e', 'd', 'c', 'b', 'a']) world.vm(nodes[0], name, { disks: [{ name: 'root', image: 'base' }, { name: 'two', image: 'base' }] })
  const refused = world.result('image.delete', { id })
  expect(refused).toMatchObject({ code: 'IN_USE' })
  expect(refused.kind === 'refused' && refused.message).toContain('12 disks are made of image base: of a, b, c, d, e and 1 more')
})

test('a VM may be made on a node without the image, if the image may travel', () => {
  const { world, nodes } = threeNodes()
  register(world, nodes[0], 1)
  expect(() => world.vm(nodes[2], 'web', { disks: [{ name: 'root', image: 'base' }] })).not.toThrow()
  world.image(nodes[0], 'fixed')
  expect(() => world.vm(nodes[2], 'other', { disks: [{ name: 'root', image: 'fixed' }] })).toThrow('NO_FIT')
})

test('a node that is being removed is replaced in time, and then holds nothing any more', () => {
  const { world, nodes } = threeNodes()
  const id = register(world, nodes[0], 2)
  world.run('image.hold', { id, nodeId: nodes[1] })
  expect(world.outcome('node.remove', { id: nodes[1], force: false })).toBe('done')
  expect(planCopies(world.state, image(world, id), hosts(nodes, [9, 50, 7])).fetch).toEqual([nodes[2]])
  expect(world.outcome('image.drop', { id, nodeId: nodes[0], lost: false })).toBe('STATE_CONFLICT')
  world.run('node.forget', { id: nodes[1] })
  const last = world.result('node.remove', { id: nodes[0], force: false })
  expect(last).toMatchObject({ code: 'IN_USE', message: expect.stringContaining('the only copy of image base') })
  expect(image(world, id).holders).toEqual([nodes[0]])
})

test('what stands on an image is known after a snapshot too', () => {
  const { world, nodes } = threeNodes()
  const id = register(world, nodes[0], 2)
  const vmId = world.vm(nodes[0], 'web', { disks: [{ name: 'root', image: 'base' }] })
  const copy = importState(exportState(world.state))
  expect(copy.usage.vmIdsByImage.get(id)).toEqual(new Set([vmId]))
  expect(emptyState().usage.vmIdsByImage.size).toBe(0)
})

test.each([
  { title: 'one copy too few goes to the roomiest that is in touch', copies: 2, holders: [0], free: [9, 5, 7], touch: [true, true, true], fetch: [2], drop: [] },
  { title: 'not to one that was not heard of', copies: 2, holders: [0], free: [9, 5, 7], touch: [true, true, false], fetch: [1], drop: [] },
  { title: 'not to one without room', copies: 3, holders: [0], free: [9, 0.5, 7], touch: [true, true, true], fetch: [2], drop: [] },
  { title: 'but "all" means all', copies: 'all', holders: [0], free: [9, 0.5, 7], touch: [true, true, true], fetch: [2, 1], drop: [] },
  { title: 'more than there are nodes is as many as there are', copies: 64, holders: [0, 1, 2], free: [9, 5, 7], touch: [true, true, true], fetch: [], drop: [] },
  { title: 'one too many goes where room is scarce', copies: 1, holders: [0, 1], free: [9, 5, 7], touch: [true, true, true], fetch: [], drop: [1] },
  { title: 'enough is enough', copies: 2, holders: [0, 1], free: [9, 5, 7], touch: [true, true, true], fetch: [], drop: [] },
  { title: 'nobody can fetch what nobody has', copies: 2, holders: [], free: [9, 5, 7], touch: [true, true, true], fetch: [], drop: [] },
] as const)('copies: $title', ({ copies, holders, free, touch, fetch, drop }) => {
  const { world, nodes } = threeNodes()
  const id = register(world, nodes[0], copies)
  for (const at of holders) world.run('image.hold', { id, nodeId: nodes[at] })
  if (!(holders as readonly number[]).includes(0)) world.run('image.drop', { id, nodeId: nodes[0], lost: true })
  const plan = planCopies(world.state, image(world, id), hosts(nodes, free, [...touch]))
  expect(plan).toEqual({ fetch: fetch.map((at) => nodes[at]), drop: drop.map((at) => nodes[at]) })
})

test('a used copy is not the one that goes', () => {
  const { world, nodes } = threeNodes()
  const id = register(world, nodes[0], 1)
  world.run('image.hold', { id, nodeId: nodes[1] })
  world.vm(nodes[1], 'web', { disks: [{ name: 'root', image: 'base' }] })
  expect(planCopies(world.state, image(world, id), hosts(nodes, [9, 5, 7])).drop).toEqual([nodes[0]])
})

test('two images of the same bytes are one file: the more demanding of them says how many copies stay', () => {
  const { world, nodes } = threeNodes()
  const demanding = register(world, nodes[0], 'all')
  const modest = world.newId() as ImageId
  const { spec } = image(world, demanding)
  expect(world.outcome('image.register', { id: modest, name: 'again', project: 'default', labels: {}, holder: nodes[0], spec: { ...spec, copies: 1 } })).toBe('done')
  for (const id of [demanding, modest]) for (const nodeId of nodes.slice(1)) world.run('image.hold', { id, nodeId })
  const drop = () => planCopies(world.state, image(world, modest), hosts(nodes, [9, 5, 7])).drop
  expect(drop()).toEqual([])
  world.run('image.patch', { id: demanding, patch: { spec: { copies: 2 } } })
  expect(drop()).toEqual([nodes[1]])
  expect(planCopies(world.state, image(world, demanding), hosts(nodes, [9, 5, 7])).drop).toEqual([nodes[1]])
})
