// Imports from addresses: to an image, on after a break where the other side allows it, ended by cancel, told why they failed.
import { expect, test } from 'vitest'
import { systemRandom } from '../../../src/drivers/crypto/random.ts'
import { SimPool, SimStorage } from '../../../src/drivers/sim/storage.ts'
import { systemClock } from '../../../src/drivers/host/clock.ts'
import type { Command } from '../../../src/model/command.ts'
import { OperationalError } from '../../../src/model/error.ts'
import type { ImageId, OperationId } from '../../../src/model/id.ts'
import { ImageImporter } from '../../../src/operations/import-image.ts'
import type { Consensus, ConsensusNotice } from '../../../src/ports/consensus.ts'
import type { ImageSource, OpenedSource } from '../../../src/ports/image-source.ts'
import { applyCommand } from '../../../src/state/apply.ts'
import type { StateHolder } from '../../../src/state/state.ts'
import { bootDisk, chunks, hashOf } from '../../contract/storage.ts'
import { recordingLog } from '../http/harness.ts'
import { World } from '../state/world.ts'

const disk = bootDisk(64 * 1024, 'web')
type Open = (from: { readonly offset: number; readonly validator: string | null }, signal: AbortSignal) => Promise<OpenedSource>

function desk(open: Open) {
  const world = new World()
  const { nodeId } = world.form()
  const pool = new SimPool()
  pool.faults.latencyMsMax = 1
  pool.faults.latencyMsMin = 0
  // Pauses between attempts are short here.
  const clock = { ...systemClock, after: (ms: number, action: () => void) => systemClock.after(ms / 100, action) }
  const storage = new SimStorage({ clock: systemClock, random: systemRandom, pool })
  const listeners = new Set<(notice: ConsensusNotice) => void>()
  const apply = (command: Command) => {
    const { result, events } = applyCommand(world.state, { index: world.state.index + 1, term: 1, timeMs: world.timeMs, command })
    for (const listener of listeners) listener({ kind: 'applied', index: world.state.index, command, events })
    return result
  }
  const consensus = { state: world.state, watch: (listener: (notice: ConsensusNotice) => void) => (listeners.add(listener), () => listeners.delete(listener)), propose: async (command: Command) => apply(command) } as unknown as Consensus & StateHolder
  const source: ImageSource = { check: (url) => url, open: (_url, from, limits) => open(from, limits.signal) }
  const told: number[] = []
  const importer = new ImageImporter({ nodeId }, { clock, random: systemRandom, log: recordingLog([]), consensus, storage, source, onProgress: (_id, progress) => told.push(progress.processedBytes) })
  importer.start()
  const begin = (sha256: string | null = null, name = 'web'): OperationId => {
    const operationId = world.newId() as OperationId
    const { result, events } = world.run('image.import', { operationId, imageId: world.newId() as ImageId, nodeId, name, project: 'default', labels: { a: 'b' }, url: 'https://images.example/web', sha256, os: '', copies: 2 })
    expect(result.kind).toBe('done')
    for (const listener of listeners) listener({ kind: 'applied', index: world.state.index, command: null, events })
    return operationId
  }
  const operation = (id: OperationId) => world.state.tables.operation.get(id)!
  const cancel = (id: OperationId) => {
    const { events } = world.run('operation.cancel', { id })
    for (const listener of listeners) listener({ kind: 'applied', index: world.state.index, command: null, events })
  }
  const image = () => [...world.state.tables.image.values()].find((each) => each.name === 'web')
  return { world, storage, begin, operation, cancel, image, told, importer }
}
const whole = (offset = 0): OpenedSource => ({ offset, totalBytes: disk.length, validator: '"one"', body: chunks(disk.subarray(offset), 4096) })

