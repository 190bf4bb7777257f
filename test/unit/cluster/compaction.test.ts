// Where the log may begin anew.
import { describe, expect, it } from 'vitest'
import { Compaction } from '../../../src/cluster/compaction.ts'
import { emptyConfiguration } from '../../../src/cluster/status.ts'
import type { Progress } from '../../../src/raft/types.ts'

const bounds = { entriesMax: 10, bytesMax: 1000, ageMsMax: Infinity }
const log = (progress: Record<string, Progress> = {}, lastIndex = 20) => ({ firstIndex: 1, lastIndex, logBytes: 0, progress })
const peer = (changed: Partial<Progress>): Progress => ({
  match: 0, next: 1, state: 'replicate', pendingSnapshot: 0, recentActive: true, inflight: 0, isPaused: false, isCaughtUp: true, isLearner: false, ...changed,
})

function applied(compaction: Compaction, to: number, bytes = 1): number[] {
  const marks: number[] = []
  for (let index = 1; index <= to; index += 1) {
    if (compaction.applied({ index, term: 2, configuration: emptyConfiguration, bytes, nowMs: index * 100 })) marks.push(index)
  }
  return marks
}

describe('compaction', () => {
  it('sets a mark each half of the bounds, by entries and by bytes', () => {
    expect(applied(new Compaction(bounds, 0), 16)).toEqual([5, 10, 15])
    expect(applied(new Compaction(bounds, 0), 8, 250)).toEqual([2, 4, 6, 8])
  })

  it('cuts where somebody demands it: once that is synced, and when no follower in reach needs more', () => {
    const compaction = new Compaction(bounds, 0)
    compaction.demand({ index: 7, term: 2, configuration: emptyConfiguration })
    expect(compaction.isPossible).toBe(false)
    compaction.synced(7)
    expect(compaction.isPossible).toBe(true)
    expect(compaction.due(log({ b: peer({ match: 6 }) }))).toBeNull()
    expect(compaction.due(log({ b: peer({ match: 6, recentActive: false }), c: peer({ match: 7 }) }))).toMatchObject({ index: 7 })
    expect(compaction.isPossible).toBe(false)
    compaction.demand({ index: 9, term: 2, configuration: emptyConfiguration })
    compaction.demand(null)
    compaction.synced(9)
    expect(compaction.due(log())).toBeNull()
  })

  it('statement 39: sets one by age, too, counted from the first entry behind the last mark', () => {
    expect(applied(new Compaction({ ...bounds, entriesMax: 1000, ageMsMax: 600 }, 0), 12)).toEqual([4, 8, 12])
  })

  it('cuts at the newest mark but one, and never beyond a synced state', () => {
    const compaction = new Compaction(bounds, 0)
    applied(compaction, 16)
    expect(compaction.isPossible).toBe(false)
    expect(compaction.due(log())).toBeNull()
    compaction.synced(9)
    expect(compaction.due(log())).toBeNull()
    compaction.synced(10)
    expect(compaction.isPossible).toBe(true)
    expect(compaction.due(log())).toMatchObject({ index: 5, term: 2 })
    compaction.synced(15)
    expect(compaction.due({ ...log(), firstIndex: 6 })).toMatchObject({ index: 10 })
    expect(compaction.due({ ...log(), firstIndex: 11 })).toBeNull()
  })

  it('statement 39: keeps what a follower in reach and a snapshot under way need, until the log is four times over its bounds', () => {
    const compaction = new Compaction(bounds, 0)
    applied(compaction, 16)
    compaction.synced(16)
    expect(compaction.due(log({ a: peer({ match: 4 }) }))).toBeNull()
    expect(compaction.due(log({ a: peer({ state: 'snapshot', pendingSnapshot: 4 }) }))).toBeNull()
    expect(compaction.due(log({ a: peer({ match: 4 }) }, 41))).toMatchObject({ index: 10 })
  })

  it('forgets its marks when a snapshot takes the place of the log', () => {
    const compaction = new Compaction(bounds, 0)
    applied(compaction, 16)
    compaction.reset(30)
    expect(compaction.due(log())).toBeNull()
    expect(compaction.applied({ index: 34, term: 3, configuration: emptyConfiguration, bytes: 0, nowMs: 0 })).toBe(false)
    expect(compaction.applied({ index: 35, term: 3, configuration: emptyConfiguration, bytes: 0, nowMs: 0 })).toBe(true)
  })
})
