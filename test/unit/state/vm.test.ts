// Apply of VM commands: what is made, refused, edited, and how an operation runs through its steps.
import { describe, expect, test } from 'vitest'
import type { OperationId } from '../../../src/model/id.ts'
import { exportState, importState, stateHash } from '../../../src/state/state.ts'
import { World, announcement } from './world.ts'

function formed() {
  const world = new World()
  const { nodeId } = world.form()
  world.image(nodeId)
  return { world, nodeId }
}

describe('create', () => {
  test('allots a MAC address that nobody has and remembers what the image was', () => {
    const { world, nodeId } = formed()
    const first = world.vm(nodeId, 'web', { nics: [{}], disks: [{ name: 'root', image: 'tiny' }] })
    const second = world.vm(nodeId, 'db', { nics: [{}] })
    const [left, right] = [first, second].map((id) => world.state.tables.vm.get(id))
    expect(left?.spec.nics[0]?.mac).toMatch(/^52:54:00:/)
    expect(left?.spec.nics[0]?.mac).not.toBe(right?.spec.nics[0]?.mac)
    expect(left?.images['root']?.sha256).toBe('a'.repeat(64))
    expect(left?.assignment).toEqual({ nodeId, epoch: 1 })
  })

  test.each<[string, { readonly name?: string; readonly spec?: Record<string, unknown> }, string]>([
    ['a name that is taken', { name: 'web' }, 'NAME_TAKEN'],
    ['an image that is missing', { spec: { disks: [{ name: 'root', image: 'nope' }] } }, 'REFERENCE_MISSING'],
    ['a network that is missing', { spec: { nics: [{ network: 'nope' }] } }, 'REFERENCE_MISSING'],
    ['a pool that is missing', { spec: { disks: [{ name: 'root', pool: 'nope', sizeGiB: 1 }] } }, 'REFERENCE_MISSING'],
    ['a node that is missing', { spec: { placement: { node: 'nope' } } }, 'REFERENCE_MISSING'],
    ['a blank disk without a size', { spec: { disks: [{ name: 'root' }] } }, 'INVALID'],
    ['a disk smaller than its image', { spec: { disks: [{ name: 'root', image: 'tiny', sizeGiB: 0.01 }] } }, 'INVALID'],
    ['more CPUs than the node has', { spec: { cpus: 9 } }, 'NO_FIT'],
    ['more memory than the node has free', { spec: { memoryMiB: 4000, runState: 'running' } }, 'NO_FIT'],
    ['a MAC address in use', { spec: { nics: [{ mac: '52:54:00:00:00:01' }] } }, 'INVALID'],
  ])('refuses %s and changes nothing but the audit', (_what, change, code) => {
    const { world, nodeId } = formed()
    world.vm(nodeId, 'web', { memoryMiB: 512, runState: 'running', nics: [{ mac: '52:54:00:00:00:01' }] })
    const before = [...world.state.tables.vm.values()]
    const payload = world.vmPayload(nodeId, change.name ?? 'new', change.spec ?? {})
    expect(world.outcome('vm.create', payload)).toBe(code)
    expect([...world.state.tables.vm.values()]).toEqual(before)
    expect([...world.state.tables.audit.values()].at(-1)).toMatchObject({ outcome: 'refused', code, target: payload.name })
  })

  test('names a free name where one is taken', () => {
    const { world, nodeId } = formed()
    world.vm(nodeId, 'web')
    world.vm(nodeId, 'web-2')
    const result = world.result('vm.create', world.vmPayload(nodeId, 'web'))
    expect(result).toMatchObject({ kind: 'refused', message: expect.stringContaining('web-3 is free') })
  })
})

describe('exactly once', () => {
  test('the same key and body give the first answer, another body is refused', () => {
    const { world, nodeId } = formed()
    const payload = world.vmPayload(nodeId, 'web')
    const first = world.result('vm.create', payload, { key: 'k', bodyHash: 'one' })
    const again = world.result('vm.create', world.vmPayload(nodeId, 'web'), { key: 'k', bodyHash: 'one' })
    expect(again).toMatchObject({ kind: 'done', id: payload.id, replayed: true })
    expect(first.kind).toBe('done')
    expect(world.outcome('vm.create', world.vmPayload(nodeId, 'other'), { key: 'k', bodyHash: 'two' })).toBe('IDEMPOTENCY_MISMATCH')
    expect(world.state.tables.vm.size).toBe(1)
  })

  test('a key is another actor\'s own and is forgotten after a day of state time', () => {
    const { world, nodeId } = formed()
    world.result('vm.create', world.vmPayload(nodeId, 'a'), { key: 'k' })
    const other = { kind: 'user' as const, id: 'v', name: 'eve', address: '' }
    expect(world.result('vm.create', world.vmPayload(nodeId, 'b'), { key: 'k', actor: other })).toMatchObject({ kind: 'done' })
    world.timeMs += 25 * 3_600_000
    world.vm(nodeId, 'c')
    expect(world.state.tables.idempotency.size).toBe(0)
    expect(world.outcome('vm.create', world.vmPayload(nodeId, 'd'), { key: 'k', bodyHash: 'other' })).toBe('done')
  })
})

