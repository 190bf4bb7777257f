// Who votes: learners first, three to seven voters of those in touch, a lost one replaced, spread over zones; and that it settles.
import { describe, expect, test } from 'vitest'
import { doubtVoting, planMembership, votersWanted, type MemberView } from '../../../src/planner/membership.ts'
import { changeConfiguration } from '../../../src/raft/confchange.ts'
import { isJoint } from '../../../src/raft/quorum.ts'
import type { Configuration, Progress } from '../../../src/raft/types.ts'

const configuration = (voters: string, learners = ''): Configuration => ({ voters: [...voters], learners: [...learners], votersOutgoing: [], learnersNext: [], autoLeave: false })
const progress = (match: number, { recentActive = true, isCaughtUp = true }): Progress => ({ match, next: match + 1, state: 'replicate', pendingSnapshot: 0, recentActive, inflight: 0, isPaused: false, isCaughtUp, isLearner: true })

type Case = { readonly members: string; readonly lost?: string; readonly fresh?: string; readonly behind?: string; readonly slow?: string; readonly zones?: Record<string, string>; readonly leader?: string; readonly always?: string; readonly never?: string }

function view(current: Configuration, { members, lost = '', fresh = '', behind = '', slow = '', zones = {}, leader = 'a', always = '', never = '' }: Case) {
  const member = (id: string): MemberView => ({ id, zone: zones[id] ?? '', isLost: lost.includes(id), isSteady: !lost.includes(id) && !fresh.includes(id), voting: always.includes(id) ? 'always' : never.includes(id) ? 'never' : 'auto' })
  return {
    members: [...members].map(member), leaderId: leader, configuration: current, commit: 100,
    progress: Object.fromEntries([...members].map((id) => [id, progress(behind.includes(id) ? 1 : 100, { recentActive: !lost.includes(id), isCaughtUp: !slow.includes(id) })])),
  }
}

/** Where planning, again and again, ends: "voters/learners". */
function settle(start: Configuration, given: Case): string {
  let current = start
  for (let round = 0; round < 20; round++) {
    const change = planMembership(view(current, given))
    if (change === null) return `${current.voters.join('')}/${current.learners.join('')}`
    const outcome = changeConfiguration(current, change)
    if (outcome.kind !== 'changed') throw new Error(outcome.reason)
    const left = isJoint(outcome.configuration) ? changeConfiguration(outcome.configuration, { transition: 'auto', steps: [] }) : outcome
    if (left.kind !== 'changed') throw new Error(left.reason)
    current = left.configuration
  }
  throw new Error('does not settle')
}

