// A member in the eyes of consensus: what each says of itself when it is asked, and what is shown of all together.
import { z } from 'zod'
import { nodeRoles, nodeVotings } from './node.ts'

/** Milliseconds. `election`: at least so long without a leader before a member stands; `lost` and `steady`: before a voter is replaced, and before a member may vote beyond need. */
export const timingSchema = z.strictObject({ heartbeatMs: z.number(), electionMs: z.number(), lostMs: z.number(), steadyMs: z.number() })
export type Timing = z.output<typeof timingSchema>

const index = z.number().int().nonnegative()
export const progressStates = ['probe', 'replicate', 'snapshot'] as const

/** A member's own word. Unknown fields are of a newer version. */
export const memberReportSchema = z.object({
  role: z.enum(['follower', 'preCandidate', 'candidate', 'leader']),
  leaderId: z.string().nullable(),
  term: index, commit: index, applied: index, firstIndex: index, lastIndex: index, logBytes: index,
  quorum: z.boolean(),
  halted: z.string().nullable(),
  /** What ails its part in consensus, in sentences; a member of before tells none. */
  troubles: z.array(z.string()).default([]),
  /** How long it had no leader before the present one, milliseconds; a member of before does not tell. */
  leaderlessMs: index.default(0),
  timing: timingSchema,
  /** Durable writes of the log in milliseconds, of the last minute; null before the first, or where they are not timed. */
  logSync: z.object({ p50Ms: z.number(), p99Ms: z.number(), maxMs: z.number() }).nullable(),
  /** Only a leader has them; `heardMs`: since it heard of the follower, null for never. */
  followers: z.record(z.string(), z.object({ match: index, state: z.enum(progressStates), recentActive: z.boolean(), heardMs: z.number().nullable() })),
})
export type MemberReport = z.output<typeof memberReportSchema>

/** What shortening a log came to. */
export const compactionSchema = z.object({ index: index.describe('The log begins behind it; the state on disk holds what came before'), entries: index.describe('Entries forgotten'), bytesBefore: index.describe('Bytes of the log on disk'), bytesAfter: index })
export type Compacted = z.output<typeof compactionSchema>

const milliseconds = z.number().nonnegative().nullable()
export const memberSchema = z.strictObject({
  id: z.string(), name: z.string(),
  role: z.enum(nodeRoles),
  voting: z.enum(nodeVotings).describe('What an operator wishes; auto leaves it to the cluster'),
  state: z.string().describe('What its consensus does: leader, follower, candidate, preCandidate, or halted; unknown where it did not answer'),
  reachable: z.boolean().describe('It answered just now'),
  stale: z.boolean().describe('What is shown was heard earlier, or without a leader'),
  term: index.nullable(),
  matchIndex: index.nullable().describe('How far its log is known to equal the leader\'s'),
  commitIndex: index.nullable().describe('What it knows to be committed'),
  appliedIndex: index.nullable(),
  matchLag: index.nullable().describe('Entries of the leader that it is not known to have'),
  commitLag: index.nullable().describe('Entries that are committed and that it does not know to be'),
  applyLag: index.nullable().describe('Entries that are committed and not applied there'),
  progress: z.enum(progressStates).nullable().describe('How the leader feeds it'),
  lastContactMs: milliseconds.describe('Since the leader heard of it; without a leader, since the node that answers did, by gossip'),
  logSyncMs: milliseconds.describe('A durable write of its log, 99th percentile of the last minute'),
  loopDelayMs: milliseconds.describe('Delay of its event loop in the last seconds, 99th percentile'),
  logEntries: index.nullable(), logBytes: index.nullable(),
  timing: timingSchema.nullable().describe('Its time-outs, by its own configuration'),
  version: z.string(), featureLevel: z.number().int(),
  halted: z.string().nullable().describe('Why it takes no part; null while it does'),
  troubles: z.array(z.string()).describe('What ails it: a full or hung disk, a damaged log; empty while all is well'),
})
export type Member = z.output<typeof memberSchema>

export const clusterMembersSchema = z.strictObject({
  node: z.string().describe('The node that answers'),
  leader: z.string().nullable(), term: index, commitIndex: index, quorum: z.boolean(),
  stale: z.boolean().describe('No leader answered: match, lag and contact are not known'),
  voters: index, votersNeeded: index.describe('Voters that must be in touch for anything to change'),
  timing: timingSchema,
  notes: z.array(z.string()).describe('What an operator should know: time-outs or versions that differ, a member that lags or is away'),
  members: z.array(memberSchema),
})
export type ClusterMembers = z.output<typeof clusterMembersSchema>

export const leaderChangeSchema = z.strictObject({ node: z.string().max(64).optional().describe('Name or id; without it the voter that is furthest') })
/** Outcome of a transfer. */
export const leadershipSchema = z.strictObject({ leader: z.string(), term: index })
export type Leadership = z.output<typeof leadershipSchema>
