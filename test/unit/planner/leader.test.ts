// Who may be asked to lead, and why another may not.
import { expect, test } from 'vitest'
import type { ClusterMembers, Member } from '../../../src/model/member.ts'
import { doubtLeader, successorOf } from '../../../src/planner/leader.ts'
import { makeMembers, makeNode } from '../ui/stand-in.ts'

const [one, two, three] = [1, 2, 3].map((at) => makeNode(at))
const view = (change: Partial<Member> = {}, all: Partial<ClusterMembers> = {}): ClusterMembers => {
  const given = makeMembers([one!, two!, three!], all)
  return { ...given, members: given.members.map((member, at) => (at === 1 ? { ...member, ...change } : member)) }
}

test.each<[string, ClusterMembers, string | null]>([
  ['a voter that keeps up', view(), null],
  ['who leads already', view({ role: 'leader' }), null],
  ['a learner', view({ role: 'learner' }), 'n2 does not vote, so it cannot lead: promote it first (novacron cluster promote n2).'],
  ['who shall not vote', view({ voting: 'never' }), 'n2 is not to vote, so it could not lead for long.'],
  ['who has halted', view({ halted: 'the log could not be written' }), 'n2 takes no part: the log could not be written.'],
  ['who has halted, told by a whole sentence', view({ halted: 'The log is damaged.' }), 'n2 takes no part: The log is damaged.'],
  ['who is away', view({ reachable: false }), 'n2 does not answer.'],
  ['who gets a snapshot', view({ progress: 'snapshot' }), 'n2 is still being brought up to date.'],
  ['who is behind', view({ matchLag: 5000 }), 'n2 is 5000 entries behind.'],
  ['nobody hands over', view({}, { leader: null, stale: true }), 'No leader answers that could hand over.'],
])('%s', (_name, given, doubt) => expect(doubtLeader(given, two!.id)).toBe(doubt))

test('without a name: the voter that is furthest, null where none could', () => {
  expect(successorOf(view({ matchIndex: 1300, matchLag: 0 }))?.name).toBe('n2')
  // The third of the scene is too far behind.
  expect(successorOf(view({ reachable: false }))).toBeNull()
})