describe('membership', () => {
  test.each<[string, Configuration, Case, string]>([
    ['a stranger becomes a learner', configuration('a'), { members: 'ab' }, 'a/b'],
    ['of two, one votes', configuration('a', 'b'), { members: 'ab' }, 'a/b'],
    ['three vote, promoted together', configuration('a', 'bc'), { members: 'abc' }, 'abc/'],
    ['never two: one that is behind lets the other wait', configuration('a', 'bc'), { members: 'abc', behind: 'b' }, 'a/bc'],
    ['one whose last round of catching up was long lets the other wait too', configuration('a', 'bc'), { members: 'abc', slow: 'b' }, 'a/bc'],
    ['a silent learner is not promoted', configuration('a', 'bc'), { members: 'abc', lost: 'c' }, 'a/bc'],
    ['a fourth stays a learner', configuration('abc', 'd'), { members: 'abcd' }, 'abc/d'],
    ['five vote where five are in touch', configuration('a'), { members: 'abcde' }, 'abcde/'],
    ['seven of eight', configuration('a'), { members: 'abcdefgh' }, 'abcdefg/h'],
    ['beyond three only those that have been there for a while', configuration('abc', 'de'), { members: 'abcde', fresh: 'e' }, 'abc/de'],
    ['a lost voter is replaced by a learner', configuration('abc', 'd'), { members: 'abcd', lost: 'c' }, 'abd/c'],
    ['at once, also by a new one', configuration('abc', 'd'), { members: 'abcd', lost: 'c', fresh: 'd' }, 'abd/c'],
    ['not by one that is behind', configuration('abc', 'd'), { members: 'abcd', lost: 'c', behind: 'd' }, 'abc/d'],
    ['with nobody to replace it, a lost voter stays one', configuration('abc'), { members: 'abc', lost: 'c' }, 'abc/'],
    ['one that returns stays a learner', configuration('abd', 'c'), { members: 'abcd' }, 'abd/c'],
    ['of five, two lost: three vote', configuration('abcde'), { members: 'abcde', lost: 'de' }, 'abc/de'],
    ['of five, one lost: three vote', configuration('abcde'), { members: 'abcde', lost: 'e' }, 'abc/de'],
    ['43: of two voters none is dropped while a third re-syncs', configuration('ab', 'c'), { members: 'abc', behind: 'c' }, 'ab/c'],
    ['43: and it votes again as soon as it has', configuration('ab', 'c'), { members: 'abc', fresh: 'c' }, 'abc/'],
    ['who is no member leaves', configuration('abc'), { members: 'ab' }, 'a/b'],
    ['who is removed is replaced in the same step', configuration('abc', 'd'), { members: 'abd' }, 'abd/'],
    ['a learner that is removed', configuration('abc', 'd'), { members: 'abc' }, 'abc/'],
    ['a leader that is removed and has no other voter hands the vote to the learner', configuration('a', 'b'), { members: 'b', leader: 'a' }, 'b/'],
    ['but not before that has caught up', configuration('a', 'b'), { members: 'b', leader: 'a', behind: 'b' }, 'a/b'],
    ['voters are spread over zones', configuration('abc', 'd'), { members: 'abcd', zones: { a: 'x', b: 'x', c: 'y', d: 'z' } }, 'acd/b'],
    ['but not by one that has just come', configuration('abc', 'd'), { members: 'abcd', fresh: 'd', zones: { a: 'x', b: 'x', c: 'y', d: 'z' } }, 'abc/d'],
    ['a lost voter is replaced from its own zone', configuration('abc', 'de'), { members: 'abcde', lost: 'b', fresh: 'de', zones: { a: 'x', b: 'y', c: 'z', d: 'z', e: 'y' } }, 'ace/bd'],
    ['who shall never vote gives its seat away', configuration('abc', 'd'), { members: 'abcd', never: 'b' }, 'acd/b'],
    ['also to one that has just come', configuration('abc', 'd'), { members: 'abcd', never: 'b', fresh: 'd' }, 'acd/b'],
    ['but not to one that is behind', configuration('abc', 'd'), { members: 'abcd', never: 'b', behind: 'd' }, 'abc/d'],
    ['nor to one that is silent', configuration('abc', 'd'), { members: 'abcd', never: 'b', lost: 'd' }, 'abc/d'],
    ['of three, one that shall never vote leaves one voter, not two', configuration('abc'), { members: 'abc', never: 'b' }, 'a/bc'],
    ['who shall always vote takes the seat of one that need not', configuration('abc', 'd'), { members: 'abcd', always: 'd' }, 'abd/c'],
    ['also where it has just come, and whatever the zones', configuration('abc', 'd'), { members: 'abcd', always: 'd', fresh: 'd', zones: { a: 'x', b: 'y', c: 'z', d: 'x' } }, 'abd/c'],
    ['but not while it is behind', configuration('abc', 'd'), { members: 'abcd', always: 'd', behind: 'd' }, 'abc/d'],
    ['nor where it would take the seat of the leader', configuration('a', 'b'), { members: 'ab', always: 'b' }, 'a/b'],
    ['the one that shall vote is kept where five become three', configuration('abcde'), { members: 'abcde', lost: 'd', always: 'e' }, 'abe/cd'],
    ['a leader that shall not vote and has no other voter gives the vote to the learner', configuration('a', 'b'), { members: 'ab', never: 'a' }, 'b/a'],
    ['the leader votes, whatever its zone', configuration('abc'), { members: 'abc', zones: { a: 'x', b: 'x', c: 'x' }, leader: 'c' }, 'abc/'],
  ])('%s', (_name, current, given, settled) => {
    expect(settle(current, given)).toBe(settled)
  })

  test('a voter is replaced in one joint step', () => {
    const change = planMembership(view(configuration('abc', 'd'), { members: 'abcd', lost: 'c' }))
    expect(change).toEqual({ transition: 'implicit', steps: [{ kind: 'addVoter', id: 'd' }, { kind: 'addLearner', id: 'c' }] })
  })

  test('while a joint configuration stands, nothing is proposed', () => {
    expect(planMembership(view({ ...configuration('abd', ''), votersOutgoing: [...'abc'], learnersNext: ['c'], autoLeave: true }, { members: 'abcde' }))).toBeNull()
  })

  test('every configuration that is planned is odd, has a majority in touch and keeps the leader', () => {
    for (let seed = 0; seed < 4_000; seed++) {
      const bit = (at: number, salt: number) => ((Math.imul(seed + 1, 2_654_435_761 + 40_503 * salt) >>> at) & 1) === 1
      const members = [...'abcdefgh'].slice(0, 1 + (seed % 8)).join('')
      const voters = [...members].filter((id, at) => id === 'a' || bit(at + 3, 1)).join('')
      const given: Case = {
        members,
        lost: [...members].filter((id, at) => id !== 'a' && bit(at + 5, 2) && bit(at + 9, 3)).join(''),
        fresh: [...members].filter((_, at) => bit(at + 7, 4)).join(''),
        zones: Object.fromEntries([...members].map((id, at) => [id, bit(at, 5) ? 'x' : bit(at, 6) ? 'y' : ''])),
      }
      const inTouch = (ids: string) => [...ids].filter((id) => !given.lost!.includes(id)).length
      if (inTouch(voters) * 2 <= voters.length) continue
      const start = configuration(voters, [...members].filter((id) => !voters.includes(id)).join(''))
      const settled = settle(start, given).split('/')[0]!
      expect(settled.includes('a'), JSON.stringify({ start, given, settled })).toBe(true)
      if (settled !== voters) {
        expect(settled.length % 2, JSON.stringify({ start, given, settled })).toBe(1)
        expect(inTouch(settled) * 2).toBeGreaterThan(settled.length)
      }
    }
  })

  test.each([[1, 1, 1], [2, 2, 1], [3, 3, 3], [4, 4, 3], [5, 5, 5], [6, 6, 5], [7, 7, 7], [50, 50, 7], [5, 4, 3], [3, 1, 3]])('of %i members, %i in touch: %i voters', (members, inTouch, voters) => {
    expect(votersWanted(members, inTouch)).toBe(voters)
  })
})

