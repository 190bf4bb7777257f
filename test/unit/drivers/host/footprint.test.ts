// When the daemon gives memory back, and when it saves its compiled code for the next start.
import { expect, it } from 'vitest'
import { keepFootprintSmall, runtimeFootprint } from '../../../../src/drivers/host/footprint.ts'
import { systemClock } from '../../../../src/drivers/host/clock.ts'
import { EventQueue } from '../../../sim/event-queue.ts'
import { SimClock } from '../../../sim/sim-clock.ts'

const mebibyte = 2 ** 20

function scene(options: { readonly garbageBytes: number; readonly canCollect?: boolean }) {
  const queue = new EventQueue()
  const seen = { liveBytes: 100 * mebibyte, garbageBytes: options.garbageBytes, heapBytes: 50 * mebibyte, utilization: 0.02, collections: 0, saves: 0 }
  const collect = () => {
    seen.collections += 1
    seen.garbageBytes = 0
  }
  const end = keepFootprintSmall({
    clock: new SimClock(queue), residentBytes: () => seen.liveBytes + seen.garbageBytes, heapBytes: () => seen.heapBytes, utilization: () => seen.utilization,
    collect: options.canCollect === false ? undefined : collect, saveCode: () => void (seen.saves += 1),
  })
  return { queue, seen, end }
}

function passUntil(queue: EventQueue, untilMs: number): void {
  for (let action = queue.next(untilMs); action !== null; action = queue.next(untilMs)) action()
}

it('collects the garbage of the start, then rests until the process has grown', () => {
  const { queue, seen, end } = scene({ garbageBytes: 30 * mebibyte })
  passUntil(queue, 29_000)
  expect(seen.collections).toBe(0)
  passUntil(queue, 31_000)
  expect(seen.collections).toBe(1)
  seen.garbageBytes = 15 * mebibyte
  passUntil(queue, 3_600_000)
  expect(seen.collections).toBe(1)
  seen.garbageBytes = 17 * mebibyte
  passUntil(queue, 3_640_000)
  expect(seen).toMatchObject({ collections: 2, garbageBytes: 0 })
  end()
  seen.garbageBytes = 500 * mebibyte
  passUntil(queue, 7_200_000)
  expect(seen.collections).toBe(2)
})

it('neither disturbs who is busy, nor stops a large heap', () => {
  const { queue, seen, end } = scene({ garbageBytes: 300 * mebibyte })
  seen.utilization = 0.3
  passUntil(queue, 600_000)
  seen.utilization = 0.02
  seen.heapBytes = 200 * mebibyte
  passUntil(queue, 1_200_000)
  expect(seen.collections).toBe(0)
  seen.heapBytes = 50 * mebibyte
  passUntil(queue, 1_240_000)
  expect(seen.collections).toBe(1)
  end()
})

it('collects what is really in use ever more seldom, and still what a look in the midst of a transfer could not', () => {
  const { queue, seen, end } = scene({ garbageBytes: 0 })
  passUntil(queue, 31_000)
  seen.liveBytes += 300 * mebibyte
  passUntil(queue, 4 * 3_600_000)
  expect(seen.collections).toBeLessThan(15)
  seen.liveBytes -= 300 * mebibyte
  seen.garbageBytes = 300 * mebibyte
  passUntil(queue, 6 * 3_600_000)
  expect(seen.garbageBytes).toBe(0)
  end()
})

it('saves the compiled code once, also where garbage cannot be collected', () => {
  const { queue, seen } = scene({ garbageBytes: 900 * mebibyte, canCollect: false })
  passUntil(queue, 3_600_000)
  expect(seen).toMatchObject({ collections: 0, saves: 1 })
})

it('asks the real runtime', () => {
  const runtime = runtimeFootprint(systemClock)
  expect(runtime.residentBytes()).toBeGreaterThan(20 * mebibyte)
  expect(() => runtime.saveCode()).not.toThrow()
})
