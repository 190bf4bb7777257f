// The durable copy of the state: gathered for a moment, never out of order, at once where a sync is asked for.
import { expect, test } from 'vitest'
import { gatherMs, StateWriter } from '../../../src/cluster/state-writer.ts'
import type { StateStore, StateWrite } from '../../../src/ports/state-store.ts'
import { EventQueue } from '../../sim/event-queue.ts'
import { SimClock } from '../../sim/sim-clock.ts'

type Batch = Parameters<StateStore['write']>[0]

function scene() {
  const queue = new EventQueue()
  const state = { index: 0 }
  const batches: Batch[] = []
  const synced: number[] = []
  const errors: unknown[] = []
  let finish: (() => void) | null = null
  let failure: Error | null = null
  const stateStore: StateStore = {
    load: async () => null,
    replace: async () => undefined,
    close: async () => undefined,
    write: async (batch) => {
      batches.push(batch)
      await new Promise<void>((resolve) => (finish = resolve))
      if (failure !== null) throw failure
    },
  }
  const head = () => ({ index: state.index, term: 1, timeMs: 0, hash: '' })
  const writer = new StateWriter({ head, onError: (error) => void errors.push(error), onFull: () => undefined, onSynced: (index) => void synced.push(index) }, { stateStore, clock: new SimClock(queue) })
  const apply = (id: string, sync = false) => {
    state.index += 1
    writer.add([{ table: 'vm', id, value: { at: state.index } }], sync)
  }
  const settle = () => new Promise((resolve) => setImmediate(resolve))
  return {
    writer, apply, state, batches, synced, errors, settle,
    pass: async (durationMs: number) => {
      const untilMs = queue.nowMs + durationMs
      for (let action = queue.next(untilMs); action !== null; action = queue.next(untilMs)) action()
      await settle()
    },
    finish: async (error: Error | null = null) => {
      failure = error
      finish?.()
      await settle()
    },
  }
}
const seen = (batch: Batch | undefined) => ({ index: batch?.head.index, writes: batch?.writes.map(({ id, value }: StateWrite) => `${id} ${JSON.stringify(value)}`) })

test('entries of one moment are one batch, in which the last write of a record counts', async () => {
  const { apply, batches, pass, finish } = scene()
  apply('a')
  apply('b')
  apply('a')
  await pass(gatherMs - 1)
  expect(batches).toHaveLength(0)
  await pass(1)
  expect(batches.map(seen)).toEqual([{ index: 3, writes: ['b {"at":2}', 'a {"at":3}'] }])
  // What comes while a batch is on its way waits for it, and then for the next moment.
  apply('c')
  await pass(5 * gatherMs)
  expect(batches).toHaveLength(1)
  await finish()
  expect(batches).toHaveLength(1)
  await pass(gatherMs)
  expect(seen(batches[1])).toEqual({ index: 4, writes: ['c {"at":4}'] })
})

test('where a sync is asked for nothing waits', async () => {
  const { apply, batches, synced, finish } = scene()
  apply('a')
  apply('b', true)
  expect(batches.map(({ sync }) => sync)).toEqual([true])
  expect(seen(batches[0])).toEqual({ index: 2, writes: ['a {"at":1}', 'b {"at":2}'] })
  expect(synced).toEqual([])
  await finish()
  expect(synced).toEqual([2])
})

test('many records do not wait for the moment', () => {
  const { apply, batches } = scene()
  for (let number = 0; number < 1024; number++) apply(`vm-${number}`)
  expect(batches.map(({ writes }) => writes.length)).toEqual([1024])
})

test('at the end all that waits is written and synced', async () => {
  const { writer, apply, batches, finish } = scene()
  apply('a')
  const drained = writer.drain(true)
  expect(batches.map(({ sync }) => sync)).toEqual([true])
  await finish()
  await drained
})

test('an image takes the place of what waits', async () => {
  const { writer, apply, batches, pass } = scene()
  apply('a')
  await writer.replace({ head: { index: 9, term: 1, timeMs: 0, hash: '' }, records: [] })
  await pass(5 * gatherMs)
  expect(batches).toEqual([])
})

test('a failed write is told once, and nothing is written after it', async () => {
  const { apply, batches, errors, pass, finish } = scene()
  apply('a')
  await pass(gatherMs)
  await finish(new Error('no disk'))
  apply('b', true)
  await pass(5 * gatherMs)
  expect(errors).toEqual([new Error('no disk')])
  expect(batches).toHaveLength(1)
})

test('whoever halts writes nothing more; and a batch tells the index of what is in it, whatever was applied since', async () => {
  const { writer, apply, state, batches, pass } = scene()
  apply('a')
  state.index += 1
  await pass(gatherMs)
  expect(seen(batches[0])).toEqual({ index: 1, writes: ['a {"at":1}'] })
  const other = scene()
  other.apply('a')
  other.writer.freeze()
  other.apply('b', true)
  await other.pass(5 * gatherMs)
  expect(other.batches).toEqual([])
  writer.stop()
})