describe('edit', () => {
  test('a stale revision is refused, a merge patch deletes by null, unknown fields are errors', () => {
    const { world, nodeId } = formed()
    const id = world.vm(nodeId, 'web')
    const revision = world.state.tables.vm.get(id)?.revision ?? 0
    const seed = '0123456789abcdef'
    expect(world.outcome('vm.patch', { id, seed, patch: { labels: { tier: 'web' } }, revision })).toBe('done')
    expect(world.outcome('vm.patch', { id, seed, patch: { spec: { cpus: 2 } }, revision })).toBe('REVISION_STALE')
    expect(world.outcome('vm.patch', { id, seed, patch: { spec: { cpus: 2 } }, ifMatch: revision })).toBe('PRECONDITION_FAILED')
    expect(world.outcome('vm.patch', { id, seed, patch: { labels: { tier: null }, spec: { cpus: 2 } } })).toBe('done')
    expect(world.state.tables.vm.get(id)).toMatchObject({ labels: {}, spec: { cpus: 2 }, generation: 2 })
    expect(world.outcome('vm.patch', { id, seed, patch: { spec: { colour: 'red' } } })).toBe('INVALID')
    expect(world.outcome('vm.patch', { id, seed, patch: { spec: { cpus: 'two' } } })).toBe('INVALID')
  })

  test('no edit loses a disk, shrinks one, or moves the VM', () => {
    const { world, nodeId } = formed()
    const id = world.vm(nodeId, 'web', { disks: [{ name: 'root', image: 'tiny', sizeGiB: 1 }] })
    const seed = '0123456789abcdef'
    expect(world.outcome('vm.patch', { id, seed, patch: { spec: { disks: [] } } })).toBe('INVALID')
    expect(world.outcome('vm.patch', { id, seed, patch: { spec: { disks: [{ name: 'root', image: 'tiny', sizeGiB: 0.5 }] } } })).toBe('INVALID')
    expect(world.outcome('vm.patch', { id, seed, patch: { spec: { disks: [{ name: 'root', image: 'tiny', sizeGiB: 2 }] } } })).toBe('done')
    world.report(id, nodeId, 'running')
    expect(world.outcome('vm.patch', { id, seed, patch: { spec: { disks: [{ name: 'root', image: 'tiny', sizeGiB: 3 }] } } })).toBe('STATE_CONFLICT')
  })
})

describe('edits on a node that has become smaller or lost its hypervisor', () => {
  const seed = '0123456789abcdef'
  test('labels and names change, more memory does not', () => {
    const { world, nodeId } = formed()
    const id = world.vm(nodeId, 'web', { runState: 'running', memoryMiB: 512 })
    world.run('node.announce', { id: nodeId, announcement: announcement({ accelerator: 'none' }) })
    expect(world.outcome('vm.patch', { id, seed, patch: { name: 'www', labels: { tier: 'web' } } })).toBe('done')
    expect(world.outcome('vm.patch', { id, seed, patch: { spec: { memoryMiB: 1024 } } })).toBe('NO_FIT')
  })

  test('a disk does not grow between the wish to run and the first sign of it', () => {
    const { world, nodeId } = formed()
    const id = world.vm(nodeId, 'web', { disks: [{ name: 'root', image: 'tiny', sizeGiB: 1 }] })
    world.report(id, nodeId, 'stopped')
    const grown = { spec: { disks: [{ name: 'root', image: 'tiny', sizeGiB: 2 }] } }
    world.act(id, 'start')
    expect(world.outcome('vm.patch', { id, seed, patch: grown })).toBe('STATE_CONFLICT')
    const other = world.vm(nodeId, 'db', { disks: [{ name: 'root', image: 'tiny', sizeGiB: 1 }] })
    expect(world.outcome('vm.patch', { id: other, seed, patch: { spec: { ...grown.spec, runState: 'running' } } })).toBe('done')
  })
})

