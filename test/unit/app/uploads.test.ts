// Uploads: bounded, forgotten after a day, nobody else's, and an image only when they are whole.
import { expect, test } from 'vitest'
import { AppContext, type AppPorts } from '../../../src/app/context.ts'
import type { Caller, WriteOptions } from '../../../src/app/face.ts'
import { ImageRegistration } from '../../../src/app/image-registration.ts'
import { ImageUseCases } from '../../../src/app/images.ts'
import { UploadUseCases } from '../../../src/app/uploads.ts'
import { systemRandom } from '../../../src/drivers/crypto/random.ts'
import { SimPool, SimStorage } from '../../../src/drivers/sim/storage.ts'
import { systemClock } from '../../../src/drivers/host/clock.ts'
import type { Command } from '../../../src/model/command.ts'
import type { UserId } from '../../../src/model/id.ts'
import type { Image } from '../../../src/model/image.ts'
import { uploadLifeMs, uploadsMax, type Upload } from '../../../src/model/upload.ts'
import { applyCommand } from '../../../src/state/apply.ts'
import { bootDisk, chunks, hashOf } from '../../contract/storage.ts'
import { World } from '../state/world.ts'

const disk = bootDisk(64 * 1024, 'up')
const options: WriteOptions = { idempotencyKey: null, bodyHash: '', ifMatch: null, dryRun: false, waitSeconds: 0, signal: new AbortController().signal }
const { signal } = options

function desk() {
  const world = new World()
  const { nodeId, adminId } = world.form()
  const pool = new SimPool()
  pool.faults.latencyMsMax = 1
  pool.faults.latencyMsMin = 0
  let nowMs = 0
  const clock = { ...systemClock, nowMs: () => nowMs }
  const storage = new SimStorage({ clock: systemClock, random: systemRandom, pool })
  const { state } = world
  const ports = {
    clock, random: systemRandom, storage, progress: { of: () => null },
    consensus: {
      state, status: () => ({ quorum: true }), readBarrier: () => Promise.resolve(state.index),
      propose: async (command: Command) => applyCommand(state, { index: state.index + 1, term: 1, timeMs: world.timeMs, command }).result,
    },
  } as unknown as AppPorts
  const context = new AppContext({ nodeId, version: '0' }, ports)
  const registration = new ImageRegistration(context)
  const uploads = new UploadUseCases(context, registration, new ImageUseCases(context, registration))
  const as = (userId: string, role: 'administrator' | 'operator' | 'viewer'): Caller => ({ actor: { kind: 'user', id: userId, name: userId, address: '' }, userId, userName: userId, bindings: [{ role, scope: 'cluster' }], session: null })
  const admin = as(adminId, 'administrator')
  const begin = async (caller = admin, name = 'big', spec: object = {}, key: string | null = null): Promise<Upload> => (await uploads.create(caller, { name, spec: { sizeBytes: disk.length, ...spec } }, { ...options, idempotencyKey: key })) as Upload
  return { world, uploads, admin, as, begin, pool, pass: (ms: number) => (nowMs += ms) }
}

test('an upload is an image only when it is whole, and the same one when asked again', async () => {
  const { uploads, admin, begin } = desk()
  const { id } = await begin(admin, 'big', { sha256: hashOf(disk), copies: 'all', os: 'test' })
  await uploads.append(admin, id, chunks(disk.subarray(0, 1000)), { offset: 0, announcedBytes: null, signal })
  await expect(uploads.finish(admin, id, options)).rejects.toMatchObject({ code: 'STATE_CONFLICT', data: { offset: 1000 } })
  expect((await uploads.append(admin, id, chunks(disk.subarray(1000)), { offset: 1000, announcedBytes: null, signal })).status.offset).toBe(disk.length)
  const [one, two] = (await Promise.all([uploads.finish(admin, id, options), uploads.finish(admin, id, options)])) as [Image, Image]
  expect(one).toMatchObject({ name: 'big', spec: { sha256: hashOf(disk), copies: 'all', os: 'test' } })
  expect(two.id).toBe(one.id)
  expect(((await uploads.finish(admin, id, options)) as Image).id).toBe(one.id)
  expect((await uploads.list(admin)).total).toBe(0)
})

