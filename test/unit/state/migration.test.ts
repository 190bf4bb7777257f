// Migrations in the state: holders before it begins, steps by the table, the way back, what is counted and what is kept.
import { beforeEach, describe, expect, it } from 'vitest'
import type { CommandPayload } from '../../../src/model/command.ts'
import type { NodeId, OperationId, TokenId, VmId } from '../../../src/model/id.ts'
import { migrationsMax, moveSteps, type MoveKind } from '../../../src/model/migration.ts'
import { operationKinds } from '../../../src/model/operation.ts'
import { dropNodeFromOperations, movesOnNode } from '../../../src/state/migration.ts'
import { allocationOf } from '../../../src/state/query.ts'
import { exportState, importState, stateHash } from '../../../src/state/state.ts'
import { Transaction } from '../../../src/state/transaction.ts'
import { admin, announcement, World } from './world.ts'

let world: World
let n1: NodeId
let n2: NodeId

function join(name: string): NodeId {
  const id = world.newId() as NodeId
  const token = world.newId() as TokenId
  world.run('joinToken.create', { id: token, secretHash: name, lifeSeconds: 600 })
  world.run('node.admit', { node: { id, name, peerId: `peer-${name}`, wrapKey: `w-${name}`, wrappedClusterKey: 'k' }, announcement: announcement(), joinTokenId: token, joinSecretHash: name })
  return id
}

function migrate(vmId: VmId, to: NodeId, changes: Partial<CommandPayload<'vm.migrate'>> = {}) {
  const operationId = world.newId() as OperationId
  const result = world.result('vm.migrate', { id: vmId, operationId, targetNodeId: to, bandwidthMiBps: null, force: false, ...changes })
  return { operationId, outcome: result.kind === 'done' ? 'done' : result.code }
}

const done = (outputs: object = {}) => ({ kind: 'done', outputs }) as const
const failed = { kind: 'failed', code: 'MIGRATION_FAILED', message: 'no' } as const

/** The running step's own node says what came of it. */
function advance(id: OperationId, outcome: CommandPayload<'operation.advance'>['outcome']) {
  const operation = operationOf(id)
  world.run('operation.advance', { id, nodeId: operation.nodeId as NodeId, step: operation.step, direction: operation.move!.direction, outcome }, { actor: { kind: 'node', id: operation.nodeId ?? '', name: 'operations', address: '' } })
  return where(id)
}

const operationOf = (id: OperationId) => world.state.tables.operation.get(id)!
const vmOf = (id: VmId) => world.state.tables.vm.get(id)!
const nodeName = (id: string | null) => (id === n1 ? 'n1' : id === n2 ? 'n2' : String(id))
function where(id: OperationId): string {
  const operation = operationOf(id)
  if (operation.state !== 'running') return operation.state
  return `${operation.move!.direction} ${operationKinds[operation.spec.operation][operation.step]} on ${nodeName(operation.nodeId)}`
}

function running(name = 'web'): VmId {
  const id = world.vm(n1, name, { runState: 'running' })
  world.report(id, n1, 'running')
  return id
}

beforeEach(() => {
  world = new World()
  n1 = world.form().nodeId
  n2 = join('n2')
})

describe('the table', () => {
  it.each(Object.keys(moveSteps) as MoveKind[])('%s names the steps of its operation', (kind) => {
    expect(moveSteps[kind].map((step) => step.name)).toEqual([...operationKinds[kind]])
    const flip = moveSteps[kind].findIndex((step) => step.flips)
    // Nothing that could still turn back comes after the point of no return, and the source has let go before it.
    expect(moveSteps[kind].findLastIndex((step) => step.returns)).toBeLessThanOrEqual(flip)
    expect(moveSteps[kind].findIndex((step) => step.name === 'release')).toBeLessThanOrEqual(flip)
  })
})

