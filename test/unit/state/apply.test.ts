// Apply as a whole: the same state whether a node replayed the log or began from a snapshot, bounds, and what the audit holds.
import { describe, expect, test } from 'vitest'
import { makeCommand } from '../../../src/model/command.ts'
import { applyCommand, idempotencyLifeMs } from '../../../src/state/apply.ts'
import { exportState, importState, stateHash, type State } from '../../../src/state/state.ts'
import { World, admin } from './world.ts'

/** What a node has that got the state by snapshot: through JSON, in another order. */
function snapshotOf(state: State): State {
  const image = JSON.parse(JSON.stringify(exportState(state))) as ReturnType<typeof exportState>
  return importState({ head: image.head, records: image.records.toReversed() })
}

function formed() {
  const world = new World()
  const { nodeId, adminId } = world.form()
  world.image(nodeId)
  return { world, nodeId, adminId }
}

describe('replayed and imported states stay equal', () => {
  test('when a key is used again after its day, before it was trimmed', () => {
    const { world, nodeId } = formed()
    for (const [at, key] of ['first', 'second', 'third'].entries()) {
      world.run('vm.create', world.vmPayload(nodeId, `vm-${at}`), { key })
      world.timeMs += 1000
    }
    const copy = snapshotOf(world.state)
    world.timeMs += idempotencyLifeMs + 60_000
    const command = makeCommand('vm.create', { id: world.newId(), actor: admin, idempotency: { key: 'first', bodyHash: 'h' } }, world.vmPayload(nodeId, 'again'))
    for (const state of [world.state, copy]) applyCommand(state, { index: state.index + 1, term: 1, timeMs: world.timeMs, command })
    expect(world.state.tables.idempotency.size).toBe(1)
    const later = snapshotOf(world.state)
    world.timeMs += 10
    const next = makeCommand('vm.create', { id: world.newId(), actor: admin }, world.vmPayload(nodeId, 'later'))
    for (const state of [world.state, copy, later]) applyCommand(state, { index: state.index + 1, term: 1, timeMs: world.timeMs, command: next })
    expect([stateHash(copy), stateHash(later)]).toEqual([stateHash(world.state), stateHash(world.state)])
  })

  test('with names that plain objects have members of', () => {
    const { world, nodeId } = formed()
    const id = world.vm(nodeId, 'web', { disks: [{ name: 'constructor', sizeGiB: 1 }], nics: [] })
    expect(world.state.tables.vm.get(id)?.images).toEqual({})
    expect(Object.hasOwn(world.state.tables.vm.get(id)?.images ?? {}, 'constructor')).toBe(false)
    expect(() => snapshotOf(world.state)).not.toThrow()
  })

  test('and so is what VMs take of nodes and images, through every change', () => {
    const { world, nodeId } = formed()
    const usage = () => [...world.state.usage.byNode.values(), ...world.state.usage.byImage.values()]
    const id = world.vm(nodeId, 'web', { cpus: 2, memoryMiB: 256, runState: 'running', disks: [{ name: 'root', image: 'tiny' }, { name: 'data', image: 'tiny' }] })
    const other = world.vm(nodeId, 'db')
    world.report(id, nodeId, 'running')
    expect(usage()).toEqual([{ cpus: 2, memoryMiB: 256, vms: 2, vmsRunning: 1 }, 2])
    world.run('vm.patch', { id, seed: '00', patch: { spec: { memoryMiB: 512 } } })
    expect(usage()).toEqual([{ cpus: 2, memoryMiB: 512, vms: 2, vmsRunning: 1 }, 2])
    expect(snapshotOf(world.state).usage).toEqual(world.state.usage)
    world.act(id, 'stop')
    expect(usage()[0]).toMatchObject({ memoryMiB: 512, vmsRunning: 1 })
    world.report(id, nodeId, 'stopped')
    expect(usage()[0]).toEqual({ cpus: 0, memoryMiB: 0, vms: 2, vmsRunning: 0 })
    expect(snapshotOf(world.state).usage).toEqual(world.state.usage)
    for (const vmId of [id, other]) {
      const { operationId } = world.act(vmId, 'delete', true)
      for (const at of [0, 1]) world.run('operation.step', { id: operationId, nodeId, step: at, outcome: { kind: 'done' } })
    }
    expect(usage()).toEqual([])
  })

  test('when a spec comes with its members in another order', () => {
    const { world, nodeId } = formed()
    const id = world.vm(nodeId, 'web', { disks: [{ name: 'data', sizeGiB: 1 }] })
    const vm = world.state.tables.vm.get(id)!
    const spec = Object.fromEntries(Object.entries(vm.spec).toReversed()) as typeof vm.spec
    world.run('vm.replace', { id, spec, seed: '0123456789abcdef' })
    expect(world.state.tables.vm.get(id)?.generation).toBe(vm.generation)
  })
})

test('sessions end at their time, though one that was revoked later ends earlier', () => {
  const { world, adminId } = formed()
  const tick = () => world.run('user.setPassword', { id: adminId, passwordHash: 'h' })
  world.run('session.revoke', { id: 'long', expiresMs: world.timeMs + 60_000 })
  world.run('session.revoke', { id: 'short', expiresMs: world.timeMs + 1_000 })
  const copy = snapshotOf(world.state)
  world.timeMs += 2_000
  tick()
  expect([...world.state.tables.revokedSession.keys()]).toEqual(['long'])
  world.timeMs += 60_000
  tick()
  expect(world.state.tables.revokedSession.size).toBe(0)
  expect(copy.revokedSessionsEndMs).toBeLessThan(world.timeMs)
})

test('a guest that powers itself off is an actor: the audit says so, reports it does not hold', () => {
  const { world, nodeId } = formed()
  const id = world.vm(nodeId, 'web', { runState: 'running' })
  world.report(id, nodeId, 'running')
  const before = world.state.tables.audit.size
  world.report(id, nodeId, 'paused')
  expect(world.state.tables.audit.size).toBe(before)
  const { generation } = world.state.tables.vm.get(id)!
  world.run('vm.guestStopped', { id, nodeId, epoch: 1, generation, runState: 'stopped' }, { actor: { kind: 'guest', id, name: 'guest', address: '' } })
  expect([...world.state.tables.audit.values()].at(-1)).toMatchObject({ actor: { kind: 'guest' }, command: 'vm.guestStopped', target: 'web' })
})
