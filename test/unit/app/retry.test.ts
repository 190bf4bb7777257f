// A request that is sent again with its key gets its first answer, whatever has become of its target since.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Caller, WriteOptions } from '../../../src/app/face.ts'
import { startRealNode, type RealNode } from '../http/real-node.ts'

let node: RealNode
let caller: Caller
let serial = 0

beforeAll(async () => {
  node = await startRealNode()
  caller = (await node.node.app.identity.authenticateToken(node.token, ''))!
})
afterAll(() => node.stop())

const options = (key: string | null, changes: Partial<WriteOptions> = {}): WriteOptions => ({
  idempotencyKey: key, bodyHash: 'same', ifMatch: null, dryRun: false, waitSeconds: 10, signal: new AbortController().signal, ...changes,
})
const newName = () => `vm-${++serial}`
const create = (name: string, key: string | null = null) => node.node.app.vms.create(caller, { name, spec: { cpus: 1, memoryMiB: 64 } }, options(key))
const codeOf = (work: Promise<unknown>) => work.then(() => 'done', (error: unknown) => (error as { readonly code?: string }).code ?? String(error))

test('create', async () => {
  const name = newName()
  const first = await create(name, 'create')
  expect(await create(name, 'create')).toMatchObject({ id: (first as { readonly id: string }).id })
  expect(await codeOf(create(name))).toBe('NAME_TAKEN')
  expect(await codeOf(node.node.app.vms.create(caller, { name: newName(), spec: { cpus: 1, memoryMiB: 64 } }, options('create', { bodyHash: 'other' })))).toBe('IDEMPOTENCY_MISMATCH')
})

test('delete: the operation, though the VM is gone', async () => {
  const name = newName()
  await create(name)
  const first = await node.node.app.vms.delete(caller, name, {}, options('delete'))
  expect(first).toMatchObject({ status: { state: 'done' } })
  const again = await node.node.app.vms.delete(caller, name, {}, options('delete'))
  expect(again).toEqual(first)
  expect(await codeOf(node.node.app.vms.delete(caller, name, {}, options('delete', { bodyHash: 'other' })))).toBe('IDEMPOTENCY_MISMATCH')
  expect(await codeOf(node.node.app.vms.delete(caller, name, {}, options(null)))).toBe('NOT_FOUND')
})

test('a rename', async () => {
  const [name, next] = [newName(), newName()]
  await create(name)
  const first = await node.node.app.vms.patch(caller, name, { name: next }, options('rename'))
  expect(first).toMatchObject({ name: next })
  expect(await node.node.app.vms.patch(caller, name, { name: next }, options('rename'))).toMatchObject({ name: next })
})

test('deleting a user, revoking a token, changing one\'s password', async () => {
  const { users, tokens } = node.node.app
  await users.create(caller, { name: 'eve', spec: { bindings: [] }, password: 'correct horse' }, options(null))
  for (let turn = 0; turn < 2; turn++) expect(await users.delete(caller, 'eve', options('user'))).toBeNull()
  await tokens.create(caller, { name: 'ci' }, options(null))
  for (let turn = 0; turn < 2; turn++) expect(await tokens.revoke(caller, 'ci', options('token'))).toBeNull()
  const body = { current: node.password, password: 'correct horse' }
  for (let turn = 0; turn < 2; turn++) expect(await users.setPassword(caller, 'admin', body, options('password'))).toMatchObject({ name: 'admin' })
})

test('a rename of the node', async () => {
  const { nodes } = node.node.app
  const [former] = nodes.list(caller, { limit: 1, after: null, sort: null, filter: null } as never).items
  for (let turn = 0; turn < 2; turn++) expect(await nodes.patch(caller, former!.name, { name: 'other' }, options('node'))).toMatchObject({ name: 'other' })
  await nodes.patch(caller, 'other', { name: former!.name }, options(null))
})
