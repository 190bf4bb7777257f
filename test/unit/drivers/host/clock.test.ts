// The one timer behind everything periodic, on a time of the test's own.
import { expect, test } from 'vitest'
import { Grid, gridMs, type GridTime } from '../../../../src/drivers/host/clock.ts'

/** Time that moves only when told, and timers that come as late as told. */
function handTime() {
  let nowMs = 1000
  let timer: { readonly atMs: number; readonly action: () => void } | null = null
  const turns: (() => void)[] = []
  let armed = 0
  const time: GridTime = {
    now: () => nowMs,
    after: (delayMs, action) => {
      armed += 1
      const made = { atMs: nowMs + delayMs, action }
      timer = made
      return () => {
        if (timer === made) timer = null
      }
    },
    soon: (action) => void turns.push(action),
  }
  const run = () => {
    for (const turn of turns.splice(0)) turn()
  }
  /** Goes on to the next timer, which comes `lateMs` late. */
  const step = (lateMs = 0) => {
    if (timer === null) throw new Error('nothing is armed')
    const { atMs, action } = timer
    timer = null
    nowMs = Math.max(nowMs, atMs) + lateMs
    action()
  }
  return { time, run, step, isArmed: () => timer !== null, armed: () => armed, now: () => nowMs }
}

test('all periods go off together, in step and from one timer', () => {
  const { time, run, step, armed } = handTime()
  const grid = new Grid(time, 100)
  const seen: [string, number][] = []
  grid.add(gridMs, () => void seen.push(['one', time.now()]))
  grid.add(2 * gridMs, () => void seen.push(['two', time.now()]))
  for (let steps = 0; steps < 4; steps++) {
    step()
    run()
  }
  expect(seen).toEqual([['one', 1350], ['one', 1600], ['two', 1600], ['one', 1850], ['one', 2100], ['two', 2100]])
  expect(armed()).toBe(5)
})

test('what is longer waits until the quickest have had their turn', () => {
  const { time, run, step } = handTime()
  const grid = new Grid(time, 0)
  const seen: string[] = []
  grid.add(2 * gridMs, () => void seen.push('long'))
  grid.add(gridMs, () => void seen.push('tick'))
  step()
  step()
  expect(seen).toEqual(['tick', 'tick'])
  run()
  expect(seen).toEqual(['tick', 'tick', 'long'])
})

test('how late a step came is told, and what was missed in a stall is not made up for', () => {
  const { time, run, step, now } = handTime()
  const grid = new Grid(time, 0)
  const seen: [number, number][] = []
  grid.add(gridMs, (lateMs) => void seen.push([now(), lateMs]))
  step()
  run()
  step(900)
  run()
  step()
  run()
  expect(seen).toEqual([[1250, 0], [2400, 900], [2500, 0]])
})

test('one that throws, or ends another, takes nobody else\'s turn; the quickest come first', () => {
  const { time, run, step, isArmed } = handTime()
  const grid = new Grid(time, 0)
  const seen: string[] = []
  const cancels: (() => void)[] = []
  cancels.push(grid.add(gridMs, () => {
    seen.push('first')
    cancels[2]!()
    throw new Error('planted')
  }))
  cancels.push(grid.add(gridMs, () => void seen.push('second')))
  cancels.push(grid.add(gridMs, () => void seen.push('third')))
  step()
  expect(seen).toEqual(['first', 'second'])
  expect(run).toThrow('planted')
  step()
  expect(run).toThrow('planted')
  cancels[0]!()
  step()
  run()
  expect(seen.filter((name) => name === 'third')).toEqual([])
  expect(seen.at(-1)).toBe('second')
  cancels[1]!()
  expect(isArmed()).toBe(false)
})
