// Who votes: learners first, promoted when caught up, up to three.
import { describe, expect, test } from 'vitest'
import { planMembership } from '../../../src/planner/membership.ts'
import type { Configuration, Progress } from '../../../src/raft/types.ts'

const configuration = (voters: string[], learners: string[] = []): Configuration => ({ voters, learners, votersOutgoing: [], learnersNext: [], autoLeave: false })
const progress = (match: number, recentActive = true): Progress => ({ match, next: match + 1, state: 'replicate', pendingSnapshot: 0, recentActive, inflight: 0, isLearner: true })

describe('membership', () => {
  test.each<[string, string[], Configuration, Record<string, Progress>, unknown]>([
    ['a stranger becomes a learner', ['a', 'b'], configuration(['a']), {}, { kind: 'addLearner', id: 'b' }],
    ['of two, one votes', ['a', 'b'], configuration(['a'], ['b']), { b: progress(100) }, null],
    ['of three, the second is promoted', ['a', 'b', 'c'], configuration(['a'], ['b', 'c']), { b: progress(100), c: progress(100) }, { kind: 'addVoter', id: 'b' }],
    ['a learner behind is not promoted', ['a', 'b', 'c'], configuration(['a'], ['b', 'c']), { b: progress(1), c: progress(100) }, { kind: 'addVoter', id: 'c' }],
    ['a silent learner is not promoted', ['a', 'b', 'c'], configuration(['a'], ['b', 'c']), { b: progress(100, false), c: progress(100, false) }, null],
    ['a fourth stays a learner', ['a', 'b', 'c', 'd'], configuration(['a', 'b', 'c'], ['d']), { d: progress(100) }, null],
    ['who is no member leaves', ['a', 'b'], configuration(['a', 'b', 'c']), {}, { kind: 'remove', id: 'c' }],
  ])('%s', (_name, memberIds, current, following, step) => {
    const change = planMembership({ memberIds, configuration: current, progress: following, commit: 100 })
    expect(change?.steps[0] ?? null).toEqual(step)
  })
})
