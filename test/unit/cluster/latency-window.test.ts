// What took how long in the last minute: a slow start is forgotten, and an idle minute shows what was before it.
import { expect, test } from 'vitest'
import { LatencyWindow } from '../../../src/cluster/latency-window.ts'

test('nothing yet', () => {
  expect(new LatencyWindow().read(0)).toEqual({ count: 0, p50Seconds: 0, p99Seconds: 0, maxSeconds: 0 })
})

test('percentiles are right to a tenth, and never above the longest', () => {
  const window = new LatencyWindow()
  for (let at = 1; at <= 1000; at++) window.note(at, at / 1000)
  const { count, p50Seconds, p99Seconds, maxSeconds } = window.read(1000)
  expect([count, maxSeconds]).toEqual([1000, 1])
  expect(p50Seconds).toBeGreaterThanOrEqual(0.5)
  expect(p50Seconds).toBeLessThan(0.55)
  expect(p99Seconds).toBeGreaterThanOrEqual(0.99)
  expect(p99Seconds).toBeLessThanOrEqual(1)
})

test('what is older than a minute counts no more, however few writes came since', () => {
  const window = new LatencyWindow()
  for (let at = 0; at < 500; at++) window.note(at, 2)
  window.note(61_000, 0.001)
  expect(window.read(61_000)).toEqual({ count: 1, p50Seconds: 0.001, p99Seconds: 0.001, maxSeconds: 0.001 })
})

test('a minute without any shows the last ones', () => {
  const window = new LatencyWindow()
  window.note(0, 2)
  window.note(20_000, 0.002)
  expect(window.read(3_600_000)).toMatchObject({ count: 1, maxSeconds: 0.002 })
})
