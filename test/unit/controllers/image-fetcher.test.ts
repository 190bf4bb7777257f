// Fetching images from other nodes: verified, resumed where it broke, from another holder when one fails or lies, shared by those who ask.
import { expect, test } from 'vitest'
import { systemRandom } from '../../../src/drivers/crypto/random.ts'
import { systemClock } from '../../../src/drivers/host/clock.ts'
import { SimPool, SimStorage } from '../../../src/drivers/sim/storage.ts'
import { ImageFetcher } from '../../../src/controllers/image-fetcher.ts'
import { OperationalError } from '../../../src/model/error.ts'
import type { NodeId } from '../../../src/model/id.ts'
import type { Command } from '../../../src/model/command.ts'
import type { Consensus } from '../../../src/ports/consensus.ts'
import type { ByteStream, PeerStreams, StreamHeader } from '../../../src/ports/transport.ts'
import { applyCommand } from '../../../src/state/apply.ts'
import type { StateHolder } from '../../../src/state/state.ts'
import { bootDisk, chunks, hashOf } from '../../contract/storage.ts'
import { recordingLog } from '../http/harness.ts'
import { World } from '../state/world.ts'

const disk = bootDisk(512 * 1024, 'base')
const sha256 = hashOf(disk)
const { signal } = new AbortController()
type Serve = (header: StreamHeader) => AsyncIterable<Uint8Array>

/** One node that fetches; the others are what each test says they are. */
function desk(serve: Readonly<Record<string, Serve>>) {
  const world = new World()
  world.form()
  const me = world.newId() as NodeId
  const names = Object.keys(serve)
  const nodeIds = names.map(() => world.newId() as NodeId)
  for (const id of [me, ...nodeIds]) world.state.tables.node.set(id, { id, name: 'x' } as never)
  const imageId = world.newId()
  world.state.tables.image.set(imageId, {
    id: imageId, kind: 'image', name: 'base', project: 'default', labels: {}, revision: 1, generation: 1, createdMs: 0, holders: nodeIds,
    spec: { format: 'raw', sha256, sizeBytes: disk.length, virtualSizeBytes: disk.length, os: '', copies: 2 },
  })
  const pool = new SimPool()
  pool.faults.latencyMsMax = 1
  pool.faults.latencyMsMin = 0
  const storage = new SimStorage({ clock: systemClock, random: systemRandom, pool })
  const asked: string[] = []
  const streams: PeerStreams = {
    handle: () => undefined,
    open: async (to, header): Promise<ByteStream> => {
      const name = names[nodeIds.indexOf(to as NodeId)]!
      asked.push(`${name}@${header.parameters['offset']}`)
      return { readable: serve[name]!(header), write: async () => undefined, end: async () => undefined, abort: () => undefined }
    },
  }
  const consensus = {
    state: world.state,
    propose: async (command: Command) => applyCommand(world.state, { index: world.state.index + 1, term: 1, timeMs: world.timeMs, command }).result,
  } as unknown as Consensus & StateHolder
  const random = { ...systemRandom, integer: () => 0 }
  const fetcher = new ImageFetcher({ nodeId: me }, { clock: systemClock, random, log: recordingLog([]), consensus, storage, streams })
  return { fetcher, storage, pool, asked, me, holders: () => world.state.tables.image.get(imageId)?.holders ?? [] }
}

const whole: Serve = (header) => chunks(disk.subarray(Number(header.parameters['offset'])))
const broken = (bytes: number): Serve => async function* (header) {
  const from = Number(header.parameters['offset'])
  yield disk.subarray(from, from + bytes)
  throw new OperationalError('PEER_UNREACHABLE', 'the node died')
}

test('fetches, verifies and tells that it holds it', async () => {
  const { fetcher, storage, holders, me } = desk({ a: whole })
  const seen: number[] = []
  await fetcher.ensure(sha256, 'raw', signal, ({ processedBytes }) => seen.push(processedBytes))
  expect(await storage.hasImage(sha256)).toBe(true)
  expect(holders()).toContain(me)
  expect(seen.at(-1)).toBe(disk.length)
  expect(fetcher.fetching().size).toBe(0)
})

test('goes on at another holder where one died', async () => {
  const { fetcher, storage, asked } = desk({ a: broken(100_000), b: whole })
  await fetcher.ensure(sha256, 'raw', signal)
  expect(asked).toEqual(['a@0', 'b@100000'])
  expect(await storage.hasImage(sha256)).toBe(true)
})

