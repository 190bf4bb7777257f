// Statement 38: a snapshot arrives whole or not at all, and one that did not can be sent again.
import { crc32 } from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/drivers/host/clock.ts'
import { BinaryWriter } from '../../../src/p2p/binary.ts'
import { FrameStream } from '../../../src/p2p/framing.ts'
import { encodeMessage } from '../../../src/p2p/message-codec.ts'
import { SnapshotReceiver } from '../../../src/p2p/snapshot-receiver.ts'
import { sendSnapshot, type SnapshotMessage } from '../../../src/p2p/snapshot-sender.ts'
import { openPair } from './counting-relay.ts'

const protocol = '/novacron/snapshot-test/1'
const configuration = { voters: ['a', 'b'], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false }
const cleanups: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

/** Two nodes; `b` takes snapshots in and keeps what was delivered, and why one was not. */
async function desk() {
  const { a, b, toB } = await openPair((cleanup) => cleanups.push(cleanup))
  const receiver = new SnapshotReceiver(systemClock)
  const delivered: SnapshotMessage[] = []
  const failures: string[] = []
  await b.serve(protocol, async (stream) => {
    const frames = new FrameStream(stream)
    await receiver.receive(frames, 'a', (message) => delivered.push(message)).catch((error: unknown) => {
      failures.push((error as Error).message)
      frames.abort(error as Error)
    })
  })
  const connection = await a.dial(toB, AbortSignal.timeout(5000))
  return { delivered, failures, open: async () => new FrameStream(await connection.newStream(protocol, { signal: AbortSignal.timeout(5000) })) }
}

const data = new Uint8Array(700_000).map((_, at) => (at * 31) % 251)
const message: SnapshotMessage = { kind: 'snapshot', from: 'a', to: 'b', term: 3, snapshot: { index: 9, term: 2, configuration, data } }

function header(): Uint8Array {
  const writer = new BinaryWriter()
  writer.varint(data.length)
  encodeMessage(message, writer)
  return writer.finish()
}
function chunk(bytes: Uint8Array, sum = crc32(bytes)): Uint8Array {
  const writer = new BinaryWriter(bytes.length + 4)
  writer.u32(sum >>> 0)
  writer.raw(bytes)
  return writer.finish()
}
function trailer(sum: number): Uint8Array {
  const writer = new BinaryWriter(4)
  writer.u32(sum >>> 0)
  return writer.finish()
}
const parts = [data.subarray(0, 256 * 1024), data.subarray(256 * 1024, 512 * 1024), data.subarray(512 * 1024)] as const

describe('38: a snapshot on its way', () => {
  test('arrives whole, and its sender knows', async () => {
    const { delivered, open } = await desk()
    await sendSnapshot(await open(), message, systemClock)
    expect(delivered).toHaveLength(1)
    expect(Buffer.compare(delivered[0]?.snapshot.data ?? new Uint8Array(), data)).toBe(0)
  })

  test.each([
    { what: 'a damaged chunk', frames: [chunk(parts[0]), chunk(parts[1], crc32(parts[1]) ^ 1)], because: /a snapshot chunk is damaged/ },
    { what: 'chunks in another order, each of them intact', frames: [chunk(parts[1]), chunk(parts[0]), chunk(parts[2]), trailer(crc32(data))], because: /the snapshot is damaged/ },
    { what: 'the sum of the whole does not fit', frames: [chunk(parts[0]), chunk(parts[1]), chunk(parts[2]), trailer(crc32(data) ^ 1)], because: /the snapshot is damaged/ },
    { what: 'more than was announced', frames: [chunk(parts[0]), chunk(parts[1]), chunk(parts[1])], because: /wrong size/ },
    { what: 'cut between two chunks', frames: [chunk(parts[0])], because: /ends too early|was closed|aborted|reset/ },
  ])('$what: it is not delivered, and the next whole one is', async ({ frames, because }) => {
    const { delivered, failures, open } = await desk()
    const stream = await open()
    stream.sendFrame(header())
    for (const frame of frames) stream.sendFrame(frame)
    if (frames.length === 1) await stream.close(AbortSignal.timeout(5000))
    for (let turn = 0; turn < 200 && failures.length === 0; turn += 1) await new Promise((resolve) => setTimeout(resolve, 10))
    expect(failures.join()).toMatch(because)
    expect(delivered).toEqual([])
    await sendSnapshot(await open(), message, systemClock)
    expect(delivered).toHaveLength(1)
  })
})