test('becomes an image with what was wished of it', async () => {
  const { begin, operation, image, storage, told, importer } = desk(async () => whole())
  const id = begin(hashOf(disk))
  await expect.poll(() => operation(id).state).toBe('done')
  expect(image()).toMatchObject({ labels: { a: 'b' }, spec: { sha256: hashOf(disk), format: 'raw', copies: 2 } })
  expect(await storage.hasImage(hashOf(disk))).toBe(true)
  expect(told.length).toBeGreaterThan(0)
  importer.stop()
})

test('goes on after a break, or from the beginning where the file is another', async () => {
  const asked: string[] = []
  let breaks = 2
  const { begin, operation, importer } = desk(async ({ offset, validator }) => {
    asked.push(`${offset} ${validator}`)
    const from = validator === '"one"' ? offset : 0
    if (breaks-- <= 0) return whole(from)
    return { ...whole(from), body: (async function* () {
      yield disk.subarray(from, from + 10_000)
      throw new OperationalError('SOURCE_FAILED', 'The file broke off.')
    })() }
  })
  const id = begin()
  await expect.poll(() => operation(id).state, { timeout: 5000 }).toBe('done')
  expect(asked).toEqual(['0 null', '10000 "one"', '20000 "one"'])
  importer.stop()
})

test.each([
  { title: 'another checksum', open: async () => whole(), sha256: '0'.repeat(64), code: 'IMAGE_CHECKSUM' },
  { title: 'a private address behind a name', open: async () => { throw new OperationalError('SOURCE_REFUSED', 'It is private.') }, sha256: null, code: 'SOURCE_REFUSED' },
  { title: 'no such file', open: async () => { throw new OperationalError('SOURCE_FAILED', 'The address answered 404.') }, sha256: null, code: 'SOURCE_FAILED' },
  { title: 'an address that gives nothing, again and again', open: async () => { throw new OperationalError('SOURCE_FAILED', 'no answer') }, sha256: null, code: 'SOURCE_FAILED' },
  { title: 'what is no image', open: async () => ({ ...whole(), totalBytes: 1024, body: chunks(new Uint8Array(1024)) }), sha256: null, code: 'IMAGE_UNREADABLE' },
] as const)('fails: $title', async ({ open, sha256, code }) => {
  const { begin, operation, image, storage, importer } = desk(open)
  const id = begin(sha256)
  await expect.poll(() => operation(id).state, { timeout: 5000 }).toBe('failed')
  expect(operation(id).error).toMatchObject({ code })
  expect(image()).toBeUndefined()
  expect(await storage.intake.list()).toEqual([])
  importer.stop()
})

test('a cancel ends it at once and leaves nothing', async () => {
  const { begin, operation, cancel, storage, image, importer } = desk(async (_from, signal) => ({ ...whole(), body: (async function* () {
    yield disk.subarray(0, 4096)
    await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
  })() }))
  const id = begin()
  await expect.poll(async () => (await storage.intake.list())[0]?.sizeBytes).toBe(4096)
  cancel(id)
  expect(operation(id).state).toBe('cancelled')
  await expect.poll(async () => (await storage.intake.list()).length).toBe(0)
  expect(image()).toBeUndefined()
  importer.stop()
})

test('two of one name are not begun, and a name that was taken meanwhile is why it fails', async () => {
  const gate = Promise.withResolvers<void>()
  const { world, begin, operation, importer } = desk(async () => {
    await gate.promise
    return whole()
  })
  const id = begin()
  const payload = { operationId: world.newId() as OperationId, imageId: world.newId() as ImageId, nodeId: operation(id).nodeId as never, name: 'web', project: 'default', labels: {}, url: 'https://x.example/', sha256: null, os: '', copies: 1 }
  expect(world.outcome('image.import', payload)).toBe('OPERATION_ACTIVE')
  world.image(operation(id).nodeId as never, 'web')
  gate.resolve()
  await expect.poll(() => operation(id).state).toBe('failed')
  expect(operation(id).error?.code).toBe('NAME_TAKEN')
  importer.stop()
})
