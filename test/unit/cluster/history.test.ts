// What a node remembers is told as it was at one moment, and decoded only as far as it is read: thousands of entries hold nobody up.
import { expect, test } from 'vitest'
import { HashTrail, trailEntriesMax } from '../../../src/cluster/hash-trail.ts'
import { History } from '../../../src/cluster/history.ts'
import { emptyConfiguration } from '../../../src/cluster/status.ts'
import type { RaftNode } from '../../../src/raft/node.ts'
import type { Entry } from '../../../src/raft/types.ts'
import { digestOf, digestText } from '../../../src/state/canonical.ts'
import { applyEmpty } from '../../../src/state/apply.ts'
import { emptyState } from '../../../src/state/state.ts'

function remembering(count: number) {
  const [history, state, trail] = [new History(), emptyState(), new HashTrail()]
  history.reset(state, emptyConfiguration)
  trail.reset(0, digestOf('0'))
  let looked = 0
  const entries: Entry[] = []
  const append = () => {
    const index = state.index + 1
    entries.push({
      index, term: 1, kind: 'normal',
      get data() {
        looked++
        return new Uint8Array(0)
      },
    })
    applyEmpty(state, { index, term: 1, timeMs: index })
    trail.note(index, digestOf(String(index)))
  }
  for (let at = 0; at < count; at++) append()
  const node = { status: () => ({ firstIndex: 1 }), entries: (from: number, to: number) => entries.slice(from - 1, to) } as unknown as RaftNode
  return { append, looked: () => looked, view: () => history.view({ state, configuration: emptyConfiguration, node, trail }, 20_000) }
}

test('nothing is decoded before it is read', () => {
  const { view, looked } = remembering(20_000)
  const { entries } = view()
  expect([entries.length, looked()]).toEqual([20_000, 0])
  const reader = entries[Symbol.iterator]()
  for (let at = 0; at < 100; at++) reader.next()
  expect(looked()).toBe(100)
})

test('what happens while it is read does not change it', () => {
  const { append, view } = remembering(10)
  const { entries } = view()
  for (let at = 0; at < trailEntriesMax; at++) append()
  expect([...entries].map(({ index, hash }) => [index, hash])).toEqual(Array.from({ length: 10 }, (_, at) => [at + 1, digestText(digestOf(String(at + 1)))]))
})
