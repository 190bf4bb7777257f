// The simulated disk's faults: what a crash takes, failing syncs, a full and a hung disk, damage, and stores of dead nodes.
import { describe, expect, test } from 'vitest'
import type { Clock } from '../../../../src/ports/clock.ts'
import { SimDisk } from '../../../../src/drivers/sim/disk.ts'
import { SimLogStore } from '../../../../src/drivers/sim/log-store.ts'
import { SimLocalStore, SimStateStore } from '../../../../src/drivers/sim/state-store.ts'
import { batch, entries } from '../../../contract/log-store.ts'
import { head, put } from '../../../contract/state-store.ts'

/** Time that stands still until it is moved. */
class StepClock implements Clock {
  #nowMs = 0
  #planned: { readonly atMs: number; readonly action: () => void }[] = []
  nowMs(): number {
    return this.#nowMs
  }
  monotonicMs(): number {
    return this.#nowMs
  }
  after(delayMs: number, action: () => void): () => void {
    this.#planned.push({ atMs: this.#nowMs + delayMs, action })
    return () => undefined
  }
  every(): () => void {
    return () => undefined
  }
  async advance(deltaMs: number): Promise<void> {
    // Lets what was begun reach its timer.
    await new Promise((resolve) => setImmediate(resolve))
    this.#nowMs += deltaMs
    const due = this.#planned.filter((one) => one.atMs <= this.#nowMs)
    this.#planned = this.#planned.filter((one) => one.atMs > this.#nowMs)
    for (const one of due) one.action()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

function diskWith(answer: number): SimDisk {
  return new SimDisk({ random: { integer: (bound) => answer % bound, bytes: (length) => new Uint8Array(length) } })
}

async function openLog(disk: SimDisk, clock: Clock): Promise<SimLogStore> {
  const store = new SimLogStore({ disk, clock })
  await store.open()
  return store
}

/** Whether a promise has settled by now, and how. */
function watch(promise: Promise<unknown>): { outcome: string } {
  const watched = { outcome: 'pending' }
  promise.then(
    () => {
      watched.outcome = 'done'
    },
    (error: { code?: string }) => {
      watched.outcome = error.code ?? 'bug'
    },
  )
  return watched
}

describe('the simulated disk', () => {
  test('a write takes as long as the sync does', async () => {
    const clock = new StepClock()
    const disk = diskWith(0)
    disk.faults.fsyncDelayMs = 50
    const write = watch((await openLog(disk, clock)).write(batch({ entries: entries(1, 1, 1) })))
    await clock.advance(49)
    expect(write.outcome).toBe('pending')
    await clock.advance(1)
    expect(write.outcome).toBe('done')
  })

  test.each([
    { chance: 0, kept: 2 },
    { chance: 1, kept: 1 },
  ])('a crash decides about the batch under way, and the dead store never answers', async ({ chance, kept }) => {
    const clock = new StepClock()
    const disk = diskWith(chance)
    const store = await openLog(disk, clock)
    const first = watch(store.write(batch({ entries: entries(1, 1, 1) })))
    await clock.advance(1)
    expect(first.outcome).toBe('done')
    const second = watch(store.write(batch({ entries: entries(2, 2, 1) })))
    await clock.advance(0)
    disk.crash()
    await clock.advance(1000)
    expect(second.outcome).toBe('pending')
    const recovery = await new SimLogStore({ disk, clock }).open()
    expect(recovery.kind === 'intact' && recovery.entries).toEqual(entries(1, kept, 1))
    const third = watch(store.write(batch({ entries: entries(kept + 1, kept + 1, 9) })))
    await clock.advance(1000)
    expect(third.outcome).toBe('pending')
    expect(disk.log?.entries).toEqual(entries(1, kept, 1))
  })

  test('a failed sync is final for the store, not for the next one', async () => {
    const clock = new StepClock()
    const disk = diskWith(1)
    const store = await openLog(disk, clock)
    disk.faults.fsyncFails = true
    const failed = watch(store.write(batch({ entries: entries(1, 1, 1) })))
    await clock.advance(1)
    disk.faults.fsyncFails = false
    const refused = watch(store.write(batch({ entries: entries(1, 1, 1) })))
    await clock.advance(1)
    expect([failed.outcome, refused.outcome]).toEqual(['STORAGE_FAILED', 'STORAGE_FAILED'])
    const next = watch((await openLog(disk, clock)).write(batch({ entries: entries(1, 1, 1) })))
    await clock.advance(1)
    expect(next.outcome).toBe('done')
  })

  test('a full disk refuses and goes on when there is space', async () => {
    const clock = new StepClock()
    const disk = diskWith(0)
    const store = await openLog(disk, clock)
    disk.faults.full = true
    await expect(store.write(batch({ entries: entries(1, 1, 1) }))).rejects.toMatchObject({ code: 'STORAGE_FULL' })
    disk.faults.full = false
    const write = watch(store.write(batch({ entries: entries(1, 1, 1) })))
    await clock.advance(1)
    expect(write.outcome).toBe('done')
  })

  test('damage is told from emptiness, and a wiped disk is fresh', async () => {
    const clock = new StepClock()
    const disk = diskWith(0)
    disk.damage()
    expect(await new SimLogStore({ disk, clock }).open()).toEqual({ kind: 'fresh' })
    const write = watch((await openLog(disk, clock)).write(batch({ entries: entries(1, 1, 1) })))
    await clock.advance(1)
    expect(write.outcome).toBe('done')
    disk.damage()
    const store = new SimLogStore({ disk, clock })
    expect((await store.open()).kind).toBe('damaged')
    await expect(store.write(batch({ entries: entries(2, 2, 1) }))).rejects.toMatchObject({ code: 'LOG_DAMAGED' })
    disk.wipe()
    expect(await new SimLogStore({ disk, clock }).open()).toEqual({ kind: 'fresh' })
  })

  test('of unsynced state a crash keeps a beginning; of synced state everything', async () => {
    const clock = new StepClock()
    for (let kept = 0; kept <= 3; kept += 1) {
      const disk = diskWith(kept)
      const store = new SimStateStore({ disk, clock })
      const synced = watch(store.write({ head: head(1), writes: [put('vm', 'a', 1)], sync: true }))
      await clock.advance(1)
      expect(synced.outcome).toBe('done')
      for (let index = 2; index <= 4; index += 1) await store.write({ head: head(index), writes: [put('vm', 'a', index)], sync: false })
      disk.crash()
      expect(await new SimStateStore({ disk, clock }).load()).toEqual({ head: head(1 + kept), records: [put('vm', 'a', 1 + kept)] })
    }
  })

  test('a killed process loses nothing that it had written', async () => {
    const clock = new StepClock()
    const disk = diskWith(0)
    await new SimStateStore({ disk, clock }).write({ head: head(1), writes: [put('vm', 'a', 1)], sync: false })
    expect(await new SimStateStore({ disk, clock }).load()).toEqual({ head: head(1), records: [put('vm', 'a', 1)] })
  })

  test('a local value that resolved survives', async () => {
    const clock = new StepClock()
    const disk = diskWith(1)
    const store = new SimLocalStore({ disk, clock })
    const first = watch(store.put('epoch', 1))
    await clock.advance(1)
    const second = watch(store.put('epoch', 2))
    await clock.advance(0)
    disk.crash()
    await clock.advance(1)
    expect([first.outcome, second.outcome]).toEqual(['done', 'pending'])
    expect(await new SimLocalStore({ disk, clock }).get('epoch')).toBe(1)
  })
})
