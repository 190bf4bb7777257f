// Who could lead next, and why a member could not.
import type { ClusterMembers, Member } from '../model/member.ts'
import { clauseOf } from '../model/sentence.ts'

/** A leader that hands over holds proposals back until its successor has caught up: so many entries take no time. */
export const successionLagMax = 1000

/** Why it is not to be asked to lead, as a sentence; null where nothing speaks against it, also where it leads already. */
export function doubtLeader(view: ClusterMembers, nodeId: string): string | null {
  if (view.leader === null || view.stale) return 'No leader answers that could hand over.'
  const member = view.members.find(({ id }) => id === nodeId)
  if (member === undefined) return 'That node is no member.'
  const { name } = member
  if (member.role === 'leader') return null
  if (member.role !== 'voter') return `${name} does not vote, so it cannot lead: promote it first (novacron cluster promote ${name}).`
  if (member.voting === 'never') return `${name} is not to vote, so it could not lead for long.`
  if (member.halted !== null) return `${name} takes no part: ${clauseOf(member.halted)}.`
  if (!member.reachable) return `${name} does not answer.`
  if (member.progress !== 'replicate') return `${name} is still being brought up to date.`
  if (member.matchLag !== null && member.matchLag > successionLagMax) return `${name} is ${member.matchLag} entries behind.`
  return null
}

/** The voter that is furthest; null where none could. */
export function successorOf(view: ClusterMembers): Member | null {
  const able = view.members.filter((member) => member.role === 'voter' && doubtLeader(view, member.id) === null)
  return able.toSorted((one, other) => (other.matchIndex ?? 0) - (one.matchIndex ?? 0) || (one.id < other.id ? -1 : 1))[0] ?? null
}
