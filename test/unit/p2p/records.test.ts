// What small messages cost on the wire, counted between two real hosts: one TLS record each, and no answer by the muxer.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { openPair } from './counting-relay.ts'

const protocol = '/novacron/count/1'
const messages = 200
const quietTurns = 10
const cleanups: (() => Promise<unknown> | void)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

test('a message is one record, not one for the frame\'s header and one for its body, and needs no window update; all bytes arrive in order', async () => {
  const { a, b, relay, toB } = await openPair((cleanup) => cleanups.push(cleanup))
  const arrived: Buffer[] = []
  const done = Promise.withResolvers<void>()
  await b.serve(protocol, async (stream) => {
    for await (const bytes of stream) {
      arrived.push(Buffer.from(bytes.subarray()))
      if (arrived.reduce((sum, each) => sum + each.length, 0) >= messages * 4) done.resolve()
    }
  })
  const connection = await a.dial(toB, AbortSignal.timeout(5000))
  const stream = await connection.newStream(protocol, { signal: AbortSignal.timeout(5000) })
  const before = { there: relay.records('there'), back: relay.records('back') }
  for (let number = 0; number < messages; number++) {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(number)
    stream.send(bytes)
    // While a record is on its way what follows is gathered anyway: the next message comes when all is quiet again.
    for (let turn = 0; turn < quietTurns; turn++) await nextTurn()
  }
  await done.promise
  const received = Buffer.concat(arrived)
  for (let number = 0; number < messages; number++) expect(received.readUInt32BE(number * 4)).toBe(number)
  // Gossip and identify say something too.
  const records = relay.records('there') - before.there
  expect(records).toBeGreaterThanOrEqual(messages)
  expect(records).toBeLessThan(messages * 1.5)
  // Nothing was said back, and 800 bytes are no cause to tell of new room.
  expect(relay.records('back') - before.back).toBeLessThan(messages / 10)
})
