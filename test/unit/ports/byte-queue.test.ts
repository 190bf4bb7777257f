// The queue behind a stream's readable side.
import { expect, test } from 'vitest'
import { ByteQueue } from '../../../src/ports/byte-queue.ts'

const bytes = (...values: number[]) => Uint8Array.from(values)
async function readAll(queue: ByteQueue): Promise<number[]> {
  const all: number[] = []
  for await (const chunk of queue) all.push(...chunk)
  return all
}

test('hands on in order, what waited and what comes later, to the end', async () => {
  const queue = new ByteQueue()
  queue.push(bytes(1, 2))
  const all = readAll(queue)
  await Promise.resolve()
  queue.push(bytes(3))
  queue.push(bytes(4))
  expect(queue.waitingBytes).toBeLessThanOrEqual(2)
  queue.finish()
  queue.push(bytes(9))
  expect(await all).toEqual([1, 2, 3, 4])
  expect(queue.waitingBytes).toBe(0)
})

test('a failure comes after what was there before it, and only the first end counts', async () => {
  const queue = new ByteQueue()
  queue.push(bytes(1))
  queue.finish(new Error('cut'))
  queue.finish()
  const reader = queue[Symbol.asyncIterator]()
  expect(await reader.next()).toEqual({ done: false, value: bytes(1) })
  await expect(reader.next()).rejects.toThrow('cut')
})

test('tells of room with every chunk taken, and once that the reader left', async () => {
  const told: string[] = []
  const queue = new ByteQueue({ onTaken: () => told.push(`room ${queue.waitingBytes}`), onLeft: () => told.push('left') })
  queue.push(bytes(1, 2, 3))
  queue.push(bytes(4))
  for await (const chunk of queue) if (chunk.length === 1) break
  expect(told).toEqual(['room 1', 'room 0', 'left'])
})

test('drops the oldest beyond a bound', async () => {
  const queue = new ByteQueue()
  for (const value of [1, 2, 3]) queue.push(bytes(value, value))
  queue.dropBeyond(3)
  queue.finish()
  expect(await readAll(queue)).toEqual([3, 3])
})
