// The pauses between dials.
import { expect, test } from 'vitest'
import { Redial } from '../../../src/p2p/redial.ts'

test('pauses grow from 100 ms to 2 s and stay there, for ever', () => {
  const redial = new Redial((bound) => bound - 1)
  const pauses = Array.from({ length: 2000 }, () => {
    const pause = redial.delayMs()
    redial.ended(0)
    return pause
  })
  expect(pauses.slice(0, 7)).toEqual([99, 199, 399, 799, 1599, 1999, 1999])
  expect(pauses.at(-1)).toBe(1999)
})

test('the random part is the upper half', () => {
  const redial = new Redial(() => 0)
  expect(redial.delayMs()).toBe(50)
})

test('a session that lasted starts anew from the shortest pause, a flickering one does not', () => {
  const redial = new Redial(() => 0)
  for (let round = 0; round < 5; round++) redial.ended(0)
  redial.ended(500)
  expect(redial.delayMs()).toBe(1000)
  redial.ended(5000)
  expect(redial.delayMs()).toBe(50)
})
