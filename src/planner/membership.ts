// Who votes: the leader's next change to the Raft configuration, one at a time.
import type { ConfChange, Configuration, Progress } from '../raft/types.ts'

/** Voters the cluster aims at; every further member is a learner. Two nodes: one votes, for with two voters either's death would stop both. */
export const votersMax = 3

export function votersWanted(members: number): number {
  return members >= votersMax ? votersMax : 1
}

export type MembershipView = {
  readonly memberIds: readonly string[]
  readonly configuration: Configuration
  readonly progress: Readonly<Record<string, Progress>>
  readonly commit: number
}

/** A learner may vote once it is this close to the commit index. */
export const promotionLagMax = 64

/** Null where nothing is to be done, or must wait (a learner that is behind cannot stall commits by voting). */
export function planMembership(view: MembershipView): ConfChange | null {
  const { configuration, memberIds, progress } = view
  if (configuration.votersOutgoing.length > 0) return null
  const known = new Set([...configuration.voters, ...configuration.learners])
  const stranger = memberIds.find((id) => !known.has(id))
  if (stranger !== undefined) return { transition: 'simple', steps: [{ kind: 'addLearner', id: stranger }] }
  const gone = [...known].find((id) => !memberIds.includes(id))
  if (gone !== undefined) return { transition: 'simple', steps: [{ kind: 'remove', id: gone }] }
  if (configuration.voters.length >= votersWanted(memberIds.length)) return null
  const ready = configuration.learners.find((id) => isCaughtUp(progress[id], view.commit))
  return ready === undefined ? null : { transition: 'simple', steps: [{ kind: 'addVoter', id: ready }] }
}

function isCaughtUp(progress: Progress | undefined, commit: number): boolean {
  return progress !== undefined && progress.recentActive && progress.state === 'replicate' && commit - progress.match <= promotionLagMax
}
