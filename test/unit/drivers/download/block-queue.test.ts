// A few buffers that go round between a giver and a taker: nothing lost, nothing twice, never more of them, and one that is lent is left alone.
import { createHash, randomFillSync } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { BlockQueue } from '../../../../src/drivers/download/block-queue.ts'

const sizes = { blocksMax: 3, blockBytes: 1000, slackBytes: 300 }
const of = (bytes: number, value: number) => Buffer.alloc(bytes, value)
const give = (queue: BlockQueue, bytes: Buffer) => queue.put(bytes, 0, bytes.length)

test('gathers, hands on full blocks, and at the end the rest', async () => {
  const queue = new BlockQueue(sizes, () => undefined)
  const first = queue.next()
  expect(give(queue, of(600, 1))).toBe(true)
  expect(give(queue, of(600, 2))).toBe(true)
  expect(Buffer.from((await first)!).equals(Buffer.concat([of(600, 1), of(600, 2)]))).toBe(true)
  give(queue, of(10, 3))
  queue.end(null)
  expect(Buffer.from((await queue.next())!)).toEqual(of(10, 3))
  expect(await queue.next()).toBeNull()
  expect(await queue.next()).toBeNull()
})

test('what came before a fault is handed on, then the fault is thrown', async () => {
  const queue = new BlockQueue(sizes, () => undefined)
  give(queue, of(1000, 1))
  give(queue, of(5, 2))
  queue.end(new Error('broken'))
  queue.end(null)
  expect((await queue.next())?.length).toBe(1000)
  expect((await queue.next())?.length).toBe(5)
  await expect(queue.next()).rejects.toThrow('broken')
})

test('one who waits hears of the end', async () => {
  for (const fault of [null, new Error('gone')]) {
    const queue = new BlockQueue(sizes, () => undefined)
    const waiting = queue.next()
    queue.end(fault)
    await (fault === null ? expect(waiting).resolves.toBeNull() : expect(waiting).rejects.toBe(fault))
  }
})

test('says when it is full, holds what still comes, and says when there is room', async () => {
  let rooms = 0
  const queue = new BlockQueue(sizes, () => rooms++)
  expect([1, 2, 3].map((value) => give(queue, of(1000, value)))).toEqual([true, true, false])
  expect(give(queue, of(300, 4))).toBe(false)
  expect(() => give(queue, of(1, 5))).toThrow(RangeError)
  const one = await queue.next()
  expect([one?.[0], rooms]).toEqual([1, 0])
  expect((await queue.next())?.[0]).toBe(2)
  expect(rooms).toBe(1)
  expect(give(queue, of(500, 6))).toBe(true)
  expect([...new Set(await queue.next())]).toEqual([3, 4])
})

test('a block that is lent does not change until the next one is asked for', async () => {
  const queue = new BlockQueue(sizes, () => undefined)
  give(queue, of(1000, 1))
  const lent = (await queue.next())!
  for (const value of [2, 3]) give(queue, of(1000, value))
  expect(lent.every((byte) => byte === 1)).toBe(true)
})

test.each([['taker', 1, 0], ['giver', 0, 1]])('content is whole with a slow %s, in a bounded number of buffers', async (_who, takerMs, giverMs) => {
  const bytes = randomFillSync(Buffer.alloc(100_000))
  let room = Promise.withResolvers<void>()
  const queue = new BlockQueue(sizes, () => room.resolve())
  const giving = (async () => {
    for (let at = 0; at < bytes.length; ) {
      const size = Math.min(1 + (at % 250), bytes.length - at)
      const more = queue.put(bytes, at, at + size)
      at += size
      if (giverMs > 0 && at % 5 === 0) await delay(giverMs)
      if (more) continue
      await room.promise
      room = Promise.withResolvers()
    }
    queue.end(null)
  })()
  const hash = createHash('sha256')
  const buffers = new Set<ArrayBufferLike>()
  for (let piece = await queue.next(); piece !== null; piece = await queue.next()) {
    buffers.add(piece.buffer)
    if (takerMs > 0) await delay(takerMs)
    hash.update(piece)
  }
  await giving
  expect(hash.digest('hex')).toBe(createHash('sha256').update(bytes).digest('hex'))
  expect(buffers.size).toBeLessThanOrEqual(sizes.blocksMax)
})

test('one block would be a deadlock', () => {
  expect(() => new BlockQueue({ ...sizes, blocksMax: 1 }, () => undefined)).toThrow(RangeError)
})
