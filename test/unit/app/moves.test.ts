// What operators are told before VMs move or a node goes: plans that hold, the node they wished for, and what nobody can do now.
import { beforeEach, describe, expect, test } from 'vitest'
import { AppContext, type AppPorts } from '../../../src/app/context.ts'
import type { Caller, DryRun, Membership, WriteOptions } from '../../../src/app/face.ts'
import { NodeUseCases } from '../../../src/app/nodes.ts'
import { VmUseCases } from '../../../src/app/vms.ts'
import { systemRandom } from '../../../src/drivers/crypto/random.ts'
import type { Command } from '../../../src/model/command.ts'
import type { NodeId, OperationId, TokenId } from '../../../src/model/id.ts'
import type { Operation } from '../../../src/model/operation.ts'
import { applyCommand } from '../../../src/state/apply.ts'
import { announcement, World } from '../state/world.ts'

const options: WriteOptions = { idempotencyKey: null, bodyHash: '', ifMatch: null, dryRun: false, waitSeconds: 0, signal: new AbortController().signal }
const dry = { ...options, dryRun: true }

let world: World
let ids: Record<'n1' | 'n2' | 'n3', NodeId>
let upMs: number
/** Name → milliseconds since it was heard of; null: never. */
let ages: Record<string, number | null>
let nodes: NodeUseCases
let vms: VmUseCases
let caller: Caller
let nodeOf: (name: string) => ReturnType<NodeUseCases['get']>

function join(name: string, memoryMiB: number): NodeId {
  const [id, token] = [world.newId() as NodeId, world.newId() as TokenId]
  world.run('joinToken.create', { id: token, secretHash: name, lifeSeconds: 600 })
  const capacity = { cpus: 8, memoryMiB, storageBytes: 2 ** 40 }
  world.run('node.admit', { node: { id, name, peerId: `peer-${name}`, wrapKey: `w-${name}`, wrappedClusterKey: 'k' }, announcement: announcement({ capacity }), joinTokenId: token, joinSecretHash: name })
  return id
}

function running(name: string, nodeId: NodeId, memoryMiB: number): void {
  world.report(world.vm(nodeId, name, { memoryMiB, runState: 'running' }), nodeId, 'running')
}

beforeEach(() => {
  world = new World()
  const { nodeId, adminId } = world.form()
  ids = { n1: nodeId, n2: join('n2', 1200), n3: join('n3', 1000) }
  ages = { n1: 100, n2: 100, n3: 100 }
  upMs = 3_600_000
  const { state } = world
  const nameOf = (id: string) => state.tables.node.get(id)?.name ?? ''
  const clock = { nowMs: () => world.timeMs, monotonicMs: () => (upMs += 1_000), after: () => () => undefined }
  const ports = {
    clock, random: systemRandom, progress: { of: () => null },
    presence: { of: (id: string) => (typeof ages[nameOf(id)] === 'number' ? { load: null, ageMs: ages[nameOf(id)] } : null) },
    transport: { peers: () => Object.values(ids).map((id) => ({ nodeId: id, connected: ages[nameOf(id)] !== null })) },
    consensus: {
      state, status: () => ({ quorum: true, halted: null, troubles: [], leaderId: nodeId, configuration: { voters: Object.values(ids), learners: [] } }), readBarrier: () => Promise.resolve(state.index), watch: () => () => undefined,
      propose: async (command: Command) => applyCommand(state, { index: state.index + 1, term: 1, timeMs: world.timeMs, command }).result,
    },
  } as unknown as AppPorts
  const context = new AppContext({ nodeId, version: '0' }, ports)
  nodes = new NodeUseCases(context, {} as Membership)
  vms = new VmUseCases(context)
  caller = { actor: { kind: 'user', id: adminId, name: 'admin', address: '' }, userId: adminId, userName: 'admin', bindings: [{ role: 'administrator', scope: 'cluster' }], session: null }
  nodeOf = (name) => nodes.get(caller, name)
})

describe('a drain, tried first', () => {
  test('counts each VM where it went before it places the next', async () => {
    for (const name of ['a', 'b', 'c']) running(name, ids.n1, 600)
    const preview = (await nodes.drain(caller, 'n1', {}, dry)) as DryRun
    const places = preview.differences.filter(({ path }) => path.startsWith('vms.')).map(({ path, after }) => `${path} ${String(after)}`)
    expect(places).toEqual(['vms.a.node n2', 'vms.b.node n3', 'vms.c.node n2'])
    expect(preview.notes).toBeUndefined()
    running('d', ids.n1, 600)
    const tight = (await nodes.drain(caller, 'n1', {}, dry)) as DryRun
    expect(tight.differences.at(-1)).toEqual({ path: 'vms.d.node', before: 'n1', after: null })
    expect(tight.notes).toEqual(['d would stay: n2 has 0 MiB of memory free, less than 600, n3 has 400 MiB of memory free, less than 600.'])
  })
})