describe('operations', () => {
  function running() {
    const { world, nodeId } = formed()
    const id = world.vm(nodeId, 'web', { runState: 'running' })
    world.report(id, nodeId, 'running')
    return { world, nodeId, id }
  }
  const step = (world: World, id: OperationId, nodeId: Parameters<World['vm']>[0], at: number) =>
    world.outcome('operation.step', { id, nodeId, step: at, outcome: { kind: 'done' } })

  test('a restart goes down and up; the VM is busy meanwhile', () => {
    const { world, nodeId, id } = running()
    const { operationId } = world.act(id, 'restart')
    expect(world.act(id, 'stop').outcome).toBe('OPERATION_ACTIVE')
    step(world, operationId, nodeId, 0)
    expect(world.state.tables.operation.get(operationId)).toMatchObject({ state: 'running', step: 1 })
    // A step told twice, or one that is not the current one, changes nothing.
    step(world, operationId, nodeId, 0)
    expect(world.state.tables.operation.get(operationId)?.step).toBe(1)
    step(world, operationId, nodeId, 1)
    expect(world.state.tables.operation.get(operationId)).toMatchObject({ state: 'done' })
    expect(world.state.tables.vm.get(id)).toMatchObject({ operationId: null, spec: { runState: 'running' } })
  })

  test('a cancelled or failed stop puts the wish back', () => {
    const { world, nodeId, id } = running()
    const first = world.act(id, 'stop')
    expect(world.state.tables.vm.get(id)?.spec.runState).toBe('stopped')
    expect(world.outcome('operation.cancel', { id: first.operationId })).toBe('done')
    expect(world.state.tables.vm.get(id)).toMatchObject({ operationId: null, spec: { runState: 'running' } })
    const second = world.act(id, 'stop')
    world.run('operation.step', { id: second.operationId, nodeId, step: 0, outcome: { kind: 'failed', code: 'HYPERVISOR_REFUSED', message: 'no' } })
    expect(world.state.tables.operation.get(second.operationId)).toMatchObject({ state: 'failed', error: { code: 'HYPERVISOR_REFUSED' } })
    expect(world.state.tables.vm.get(id)?.spec.runState).toBe('running')
    expect(world.outcome('operation.cancel', { id: second.operationId })).toBe('STATE_CONFLICT')
  })

  test('a forced stop takes over from a patient one', () => {
    const { world, id } = running()
    const patient = world.act(id, 'stop')
    const forced = world.act(id, 'stop', true)
    expect(forced.outcome).toBe('done')
    expect(world.state.tables.operation.get(patient.operationId)?.state).toBe('cancelled')
    expect(world.state.tables.vm.get(id)?.operationId).toBe(forced.operationId)
  })

  test('delete removes the VM only after its last step, and frees its name', () => {
    const { world, nodeId, id } = running()
    const { operationId } = world.act(id, 'delete')
    expect(world.outcome('vm.patch', { id, seed: '00', patch: {} })).toBe('STATE_CONFLICT')
    step(world, operationId, nodeId, 0)
    expect(world.state.tables.vm.has(id)).toBe(true)
    step(world, operationId, nodeId, 1)
    expect(world.state.tables.vm.has(id)).toBe(false)
    expect(world.vm(nodeId, 'web')).toBeTruthy()
  })

  test('a delete that fails past the point of no return is not undone: the VM can only be deleted again', () => {
    const { world, nodeId, id } = running()
    const first = world.act(id, 'delete')
    step(world, first.operationId, nodeId, 0)
    expect(world.outcome('operation.cancel', { id: first.operationId })).toBe('STATE_CONFLICT')
    world.run('operation.step', { id: first.operationId, nodeId, step: 1, outcome: { kind: 'failed', code: 'STORAGE_FAILED', message: 'no' } })
    expect(world.state.tables.operation.get(first.operationId)).toMatchObject({ state: 'failed' })
    expect(world.state.tables.vm.get(id)).toMatchObject({ deleting: true, operationId: null })
    expect(world.act(id, 'start').outcome).toBe('STATE_CONFLICT')
    const second = world.act(id, 'delete')
    expect(second.outcome).toBe('done')
    for (const at of [0, 1]) step(world, second.operationId, nodeId, at)
    expect(world.state.tables.vm.has(id)).toBe(false)
  })

  test('cancelling the second attempt does not revive what is half deleted', () => {
    const { world, nodeId, id } = running()
    const first = world.act(id, 'delete')
    step(world, first.operationId, nodeId, 0)
    world.run('operation.step', { id: first.operationId, nodeId, step: 1, outcome: { kind: 'failed', code: 'STORAGE_FAILED', message: 'no' } })
    const second = world.act(id, 'delete')
    world.run('operation.cancel', { id: second.operationId })
    expect(world.state.tables.vm.get(id)).toMatchObject({ deleting: true, operationId: null })
  })

  test('a forced delete takes over from a patient one', () => {
    const { world, id } = running()
    const patient = world.act(id, 'delete')
    expect(world.act(id, 'delete').outcome).toBe('STATE_CONFLICT')
    const forced = world.act(id, 'delete', true)
    expect(forced.outcome).toBe('done')
    expect(world.state.tables.operation.get(patient.operationId)?.state).toBe('cancelled')
    expect(world.outcome('operation.cancel', { id: forced.operationId })).toBe('done')
    expect(world.state.tables.vm.get(id)).toMatchObject({ deleting: false, spec: { runState: 'running' } })
  })

  test('only the owner at its epoch reports, and only it ends steps', () => {
    const { world, nodeId, id } = running()
    const stranger = world.newId() as typeof nodeId
    expect(world.report(id, stranger, 'stopped')).toBe('EPOCH_STALE')
    expect(world.report(id, nodeId, 'stopped', 2)).toBe('EPOCH_STALE')
    const { operationId } = world.act(id, 'stop')
    step(world, operationId, stranger, 0)
    expect(world.state.tables.operation.get(operationId)?.state).toBe('running')
  })

  test('a guest that powers itself off counts as a stop by actor guest, unless somebody wished something meanwhile', () => {
    const { world, nodeId, id } = running()
    const generation = world.state.tables.vm.get(id)?.generation ?? 0
    const guest = { kind: 'guest' as const, id, name: 'guest', address: '' }
    world.run('vm.guestStopped', { id, nodeId, epoch: 1, generation: generation - 1, runState: 'stopped' }, { actor: guest })
    expect(world.state.tables.vm.get(id)?.spec.runState).toBe('running')
    const { events } = world.run('vm.guestStopped', { id, nodeId, epoch: 1, generation, runState: 'stopped' }, { actor: guest })
    expect(world.state.tables.vm.get(id)).toMatchObject({ spec: { runState: 'stopped' }, report: { phase: 'stopped' }, cause: { actor: 'guest' } })
    expect(events[0]).toMatchObject({ actor: 'guest', reason: 'vm.phase.stopped' })
  })
})