describe('a live migration', () => {
  it('names both holders, goes step by step, and leaves a record', () => {
    const vm = running()
    const { operationId, outcome } = migrate(vm, n2)
    expect(outcome).toBe('done')
    expect(vmOf(vm).migration).toEqual({ operationId, source: { nodeId: n1, epoch: 1 }, target: { nodeId: n2, epoch: 2 } })
    expect(vmOf(vm).assignment).toEqual({ nodeId: n1, epoch: 1 })
    expect(where(operationId)).toBe('forward prepare on n2')
    expect(advance(operationId, done({ address: 'n2:7401' }))).toBe('forward transfer on n1')
    expect(advance(operationId, done({ bytes: 5, downtimeMs: 40 }))).toBe('forward release on n1')
    expect(vmOf(vm).assignment).toEqual({ nodeId: n1, epoch: 1 })
    expect(advance(operationId, done())).toBe('forward switch on n2')
    expect(vmOf(vm)).toMatchObject({ assignment: { nodeId: n2, epoch: 2 }, operationId, migration: { operationId } })
    expect(advance(operationId, done())).toBe('forward clean on n1')
    expect(vmOf(vm)).toMatchObject({ operationId: null, migration: null })
    expect(advance(operationId, done())).toBe('done')
    expect(world.state.tables.migration.get(operationId)).toMatchObject({ outcome: 'done', actor: 'admin', bytes: 5, downtimeMs: 60, live: true, from: { name: 'n1' }, to: { name: 'n2' }, vm: { name: 'web' } })
  })

  it('takes memory on both hosts while it lasts, and no longer', () => {
    const vm = running()
    const before = stateHash(world.state)
    const { operationId } = migrate(vm, n2)
    expect([n1, n2].map((id) => allocationOf(world.state, id))).toMatchObject([{ memoryMiB: 128, vms: 1 }, { memoryMiB: 128, cpus: 1, vms: 0 }])
    advance(operationId, failed)
    expect(stateHash(world.state)).not.toBe(before)
    expect([n1, n2].map((id) => allocationOf(world.state, id))).toMatchObject([{ memoryMiB: 128, vms: 1 }, { memoryMiB: 0, vms: 0 }])
  })

  it.each([
    ['prepare fails', [failed], 'back prepare on n2', true],
    ['transfer fails', [done(), failed], 'back transfer on n1', false],
  ] as const)('goes back when %s', (_name, outcomes, expected, freed) => {
    const vm = running()
    const { operationId } = migrate(vm, n2)
    for (const outcome of outcomes) advance(operationId, outcome)
    expect(where(operationId)).toBe(expected)
    expect(vmOf(vm).operationId === null).toBe(freed)
    if (!freed) advance(operationId, done())
    // The source is done: the VM is free, though the target has yet to clean up.
    expect(vmOf(vm)).toMatchObject({ operationId: null, migration: null, assignment: { nodeId: n1, epoch: 1 } })
    expect(world.state.tables.migration.get(operationId)).toMatchObject({ outcome: 'failed', reason: 'no' })
    expect(where(operationId)).toBe('back prepare on n2')
    expect(migrate(vm, n2).outcome).toBe('OPERATION_ACTIVE')
    expect(advance(operationId, done())).toBe('failed')
    expect(migrate(vm, n2).outcome).toBe('done')
    // The epoch of a holder that came to nothing is never given again.
    expect(vmOf(vm).migration?.target.epoch).toBe(3)
  })

  it('goes forward after all where the undo finds it gone', () => {
    const vm = running()
    const { operationId } = migrate(vm, n2)
    advance(operationId, done())
    expect(world.outcome('operation.cancel', { id: operationId })).toBe('done')
    expect(where(operationId)).toBe('back transfer on n1')
    expect(advance(operationId, { kind: 'gone', outputs: {} })).toBe('forward release on n1')
    for (let step = 0; step < 3; step++) advance(operationId, done())
    expect(operationOf(operationId)).toMatchObject({ state: 'done', error: null })
    expect(vmOf(vm).assignment).toEqual({ nodeId: n2, epoch: 2 })
  })

  it('is cancelled before the point of no return, not after it', () => {
    const vm = running()
    const { operationId } = migrate(vm, n2)
    world.run('operation.cancel', { id: operationId })
    expect(where(operationId)).toBe('back prepare on n2')
    expect(world.outcome('operation.cancel', { id: operationId })).toBe('STATE_CONFLICT')
    expect(advance(operationId, done())).toBe('cancelled')
    const again = migrate(vm, n2).operationId
    advance(again, done())
    advance(again, done())
    expect(world.outcome('operation.cancel', { id: again })).toBe('STATE_CONFLICT')
  })

  it('hears only the node, step and direction that are its turn', () => {
    const vm = running()
    const { operationId } = migrate(vm, n2)
    const say = (changes: Partial<CommandPayload<'operation.advance'>>) => world.run('operation.advance', { id: operationId, nodeId: n2, step: 0, direction: 'forward', outcome: done(), ...changes })
    say({ nodeId: n1 })
    say({ step: 1 })
    say({ direction: 'back' })
    world.run('operation.step', { id: operationId, nodeId: n2, step: 0, outcome: { kind: 'done' } })
    expect(where(operationId)).toBe('forward prepare on n2')
    advance(operationId, done())
    say({})
    expect(where(operationId)).toBe('forward transfer on n1')
  })

  it('is given up by the source where the target is silent, in its turn and before the point of no return only', () => {
    const vm = running()
    const { operationId } = migrate(vm, n2)
    const lost = (nodeId: NodeId) => world.run('operation.advance', { id: operationId, nodeId, step: operationOf(operationId).step, direction: 'forward', outcome: { kind: 'lost', message: 'silent' } })
    lost(n2)
    expect(where(operationId)).toBe('forward prepare on n2')
    lost(n1)
    expect(where(operationId)).toBe('back prepare on n2')
    expect(vmOf(vm).operationId).toBeNull()
    advance(operationId, done())
    const again = migrate(vm, n2).operationId
    for (let step = 0; step < 3; step++) advance(again, done())
    world.run('operation.advance', { id: again, nodeId: n1, step: 3, direction: 'forward', outcome: { kind: 'lost', message: 'silent' } })
    expect(where(again)).toBe('forward switch on n2')
  })

  it('past the point of no return nothing fails it', () => {
    const { operationId } = migrate(running(), n2)
    for (let step = 0; step < 2; step++) advance(operationId, done())
    expect(advance(operationId, failed)).toBe('forward release on n1')
  })

  it('lets nobody else have the VM', () => {
    const vm = running()
    migrate(vm, n2)
    expect(world.act(vm, 'stop', true).outcome).toBe('OPERATION_ACTIVE')
    expect(world.act(vm, 'delete', true).outcome).toBe('OPERATION_ACTIVE')
    expect(world.outcome('vm.patch', { id: vm, patch: { spec: { cpus: 2 } }, seed: '00' })).toBe('OPERATION_ACTIVE')
    expect(world.outcome('vm.patch', { id: vm, patch: { labels: { tier: 'x' } }, seed: '00' })).toBe('done')
  })
})