test('goes on after a restart where it was', async () => {
  const { fetcher, storage, asked } = desk({ a: whole })
  await storage.intake.open(`fetch-${sha256}`, { note: '', verified: true })
  await storage.intake.append(`fetch-${sha256}`, chunks(disk.subarray(0, 65_536)), { offset: 0, sizeBytesMax: disk.length, signal })
  await fetcher.ensure(sha256, 'raw', signal)
  expect(asked).toEqual(['a@65536'])
})

test('a holder that gives something else is not believed', async () => {
  const liar: Serve = () => chunks(Buffer.alloc(disk.length))
  const { fetcher, storage, asked } = desk({ a: liar, b: whole })
  await fetcher.ensure(sha256, 'raw', signal)
  expect(asked).toEqual(['a@0', 'b@0'])
  expect(await storage.hasImage(sha256)).toBe(true)
})

test('those who ask for the same share one transfer, and it ends with the last of them', async () => {
  const gate = Promise.withResolvers<void>()
  const { fetcher, asked } = desk({ a: async function* (header) {
    yield* broken(1000)(header) as AsyncGenerator<Uint8Array>
    await gate.promise
  } })
  const [one, two] = [new AbortController(), new AbortController()]
  const first = fetcher.ensure(sha256, 'raw', one.signal)
  const second = fetcher.ensure(sha256, 'raw', two.signal)
  await expect.poll(() => asked.length).toBeGreaterThan(0)
  expect(fetcher.fetching().size).toBe(1)
  one.abort(new Error('first gave up'))
  await expect(first).rejects.toThrow('first gave up')
  expect(fetcher.fetching().size).toBe(1)
  two.abort(new Error('second gave up'))
  await expect(second).rejects.toThrow('second gave up')
  expect(fetcher.fetching().size).toBe(0)
  gate.resolve()
})

test('a full disk is told at once, not tried elsewhere', async () => {
  const { fetcher, pool, asked } = desk({ a: whole, b: whole })
  pool.faults.capacityBytes = 1000
  await expect(fetcher.ensure(sha256, 'raw', signal)).rejects.toMatchObject({ code: 'STORAGE_FULL' })
  expect(asked).toHaveLength(1)
})

test('with no holder there is nothing to wait for', async () => {
  const { fetcher } = desk({})
  await expect(fetcher.ensure(sha256, 'raw', signal)).rejects.toMatchObject({ code: 'IMAGE_UNAVAILABLE' })
})

test('a ticket is good for one image, once, and not for long', async () => {
  const { fetcher, storage, serve, pass } = served()
  await storage.importImage(chunks(disk), { sha256, sizeBytesMax: 2 ** 30 }, signal)
  const bytes = async (source: AsyncIterable<Uint8Array>) => {
    const parts: Uint8Array[] = []
    for await (const part of source) parts.push(Buffer.from(part))
    return Buffer.concat(parts)
  }
  const ticket = async () => (JSON.parse((await serve({ sha256, offset: '1000', via: 'https' })).toString()) as { ticket: string }).ticket
  const one = await ticket()
  const image = fetcher.redeem(one, signal)!
  expect(image.sizeBytes).toBe(disk.length - 1000)
  expect((await bytes(image.pieces)).equals(disk.subarray(1000))).toBe(true)
  expect(fetcher.redeem(one, signal)).toBeNull()
  expect(fetcher.redeem('0'.repeat(64), signal)).toBeNull()
  const late = await ticket()
  pass(15_001)
  expect(fetcher.redeem(late, signal)).toBeNull()
  expect((await serve({ sha256, offset: '500000' })).equals(disk.subarray(500_000))).toBe(true)
  await expect(serve({ sha256: '1'.repeat(64), offset: '0' })).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

/** A node that is asked by others: `serve` is what its handler answers. */
function served() {
  const handlers: ((from: string, header: StreamHeader, stream: ByteStream) => Promise<void>)[] = []
  let aheadMs = 0
  const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + aheadMs }
  const storage = new SimStorage({ clock: systemClock, random: systemRandom })
  const streams: PeerStreams = { handle: (_purpose, handler) => void handlers.push(handler), open: () => Promise.reject(new Error('nobody is asked here')) }
  const world = new World()
  const consensus = { state: world.state } as unknown as Consensus & StateHolder
  const fetcher = new ImageFetcher({ nodeId: world.newId() as NodeId }, { clock, random: systemRandom, log: recordingLog([]), consensus, storage, streams })
  const serve = async (parameters: Readonly<Record<string, string>>) => {
    const written: Uint8Array[] = []
    const stream = { readable: (async function* () {})(), write: async (chunk: Uint8Array) => void written.push(chunk), end: async () => undefined, abort: () => undefined }
    await handlers[0]!('other', { purpose: 'image', parameters }, stream)
    return Buffer.concat(written)
  }
  return { fetcher, storage, serve, pass: (ms: number) => (aheadMs += ms) }
}
