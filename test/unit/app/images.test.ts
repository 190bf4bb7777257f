// Imports of one content at the same time: one that is refused does not take the file from under the other.
import { expect, test } from 'vitest'
import { AppContext, type AppPorts } from '../../../src/app/context.ts'
import type { Caller, WriteOptions } from '../../../src/app/face.ts'
import { ImageRegistration } from '../../../src/app/image-registration.ts'
import { ImageUseCases } from '../../../src/app/images.ts'
import type { Command } from '../../../src/model/command.ts'
import { applyCommand } from '../../../src/state/apply.ts'
import { World } from '../state/world.ts'

const sha256 = 'c'.repeat(64)
const options: WriteOptions = { idempotencyKey: null, bodyHash: '', ifMatch: null, dryRun: false, waitSeconds: 0, signal: new AbortController().signal }

function desk() {
  const world = new World()
  const { nodeId, adminId } = world.form()
  const caller: Caller = { actor: { kind: 'user', id: adminId, name: 'admin', address: '' }, userId: adminId, userName: 'admin', bindings: [{ role: 'administrator', scope: '*' }], session: null }
  world.image(nodeId, 'taken')
  const files = new Set<string>()
  const gate = Promise.withResolvers<void>()
  const { state } = world
  const clock = { nowMs: () => world.timeMs, monotonicMs: () => 0, after: () => () => undefined, every: () => () => undefined }
  const ports = {
    clock, random: { integer: () => 0, bytes: (length: number) => crypto.getRandomValues(new Uint8Array(length)) },
    consensus: {
      state, status: () => ({ quorum: true }), readBarrier: () => Promise.resolve(state.index),
      propose: async (command: Command) => {
        await gate.promise
        return applyCommand(state, { index: state.index + 1, term: 1, timeMs: world.timeMs, command }).result
      },
    },
    progress: { of: () => null },
    storage: {
      importImage: () => Promise.resolve(files.add(sha256)).then(() => ({ sha256, format: 'qcow2', sizeBytes: 1, virtualSizeBytes: 1 })),
      deleteImage: (id: string) => Promise.resolve(files.delete(id)).then(() => undefined),
    },
  } as unknown as AppPorts
  const context = new AppContext({ nodeId, version: '0' }, ports)
  const images = new ImageUseCases(context, new ImageRegistration(context))
  const take = (name: string) => images.import(caller, { name }, async function* () {}, options)
  return { files, gate, take }
}

test('a refused import leaves the file that another import is about to register', async () => {
  const { files, gate, take } = desk()
  const good = take('fresh')
  await expect(take('taken')).rejects.toMatchObject({ code: 'NAME_TAKEN' })
  gate.resolve()
  expect(await good).toMatchObject({ name: 'fresh' })
  expect(files.has(sha256)).toBe(true)
})

test('a refused import that is alone leaves nothing', async () => {
  const { files, take } = desk()
  await expect(take('taken')).rejects.toMatchObject({ code: 'NAME_TAKEN' })
  expect(files.size).toBe(0)
})