describe('a cold move', () => {
  it('flips after the copy and frees the VM at once when it turns back', () => {
    const vm = world.vm(n1, 'cold')
    const { operationId } = migrate(vm, n2)
    expect(operationOf(operationId).spec.operation).toBe('vm-move')
    expect(advance(operationId, done())).toBe('forward release on n1')
    expect(advance(operationId, done())).toBe('forward copy on n2')
    expect(advance(operationId, failed)).toBe('back prepare on n2')
    expect(vmOf(vm)).toMatchObject({ operationId: null, migration: null, assignment: { nodeId: n1 } })
    advance(operationId, done())
    const again = migrate(vm, n2).operationId
    for (let step = 0; step < 3; step++) advance(again, done({ bytes: 7 }))
    expect(where(again)).toBe('forward clean on n1')
    expect(vmOf(vm)).toMatchObject({ operationId: null, migration: null, assignment: { nodeId: n2, epoch: 3 } })
    expect(world.state.tables.migration.get(again)).toMatchObject({ live: false, bytes: 7 })
  })
})

describe('refusals', () => {
  it.each<readonly [string, string, (vm: VmId) => string]>([
    ['to where it is', 'STATE_CONFLICT', (vm) => migrate(vm, n1).outcome],
    ['to nowhere', 'REFERENCE_MISSING', (vm) => migrate(vm, world.newId() as NodeId).outcome],
    ['during another operation', 'OPERATION_ACTIVE', (vm) => {
      world.act(vm, 'stop')
      return migrate(vm, n2).outcome
    }],
    ['while it starts', 'STATE_CONFLICT', () => migrate(world.vm(n1, 'new', { runState: 'running' }), n2).outcome],
    ['where it does not fit', 'NO_FIT', () => {
      const big = world.vm(n1, 'big', { runState: 'running', memoryMiB: 3000 })
      world.report(big, n1, 'running')
      world.vm(n2, 'full', { runState: 'running', memoryMiB: 3000 })
      return migrate(big, n2).outcome
    }],
    ['to a node that takes none', 'STATE_CONFLICT', (vm) => {
      world.run('node.update', { id: n2, spec: { schedulable: false } })
      return migrate(vm, n2).outcome
    }],
    ['with a stale revision', 'REVISION_STALE', (vm) => migrate(vm, n2, { revision: 1 }).outcome],
  ])('%s: %s', (_name, code, act) => {
    expect(act(running())).toBe(code)
  })

  it('force overrules unschedulable, not a drain', () => {
    const vm = running()
    world.run('node.update', { id: n2, spec: { schedulable: false } })
    expect(migrate(vm, n2, { force: true }).outcome).toBe('done')
    const other = running('other')
    world.run('node.drain', { id: n2, operationId: world.newId() as OperationId, concurrency: 2 })
    expect(migrate(other, n2, { force: true }).outcome).toBe('STATE_CONFLICT')
  })
})

