// A stream that ends and one that is cut: whoever reads raw bytes must not take the one for the other.
import { afterEach, expect, test } from 'vitest'
import { FrameStream } from '../../../src/p2p/framing.ts'
import { openPair } from './counting-relay.ts'

const protocol = '/novacron/ends/1'
const cleanups: (() => Promise<unknown> | void)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

/** One side writes 100,000 bytes and then does `end`; what the other hears. */
async function read(end: (writer: FrameStream, cutConnection: () => void) => Promise<void> | void): Promise<{ readonly bytes: number; readonly outcome: string }> {
  const { a, b, toB } = await openPair((cleanup) => cleanups.push(cleanup))
  const heard = Promise.withResolvers<{ readonly bytes: number; readonly outcome: string }>()
  const first = Promise.withResolvers<undefined>()
  await b.serve(protocol, async (stream) => {
    const reader = new FrameStream(stream)
    let bytes = 0
    try {
      for (let chunk = await reader.chunk(); chunk !== null; chunk = await reader.chunk()) {
        bytes += chunk.length
        if (bytes === 100_000) first.resolve(undefined)
      }
      heard.resolve({ bytes, outcome: 'ended' })
    } catch (error) {
      heard.resolve({ bytes, outcome: (error as Error).name })
    }
  })
  const connection = await a.dial(toB, AbortSignal.timeout(5000))
  const writer = new FrameStream(await connection.newStream(protocol, { signal: AbortSignal.timeout(5000) }))
  writer.send(new Uint8Array(100_000))
  await first.promise
  await end(writer, () => a.abortPeer(b.peerId, new Error('cut')))
  return await heard.promise
}

test('a stream that its writer closes ends', async () => {
  expect(await read((writer) => writer.close(AbortSignal.timeout(5000)))).toEqual({ bytes: 100_000, outcome: 'ended' })
})

test('a stream that its writer aborts is cut', async () => {
  expect(await read((writer) => writer.abort(new Error('no more')))).toMatchObject({ outcome: 'StreamClosed' })
})

test('a stream whose connection goes is cut, and does not look like one that ended', async () => {
  expect(await read((_writer, cutConnection) => cutConnection())).toMatchObject({ outcome: 'StreamClosed' })
})