describe('a wish about voting', () => {
  const of = (wishes: Record<string, 'auto' | 'always' | 'never'>) => ({ members: Object.entries(wishes).map(([id, voting]) => ({ id, name: id, voting })), leaderId: 'a' })
  test.each([
    ['one less of four', of({ a: 'auto', b: 'auto', c: 'auto', d: 'auto' }), { id: 'b', voting: 'never' }, null],
    ['one less of three', of({ a: 'auto', b: 'auto', c: 'auto' }), { id: 'b', voting: 'never' }, 'Without b 2 of 3 members may vote, of whom one does, for two would stop when either is lost: the cluster would stop when that one is lost.'],
    ['the vote goes from one of two to the other', of({ a: 'auto', b: 'auto' }), { id: 'a', voting: 'never' }, null],
    ['one of two takes it beside the leader', of({ a: 'auto', b: 'auto' }), { id: 'b', voting: 'always' }, 'Of 2 members one votes, an odd number, and those seats are taken by the leader and by members that shall vote: b would have to wait for one.'],
    ['a fourth of four', of({ a: 'always', b: 'always', c: 'always', d: 'auto' }), { id: 'd', voting: 'always' }, 'Of 4 members 3 vote, an odd number, and those seats are taken by the leader and by members that shall vote: d would have to wait for one.'],
    ['a second beside the leader', of({ a: 'auto', b: 'always', c: 'auto', d: 'auto' }), { id: 'd', voting: 'always' }, null],
    ['as the cluster decides', of({ a: 'auto', b: 'never', c: 'never' }), { id: 'b', voting: 'auto' }, null],
  ] as const)('%s', (_name, view, wish, doubt) => expect(doubtVoting(view, wish)).toBe(doubt))
})