test('an image in use stays; the same content under the same name adds a holder, other content is refused', () => {
  const { world, nodeId } = formed()
  const imageId = world.image(nodeId)
  const vmId = world.vm(nodeId, 'web', { disks: [{ name: 'root', image: 'tiny' }] })
  expect(world.outcome('image.delete', { id: imageId })).toBe('IN_USE')
  expect(world.image(nodeId)).toBe(imageId)
  const spec = { format: 'qcow2' as const, sha256: 'b'.repeat(64), sizeBytes: 1, virtualSizeBytes: 1, os: '' }
  expect(world.outcome('image.register', { id: world.newId() as typeof imageId, name: 'tiny', project: 'default', labels: {}, holder: nodeId, spec })).toBe('NAME_TAKEN')
  const { operationId } = world.act(vmId, 'delete')
  for (const at of [0, 1]) world.run('operation.step', { id: operationId, nodeId, step: at, outcome: { kind: 'done' } })
  expect(world.outcome('image.delete', { id: imageId })).toBe('done')
})

test('a state that was exported and imported is the same, whatever the order of its records', () => {
  const { world, nodeId } = formed()
  for (let count = 0; count < 20; count++) world.vm(nodeId, `vm-${count}`, { nics: [{}] })
  world.act([...world.state.tables.vm.keys()][3] as Parameters<World['act']>[0], 'delete')
  const image = JSON.parse(JSON.stringify(exportState(world.state))) as ReturnType<typeof exportState>
  const copy = importState({ head: image.head, records: image.records.toReversed() })
  expect(stateHash(copy)).toBe(stateHash(world.state))
  expect([...copy.tables.event.keys()]).toEqual([...world.state.tables.event.keys()])
  expect(copy.names).toEqual(world.state.names)
  expect(copy.macs).toEqual(world.state.macs)
  const tampered = { ...image, records: image.records.slice(1) }
  expect(() => importState(tampered)).toThrow('hash')
})