describe('a node that is removed', () => {
  const drop = (nodeId: NodeId) => {
    const transaction = new Transaction(world.state, { index: world.state.index, timeMs: world.timeMs, actor: admin, commandId: 'c' })
    dropNodeFromOperations(transaction, nodeId)
    transaction.commit()
  }
  const steps = (count: number): { vm: VmId; operationId: OperationId } => {
    const vm = running()
    const { operationId } = migrate(vm, n2)
    for (let step = 0; step < count; step++) advance(operationId, done())
    return { vm, operationId }
  }

  it.each([
    ['target', 0, 'failed', 1], ['target', 1, 'back transfer on n1', 1], ['target', 2, 'forward release on n1', 1], ['target', 3, 'forward clean on n1', 2], ['target', 4, 'forward clean on n1', 2],
    ['source', 0, 'back prepare on n2', 1], ['source', 1, 'back prepare on n2', 1], ['source', 2, 'forward switch on n2', 2], ['source', 3, 'forward switch on n2', 2], ['source', 4, 'done', 2],
  ] as const)('the %s at step %i: %s', (role, count, expected, epoch) => {
    const { vm, operationId } = steps(count)
    drop(role === 'target' ? n2 : n1)
    expect(where(operationId)).toBe(expected)
    expect(vmOf(vm).assignment?.epoch).toBe(epoch)
  })

  it('takes part in an operation until that has ended', () => {
    steps(4)
    expect(movesOnNode(world.state, n1)).toHaveLength(1)
    expect(world.outcome('node.remove', { id: n1, force: false })).toBe('IN_USE')
  })
})

describe('a drain', () => {
  it('marks the node, and is over with an uncordon', () => {
    const operationId = world.newId() as OperationId
    expect(world.outcome('node.drain', { id: n1, operationId, concurrency: 2 })).toBe('done')
    expect(world.outcome('node.drain', { id: n1, operationId: world.newId() as OperationId, concurrency: 2 })).toBe('OPERATION_ACTIVE')
    expect(world.state.tables.node.get(n1)?.spec).toEqual({ schedulable: false, draining: true })
    const vm = running()
    const moved = migrate(vm, n2, { drainId: operationId }).operationId
    expect(operationOf(moved).actor).toBe('admin')
    expect(world.outcome('node.uncordon', { id: n1 })).toBe('done')
    expect(operationOf(operationId).state).toBe('cancelled')
    expect(world.state.tables.node.get(n1)?.spec).toEqual({ schedulable: true })
  })
})

describe('the history', () => {
  it('is bounded, oldest first, the same after a restart', () => {
    const { operationId } = migrate(running(), n2)
    const first = world.state.tables.operation.get(operationId)!
    advance(operationId, failed)
    const record = world.state.tables.migration.get(operationId)!
    const { head, records } = exportState(world.state)
    expect(stateHash(importState({ head, records }))).toBe(head.hash)
    expect(first.move?.direction).toBe('forward')
    for (let at = 0; at < migrationsMax; at++) world.state.tables.migration.set(`x${at}`, { ...record, id: `x${at}` })
    world.run('node.update', { id: n1, labels: {} })
    expect(world.state.tables.migration.size).toBe(migrationsMax)
    expect(world.state.tables.migration.has(operationId)).toBe(false)
  })
})
