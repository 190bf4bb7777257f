// Who votes: the leader's next change to the Raft configuration, one at a time.
import type { NodeVoting } from '../model/node.ts'
import type { ConfChange, ConfChangeStep, Configuration, Progress } from '../raft/types.ts'

/** Voters the cluster has at least, if it has as many members. Two nodes: one votes, for with two voters either's death would stop both. */
export const votersMin = 3
export const votersMax = 7

/** Odd, by the number of members in touch; never below three where there are as many members, for that would only cost copies. */
export function votersWanted(members: number, inTouch: number): number {
  if (members < votersMin) return 1
  if (inTouch >= votersMax) return votersMax
  return inTouch >= 5 ? 5 : votersMin
}

export type MemberView = {
  readonly id: string
  /** Failure domain: voters are spread over them. Those without one share a domain. */
  readonly zone: string
  /** Not heard of for so long that another is to vote in its place. */
  readonly isLost: boolean
  /** In touch for so long without a break that it may take the place of one that is well. */
  readonly isSteady: boolean
  /** What an operator wishes: `always` comes before all but the leader, `never` votes only until another can in its place. */
  readonly voting: NodeVoting
}

export type MembershipView = {
  /** Those who stay; who is being removed is not among them. */
  readonly members: readonly MemberView[]
  readonly leaderId: string
  readonly configuration: Configuration
  readonly progress: Readonly<Record<string, Progress>>
  readonly commit: number
}

/** A learner may vote once its last round of catching up was short and it is this close to the commit index. */
export const promotionLagMax = 64

/**
 * Null where nothing is to be done, or must wait (a learner that is behind cannot stall commits by voting). Voters change in one joint step, so
 * that no moment has a smaller quorum than before and after. The leader is never voted out here: it hands over first.
 */
export function planMembership(view: MembershipView): ConfChange | null {
  const { configuration, members } = view
  if (configuration.votersOutgoing.length > 0) return null
  const known = new Set([...configuration.voters, ...configuration.learners])
  const strangers = members.filter((member) => !known.has(member.id))
  if (strangers.length > 0) return { transition: 'simple', steps: strangers.map(({ id }) => ({ kind: 'addLearner', id })) }
  const staying = new Set(members.map((member) => member.id))
  const voters = planVoters(view)
  // A sole voter that leaves stays until another has caught up.
  if (voters.length === 0) return null
  const wanted = new Set(voters)
  const steps: ConfChangeStep[] = [
    ...voters.filter((id) => !configuration.voters.includes(id)).map((id): ConfChangeStep => ({ kind: 'addVoter', id })),
    ...configuration.voters.filter((id) => staying.has(id) && !wanted.has(id)).map((id): ConfChangeStep => ({ kind: 'addLearner', id })),
    ...[...known].filter((id) => !staying.has(id)).map((id): ConfChangeStep => ({ kind: 'remove', id })),
  ]
  if (steps.length === 0) return null
  const altered = voters.filter((id) => !configuration.voters.includes(id)).length + configuration.voters.filter((id) => !wanted.has(id)).length
  return { transition: altered > 1 ? 'implicit' : 'simple', steps }
}

/** The voters that shall be, an odd number, of whom a majority is in touch; those there are where nothing better can be had. */
function planVoters(view: MembershipView): readonly string[] {
  const { members, configuration } = view
  const isVoter = (member: MemberView) => configuration.voters.includes(member.id)
  const willing = members.filter((member) => member.voting !== 'never')
  const current = members.filter(isVoter)
  const live = willing.filter((member) => !member.isLost && (isVoter(member) || isCaughtUp(view.progress[member.id], view.commit)))
  const target = votersWanted(willing.length, willing.filter((member) => !member.isLost).length)
  const liveVoters = live.filter(isVoter).length
  // One that is lost, or was never there, is replaced at once; beyond that a change is no hurry and waits for steady ones.
  const urgent = Math.max(0, Math.min(target, Math.max(votersMin, current.length)) - liveVoters)
  const promotable = live.filter((member) => !isVoter(member) && (urgent > 0 || member.isSteady || member.voting === 'always'))
  // Who is not to vote, or is lost, goes on voting until another can.
  const fillers = current.filter((member) => member.isLost || member.voting === 'never').toSorted((one, other) => Number(one.isLost) - Number(other.isLost))
  const chosen = choose([...live.filter(isVoter), ...promotable], { count: target, view })
  if (chosen.length < target) chosen.push(...fillers.slice(0, target - chosen.length))
  // An even number bears no more losses than the odd one below it: the last to come waits, for another to come with it. But who votes is not
  // dropped while another is on its way, as one that re-syncs: of two voters one would be left.
  const isAwaited = chosen.length < target && chosen.every(isVoter) && willing.some((member) => !member.isLost && !isVoter(member))
  if (chosen.length % 2 === 0 && !isAwaited) dropOne(chosen, view)
  const inTouch = chosen.filter((member) => !member.isLost).length
  return inTouch * 2 > chosen.length ? chosen.map((member) => member.id) : current.map((member) => member.id)
}