test('nobody sees or ends an upload of somebody else, but administrators do', async () => {
  const { world, uploads, admin, as, begin } = desk()
  const [ann, bob] = ['ann', 'bob'].map((name) => {
    const id = world.newId() as UserId
    world.run('user.create', { id, name, labels: {}, spec: { displayName: '', disabled: false, bindings: [{ role: 'operator', scope: 'cluster' }] }, passwordHash: 'h' })
    return as(id, 'operator')
  }) as [Caller, Caller]
  const { id } = await begin(ann)
  expect((await uploads.list(bob)).total).toBe(0)
  await expect(uploads.get(bob, id)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  await expect(uploads.append(bob, id, chunks(disk), { offset: 0, announcedBytes: null, signal })).rejects.toMatchObject({ code: 'NOT_FOUND' })
  await expect(uploads.delete(bob, id, options)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  await expect(uploads.get(as('v', 'viewer'), id)).rejects.toMatchObject({ code: 'FORBIDDEN' })
  expect((await uploads.list(admin)).total).toBe(1)
  await uploads.delete(admin, id, options)
  expect((await uploads.list(ann)).total).toBe(0)
})

test('they are bounded in number and size, and forgotten a day after the last part', async () => {
  const { uploads, admin, begin, pool, pass } = desk()
  for (let at = 0; at < uploadsMax; at++) await begin(admin, `u-${at}`)
  await expect(begin(admin, 'more')).rejects.toMatchObject({ code: 'LIMIT_REACHED' })
  pass(uploadLifeMs + 1)
  await begin(admin, 'more')
  expect((await uploads.list(admin)).items.map((upload) => upload.name)).toEqual(['more'])
  const left = (await uploads.list(admin)).items[0]!
  await expect(uploads.append(admin, left.id, chunks(disk), { offset: 0, announcedBytes: disk.length + 1, signal })).rejects.toMatchObject({ code: 'BODY_TOO_LARGE' })
  expect((await uploads.get(admin, left.id)).status.offset).toBe(0)
  await expect(uploads.append(admin, left.id, chunks(Buffer.alloc(disk.length + 1)), { offset: 0, announcedBytes: null, signal })).rejects.toMatchObject({ code: 'BODY_TOO_LARGE' })
  pool.faults.capacityBytes = 1000
  await expect(begin(admin, 'huge')).rejects.toMatchObject({ code: 'STORAGE_FULL' })
})

test('a name that is another image\'s is refused before anything is sent; a request sent twice begins one upload', async () => {
  const { world, uploads, admin, begin } = desk()
  world.image([...world.state.tables.node.keys()][0] as never, 'tiny')
  await expect(begin(admin, 'tiny')).rejects.toMatchObject({ code: 'NAME_TAKEN' })
  const one = await begin(admin, 'big', {}, 'key')
  expect((await begin(admin, 'big', {}, 'key')).id).toBe(one.id)
  expect((await uploads.list(admin)).total).toBe(1)
})

test('a dry run of the end says what would become of it, or why it cannot; nothing moves', async () => {
  const { world, uploads, admin, begin } = desk()
  const dry = { ...options, dryRun: true }
  const { id } = await begin()
  await expect(uploads.finish(admin, id, dry)).rejects.toMatchObject({ code: 'STATE_CONFLICT' })
  await uploads.append(admin, id, chunks(disk), { offset: 0, announcedBytes: null, signal })
  expect(await uploads.finish(admin, id, dry)).toEqual({ dryRun: true, differences: [{ path: '', before: null, after: { name: 'big', labels: {}, spec: { sizeBytes: disk.length } } }] })
  expect(world.state.tables.image.size).toBe(0)
  expect(await uploads.delete(admin, id, dry)).toMatchObject({ dryRun: true, differences: [{ before: { name: 'big' }, after: null }] })
  expect((await uploads.list(admin)).total).toBe(1)
  await uploads.finish(admin, id, options)
  expect(await uploads.finish(admin, id, dry)).toEqual({ dryRun: true, differences: [] })
})
