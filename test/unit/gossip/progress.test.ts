// Progress by gossip: twice a second at most, with a rate, heard by others, forgotten when it is old.
import { expect, it } from 'vitest'
import { ProgressGossip } from '../../../src/gossip/progress.ts'
import type { Clock } from '../../../src/ports/clock.ts'

function pair() {
  let nowMs = 0
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, after: () => () => undefined, every: () => () => undefined } satisfies Clock
  const listeners: ((from: string, data: Uint8Array) => void)[] = []
  const published: Uint8Array[] = []
  const gossip = (own: number) => ({
    publish: (_topic: string, data: Uint8Array) => {
      published.push(data)
      listeners.forEach((listener, at) => at !== own && listener('n1', data))
    },
    subscribe: (_topic: string, listener: (from: string, data: Uint8Array) => void) => void listeners.push(listener),
  })
  const speaker = new ProgressGossip({ gossip: gossip(0), clock })
  const hearer = new ProgressGossip({ gossip: gossip(1), clock })
  return { speaker, hearer, published, listeners, pass: (ms: number) => void (nowMs += ms) }
}
const at = (processedBytes: number) => ({ phase: 'disks', processedBytes, totalBytes: 1000, downtimeMs: null })

it('is told at most twice a second, with the rate since the last word', () => {
  const { speaker, hearer, published, pass } = pair()
  speaker.report('a', at(0))
  pass(100)
  speaker.report('a', at(50))
  expect(published).toHaveLength(1)
  pass(400)
  speaker.report('a', at(200))
  expect(published).toHaveLength(2)
  expect(hearer.of('a')).toEqual({ ...at(200), bytesPerSecond: 400 })
  expect(speaker.of('a')).toEqual(hearer.of('a'))
  expect(hearer.of('b')).toBeNull()
})

it('forgets what it has not heard of for a while, and lets nonsense be', () => {
  const { speaker, hearer, listeners, pass } = pair()
  speaker.report('a', at(1))
  listeners[1]!('n1', new TextEncoder().encode('{"operationId": 3}'))
  listeners[1]!('n1', new Uint8Array([0xff]))
  expect(hearer.of('a')).not.toBeNull()
  pass(10_001)
  expect(hearer.of('a')).toBeNull()
})

it('keeps a bounded number of operations', () => {
  const { speaker, hearer } = pair()
  for (let number = 0; number < 1_100; number++) speaker.report(`op-${number}`, at(1))
  expect(hearer.of('op-0')).toBeNull()
  expect(hearer.of('op-1099')).not.toBeNull()
})
