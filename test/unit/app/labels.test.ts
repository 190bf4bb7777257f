// Labels that different people change at the same moment: each change stays. Found by the chaos test, which missed an acknowledged label.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AppContext } from '../../../src/app/context.ts'
import type { Caller, WriteOptions } from '../../../src/app/face.ts'
import { labelChange } from '../../../src/app/write.ts'
import { startRealNode, type RealNode } from '../http/real-node.ts'
import { announcement, World } from '../state/world.ts'

let node: RealNode
let caller: Caller

beforeAll(async () => {
  node = await startRealNode()
  caller = (await node.node.app.identity.authenticateToken(node.token, ''))!
  await node.node.app.projects.create(caller, { name: 'shop' }, options)
  await node.node.app.users.create(caller, { name: 'eve', spec: { bindings: [] }, password: 'correct horse' }, options)
  await node.node.app.vms.create(caller, { name: 'web', spec: { cpus: 1, memoryMiB: 64 } }, options)
})
afterAll(() => node.stop())

const options: WriteOptions = { idempotencyKey: null, bodyHash: '', ifMatch: null, dryRun: false, waitSeconds: 0, signal: new AbortController().signal }
const own = () => node.node.cluster.state.tables.node.values().next().value!.name
const kinds = {
  project: (labels: object) => node.node.app.projects.patch(caller, 'shop', { labels }, options),
  user: (labels: object) => node.node.app.users.patch(caller, 'eve', { labels }, options),
  node: (labels: object) => node.node.app.nodes.patch(caller, own(), { labels }, options),
  vm: (labels: object) => node.node.app.vms.patch(caller, 'web', { labels }, options),
} as const
const codeOf = (work: Promise<unknown>) => work.then(() => 'done', (error: unknown) => (error as { readonly code?: string }).code)

describe.each(Object.entries(kinds))('%s', (_, patch) => {
  test('of two at once neither is lost', async () => {
    await Promise.all([patch({ a: '1' }), patch({ b: '2' }), patch({ c: '3' })])
    expect(await patch({ c: null })).toMatchObject({ labels: { a: '1', b: '2' } })
  })

  test('too many are refused, those that are there counted', async () => {
    const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`l${at}`, 'x']))
    expect(await codeOf(patch(many(63)))).toBe('INVALID')
    expect(await codeOf(patch(many(62)))).toBe('done')
    expect(await codeOf(patch({ 'no key!': 'x' }))).toBe('INVALID')
  })
})

test('while a member of the first level is there, nothing is sent that it would not know', () => {
  const world = new World()
  const { nodeId } = world.form()
  const context = { state: world.state } as AppContext
  const announce = (featureLevel: number) => world.run('node.announce', { id: nodeId, announcement: announcement({ featureLevel }) })
  announce(1)
  expect(labelChange(context, { a: '1', b: '2' }, { a: null, c: '3' })).toEqual({ labels: { b: '2', c: '3' } })
  expect(labelChange(context, { a: '1' }, undefined)).toEqual({})
  expect(() => labelChange(context, {}, Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`l${at}`, 'x'])))).toThrow(expect.objectContaining({ code: 'INVALID' }))
  announce(2)
  expect(labelChange(context, { a: '1', b: '2' }, { a: null, c: '3' })).toEqual({ labelPatch: { a: null, c: '3' } })
})
