// Power cuts, kills, failing syncs and a full disk at every step of the log's work: nothing acknowledged is lost, nothing is called damaged.
import { describe, expect, test, vi } from 'vitest'
import { openSegmentLog } from '../../../src/db/segment-log.ts'
import type { LogBatch, LogRecovery, LogStore } from '../../../src/ports/log-store.ts'
import type { Entry } from '../../../src/raft/types.ts'
import { batch, entries, entry, meta } from '../../contract/log-store.ts'
import { CrashDisk } from './crash-disk.ts'

const options = { directory: 'log', segmentBytesMax: 3000 }
type Intact = Extract<LogRecovery, { kind: 'intact' }>
/** What the log should hold, kept by the plainest means. */
type Expected = Pick<Intact, 'hardState' | 'base' | 'entries'>

const nothing: Expected = {
  hardState: { term: 0, vote: null, commit: 0 },
  base: { index: 0, term: 0, configuration: { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false } },
  entries: [],
}

function after(log: Expected, change: LogBatch): Expected {
  const base = change.base?.meta ?? log.base
  const first = change.entries[0]?.index ?? Infinity
  const kept = change.base?.discardSuffix === true ? [] : log.entries.filter((one) => one.index > base.index && one.index < first)
  return { hardState: change.hardState ?? log.hardState, base, entries: [...kept, ...change.entries] }
}

function randomOf(seed: number): (bound: number) => number {
  let state = seed * 2_654_435_761
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound
  }
}

function nextBatch(log: Expected, random: (bound: number) => number): LogBatch {
  const last = log.entries.at(-1)?.index ?? log.base.index
  const term = log.hardState.term + 1
  const hardState = random(2) === 0 ? { term, vote: random(2) === 0 ? 'a' : null, commit: log.base.index } : null
  const kind = random(10)
  if (kind === 0) return batch({ hardState: { term, vote: 'b', commit: 0 } })
  if (kind === 1 && last > log.base.index) return batch({ hardState, base: { meta: meta(log.base.index + 1 + random(last - log.base.index), term), discardSuffix: false } })
  if (kind === 2) return batch({ hardState, base: { meta: meta(last + random(3), term), discardSuffix: true } })
  const first = kind === 3 ? Math.max(log.base.index + 1, last - random(4)) : last + 1
  const size = random(60) === 0 ? 70_000 : random(400)
  const count = 1 + random(3)
  return batch({ hardState, entries: Array.from({ length: count }, (_, at) => entry(first + at, term, Buffer.alloc(size, random(256)))) })
}

function asExpected(recovery: LogRecovery): Expected {
  if (recovery.kind === 'damaged') throw new Error(`damaged: ${recovery.detail}`)
  if (recovery.kind === 'fresh') return nothing
  return { hardState: recovery.hardState, base: recovery.base, entries: recovery.entries.map((one: Entry) => ({ ...one, data: Buffer.from(one.data) })) }
}

/** Works until the power goes; returns what was acknowledged and what was under way. */
async function life(disk: CrashDisk, known: readonly Expected[], random: (bound: number) => number): Promise<readonly Expected[]> {
  let possible = known
  const powerCut = new Promise<'cut'>((resolve) => {
    disk.cutPowerAfter(1 + random(60), () => resolve('cut'))
  })
  const work = async (): Promise<'never'> => {
    const store = openSegmentLog(options, disk)
    const found = asExpected(await store.open())
    expect(known).toContainEqual(found)
    let log = found
    for (;;) {
      const change = nextBatch(log, random)
      possible = [log, after(log, change)]
      await store.write(change)
      log = after(log, change)
      possible = [log]
    }
  }
  await Promise.race([work(), powerCut])
  return possible
}