describe('a drain that is over', () => {
  const conditions = () => nodeOf('n1').status.conditions

  test('is said to be over, with what is left; until then it runs', async () => {
    running('a', ids.n1, 600)
    const { id } = (await nodes.drain(caller, 'n1', {}, options)) as Operation
    expect(conditions()).toEqual([expect.objectContaining({ type: 'Draining', status: 'true', message: '1 VM yet to move.', cause: expect.objectContaining({ operationId: id, actor: 'admin' }) as unknown })])
    world.run('operation.step', { id: id as OperationId, nodeId: ids.n1, step: 0, outcome: { kind: 'failed', code: 'NO_FIT', message: 'a fits nowhere.' } }, { actor: { kind: 'node', id: ids.n1, name: 'drain', address: '' } })
    expect(conditions()).toEqual([expect.objectContaining({ type: 'Drained', status: 'false', reason: 'vmsLeft', message: 'a fits nowhere.' })])
    running('web', ids.n3, 600)
    await expect(vms.migrate(caller, 'web', { node: 'n1' }, options)).rejects.toMatchObject({ code: 'STATE_CONFLICT', message: 'web cannot move to n1: it is drained and takes no VMs until it is opened again (novacron node uncordon n1). Nothing was done.' })
    await nodes.uncordon(caller, 'n1', options)
    expect(conditions()).toEqual([])
  })

  test('with nothing left it is drained', async () => {
    const { id } = (await nodes.drain(caller, 'n1', {}, options)) as Operation
    world.run('operation.step', { id: id as OperationId, nodeId: ids.n1, step: 0, outcome: { kind: 'done' } }, { actor: { kind: 'node', id: ids.n1, name: 'drain', address: '' } })
    expect(conditions()).toEqual([expect.objectContaining({ type: 'Drained', status: 'true', reason: 'empty' })])
  })
})

describe('a migration, tried first', () => {
  test('shows the node that was wished for, and what was thought of it', async () => {
    running('web', ids.n1, 600)
    expect(await vms.migrate(caller, 'web', {}, dry)).toMatchObject({ placement: { node: 'n2' }, differences: [{ before: 'n1', after: 'n2' }] })
    expect(await vms.migrate(caller, 'web', { node: 'n3' }, dry)).toMatchObject({
      differences: [{ path: 'status.node', before: 'n1', after: 'n3' }],
      placement: { node: 'n3', reason: 'as asked: 1000 MiB of memory free', considered: [{ node: 'n3', fits: true }, { node: 'n2', fits: true }] },
    })
  })

  test('says why the wished node does not fit, and which does', async () => {
    running('web', ids.n1, 1100)
    await expect(vms.migrate(caller, 'web', { node: 'n3' }, dry)).rejects.toMatchObject({
      code: 'NO_FIT', message: 'web cannot move to n3: it has 1000 MiB of memory, less than 1100. n2 would take it.', data: { fields: [{ path: 'node' }] },
    })
  })

  test('is refused at once while nothing is heard of the host, with what can be done', async () => {
    running('web', ids.n3, 600)
    ages['n3'] = 12_000
    for (const body of [{}, { node: 'n2' }]) {
      await expect(vms.migrate(caller, 'web', body, options)).rejects.toMatchObject({ code: 'STATE_CONFLICT', message: expect.stringMatching(/its host n3 was last heard of 12 s ago\. Bring the host back.*novacron vm recover web\. Nothing was done\./) as unknown })
    }
    expect(world.state.tables.operation.size).toBe(0)
    ages['n3'] = 100
    expect(await vms.migrate(caller, 'web', {}, options)).toMatchObject({ kind: 'operation' })
  })
})

describe('a removal by force', () => {
  const force = { force: true, hostIsOff: true }

  test.each([['heard of seconds ago', 3_200, /n3 was heard of 3 s ago: .*for 10 s.*Switch its host off.*or drain it/], ['heard of this moment', 40, /n3 was heard of just now/]])('is refused for a node %s, also as a dry run', async (_what, ageMs, message) => {
    ages['n3'] = ageMs
    for (const each of [options, dry]) await expect(nodes.remove(caller, 'n3', force, each)).rejects.toMatchObject({ code: 'STATE_CONFLICT', message: expect.stringMatching(message) as unknown })
    expect(world.state.tables.node.get(ids.n3)?.leaving).toBeUndefined()
  })

  test('takes a node that has been silent for ten seconds, and goes on when asked again', async () => {
    running('web', ids.n3, 600)
    ages['n3'] = 10_000
    const once = { ...options, idempotencyKey: 'k' }
    await nodes.remove(caller, 'n3', force, { ...once, signal: AbortSignal.abort() })
    expect(nodeOf('n3').status.conditions).toMatchObject([{ type: 'Leaving' }])
    await expect(vms.migrate(caller, 'web', {}, options)).rejects.toMatchObject({ code: 'STATE_CONFLICT', message: expect.stringContaining('its host n3 was removed. Begin it anew elsewhere: novacron vm recover web') as unknown })
    ages['n3'] = 500
    expect(await nodes.remove(caller, 'n3', force, { ...once, signal: AbortSignal.abort() })).toMatchObject({ name: 'n3' })
  })

  test('counts from its own start where a node was never heard of', async () => {
    ages['n3'] = null
    await nodes.remove(caller, 'n2', {}, { ...options, signal: AbortSignal.abort() })
    await nodes.remove(caller, 'n3', force, { ...options, signal: AbortSignal.abort() }).catch((error: unknown) => expect(error).toMatchObject({ code: 'STATE_CONFLICT', message: expect.stringContaining('This node has listened for') as unknown }))
    upMs += 10_000
    expect(await nodes.remove(caller, 'n3', force, { ...options, signal: AbortSignal.abort() })).toMatchObject({ name: 'n3' })
  })

  test('without force nothing of this is asked', async () => {
    expect(await nodes.remove(caller, 'n3', {}, { ...options, signal: AbortSignal.abort() })).toMatchObject({ name: 'n3' })
  })
})