/** One after the other, each where the fewest of its failure domain are chosen; the leader and who is wished for first, then who votes already, then by id. */
function choose(candidates: readonly MemberView[], { count, view }: { readonly count: number; readonly view: MembershipView }): MemberView[] {
  const chosen: MemberView[] = []
  const left = candidates.toSorted((one, other) => rank(one, view) - rank(other, view) || (one.id < other.id ? -1 : 1))
  while (chosen.length < count && left.length > 0) {
    const crowd = (member: MemberView) => chosen.filter((other) => other.zone === member.zone).length
    let best = 0
    // The leader is first whatever its domain, and then who is wished for.
    if (rank(left[0]!, view) > 1) left.forEach((member, at) => (best = crowd(member) < crowd(left[best]!) ? at : best))
    chosen.push(...left.splice(best, 1))
  }
  return chosen
}

function rank(member: MemberView, view: MembershipView): number {
  if (member.id === view.leaderId) return 0
  if (member.voting === 'always') return 1
  return view.configuration.voters.includes(member.id) ? 2 : 3
}

/** Who goes where one is too many: one that is lost, else one that does not vote yet, else the last. */
function dropOne(chosen: MemberView[], view: MembershipView): void {
  const isDroppable = [(member: MemberView) => member.isLost, (member: MemberView) => rank(member, view) === 3, (member: MemberView) => rank(member, view) > 1, (member: MemberView) => rank(member, view) > 0]
  for (const test of isDroppable) {
    const at = chosen.findLastIndex(test)
    if (at === -1) continue
    chosen.splice(at, 1)
    return
  }
}

function isCaughtUp(progress: Progress | undefined, commit: number): boolean {
  return progress !== undefined && progress.recentActive && progress.state === 'replicate' && progress.isCaughtUp && commit - progress.match <= promotionLagMax
}

export type VotingView = { readonly members: readonly { readonly id: string; readonly name: string; readonly voting: NodeVoting }[]; readonly leaderId: string | null }

/** Why a wish about voting should be thought over before it is made; null where nothing speaks against it. */
export function doubtVoting(view: VotingView, wish: { readonly id: string; readonly voting: NodeVoting }): string | null {
  const after = view.members.map((member) => (member.id === wish.id ? { ...member, voting: wish.voting } : member))
  const willing = after.filter((member) => member.voting !== 'never')
  const seats = votersWanted(willing.length, willing.length)
  const held = votersWanted(view.members.length, view.members.length)
  const name = view.members.find((member) => member.id === wish.id)?.name ?? wish.id
  if (wish.voting === 'never' && willing.length < votersMin && held >= votersMin) {
    return `Without ${name} ${willing.length} of ${view.members.length} members may vote, of whom ${seats === 1 ? 'one does, for two would stop when either is lost' : `${seats} do`}: the cluster would stop when that one is lost.`
  }
  const wished = willing.filter((member) => member.voting === 'always')
  // The leader keeps its seat while it leads.
  const asked = wished.length + (wish.voting === 'always' && view.leaderId !== null && willing.some((member) => member.id === view.leaderId && member.voting === 'auto') ? 1 : 0)
  if (wish.voting === 'always' && asked > seats) return `Of ${willing.length} members ${seats === 1 ? 'one votes' : `${seats} vote`}, an odd number, and those seats are taken by the leader and by members that shall vote: ${name} would have to wait for one.`
  return null
}