describe('crashes', () => {
  test.each(Array.from({ length: 40 }, (_, seed) => ({ seed })))('seed $seed: 25 lives, each ended by a power cut or a kill at any step', async ({ seed }) => {
    const random = randomOf(seed + 1)
    const disk = new CrashDisk(random)
    let possible: readonly Expected[] = [nothing]
    for (let round = 0; round < 25; round += 1) {
      possible = await life(disk, possible, random)
      if (random(3) === 0) disk.kill()
      else disk.crash()
    }
  })

  test('statement 41: the very first batch: nobody was told of it, so a power cut at any of its steps leaves a log that is new or has it', async () => {
    for (let operations = 1; operations <= 20; operations += 1) {
      for (let seed = 1; seed <= 60; seed += 1) {
        const disk = new CrashDisk(randomOf(operations * 1000 + seed))
        const powerCut = new Promise<void>((resolve) => disk.cutPowerAfter(operations, resolve))
        const store = openSegmentLog(options, disk)
        const work = async (): Promise<void> => {
          await store.open()
          await store.write(batch({ hardState: { term: 1, vote: 'a', commit: 0 }, entries: entries(1, 2, 1) }))
        }
        await Promise.race([work(), powerCut])
        disk.crash()
        const next = openSegmentLog(options, disk)
        const found = asExpected(await next.open())
        expect([0, 2]).toContain(found.entries.length)
        await next.write(batch({ entries: entries(found.entries.length + 1, found.entries.length + 1, 1) }))
        disk.crash()
        expect(asExpected(await openSegmentLog(options, disk).open()).entries).toHaveLength(found.entries.length + 1)
      }
    }
  })

  test('statement 40: a failed sync is final, and what it left in the page cache is not believed by the next life', async () => {
    for (let syncs = 1; syncs <= 40; syncs += 1) {
      const disk = new CrashDisk(randomOf(syncs))
      const store = openSegmentLog(options, disk)
      await store.open()
      await store.write(batch({ entries: entries(1, 3, 1) }))
      disk.syncsUntilFailure = syncs
      const acknowledged = await writeUntilFailure(store)
      await expect(store.write(batch({ entries: entries(acknowledged + 1, acknowledged + 1, 1) }))).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
      disk.kill()
      const next = openSegmentLog(options, disk)
      const recovery = asExpected(await next.open())
      expect(recovery.entries.length).toBeGreaterThanOrEqual(acknowledged)
      await next.write(batch({ entries: entries(recovery.entries.length + 1, recovery.entries.length + 1, 2) }))
      // From here on it is acknowledged: the power cut must not take it.
      disk.crash()
      const last = asExpected(await openSegmentLog(options, disk).open())
      expect(last.entries.slice(0, -1)).toEqual(recovery.entries)
    }
  })

  test('a record that cannot be written after its batch was acknowledged is told without a further call, is final, and is there in the next life', async () => {
    const disk = new CrashDisk(randomOf(1))
    const store = openSegmentLog({ directory: 'log' }, disk)
    const failures: unknown[] = []
    store.watchFailure((error) => failures.push(error))
    await store.open()
    await store.write(batch({ entries: entries(1, 3, 1) }))
    // The first sync from now is the proof's.
    disk.syncsUntilFailure = 2
    await store.write(batch({ entries: entries(4, 5, 1) }))
    await vi.waitFor(() => expect(failures).toMatchObject([{ code: 'STORAGE_FAILED' }]))
    await expect(store.write(batch({ entries: entries(6, 6, 1) }))).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
    expect(failures).toHaveLength(1)
    await store.close()
    disk.crash()
    expect(asExpected(await openSegmentLog({ directory: 'log' }, disk).open()).entries).toEqual(entries(1, 5, 1).map(buffered))
  })

  test('no record stays in the proof alone for long, also when the time comes while another write is under way', async () => {
    const disk = new CrashDisk(randomOf(1))
    const timers: (() => void)[] = []
    const store = openSegmentLog({ directory: 'log', later: (_ms, action) => {
      timers.push(action)
      return () => undefined
    } }, disk)
    await store.open()
    for (let index = 1; index <= 2; index += 1) await store.write(batch({ entries: entries(index, index, 1) }))
    timers.pop()?.()
    // The record before is on its way to the segment: what comes now has a time of its own, which comes while that still is.
    const written = store.write(batch({ entries: entries(3, 3, 1) }))
    await written
    expect(timers).toHaveLength(1)
    const before = disk.operations
    timers.pop()?.()
    await vi.waitFor(() => expect(disk.operations).toBeGreaterThan(before))
  })

  test('a disk that is full before there is a log is no failure either', async () => {
    const disk = new CrashDisk(randomOf(2))
    const store = openSegmentLog(options, disk)
    await store.open()
    disk.bytesFree = 1000
    await expect(store.write(batch({ entries: entries(1, 3, 1) }))).rejects.toMatchObject({ code: 'STORAGE_FULL' })
    disk.bytesFree = Infinity
    await store.write(batch({ entries: entries(1, 3, 1) }))
    disk.crash()
    expect(asExpected(await openSegmentLog(options, disk).open()).entries).toEqual(entries(1, 3, 1).map(buffered))
  })

  test('statement 44: a full disk is no failure: nothing was written, and it goes on when there is space', async () => {
    for (let free = 0; free < 6000; free += 250) {
      const random = randomOf(free + 1)
      const disk = new CrashDisk(random)
      const store = openSegmentLog(options, disk)
      await store.open()
      await store.write(batch({ entries: entries(1, 3, 1) }))
      disk.bytesFree = free
      const acknowledged = await writeUntilFull(store)
      await expect(store.write(batch({ entries: [entry(acknowledged + 1, 1, Buffer.alloc(5000))] }))).rejects.toMatchObject({ code: 'STORAGE_FULL' })
      if (random(2) === 0) {
        disk.bytesFree = Infinity
        await store.write(batch({ entries: entries(acknowledged + 1, acknowledged + 2, 7) }))
        disk.crash()
        expect(asExpected(await openSegmentLog(options, disk).open()).entries.slice(acknowledged)).toEqual(entries(acknowledged + 1, acknowledged + 2, 7).map(buffered))
      } else {
        disk.crash()
        disk.bytesFree = Infinity
        expect(asExpected(await openSegmentLog(options, disk).open()).entries).toHaveLength(acknowledged)
      }
    }
  })
})

function buffered(one: Entry): Entry {
  return { ...one, data: Buffer.from(one.data) }
}

async function writeUntilFailure(store: LogStore): Promise<number> {
  for (let index = 4; ; index += 1) {
    const refused = await store.write(batch({ entries: [entry(index, 1, Buffer.alloc(700, index))] })).then(
      () => null,
      (error: unknown) => error,
    )
    if (refused === null) continue
    expect(refused).toMatchObject({ code: 'STORAGE_FAILED' })
    return index - 1
  }
}

async function writeUntilFull(store: LogStore): Promise<number> {
  for (let index = 4; ; index += 1) {
    const refused = await store.write(batch({ entries: [entry(index, 1, Buffer.alloc(300, index))] })).then(
      () => null,
      (error: unknown) => error,
    )
    if (refused === null) continue
    expect(refused).toMatchObject({ code: 'STORAGE_FULL' })
    return index - 1
  }
}
