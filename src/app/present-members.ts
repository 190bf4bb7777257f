// The members of the cluster as they are shown: each one's own word, the leader's word of it, what gossip says, and what an operator should note.
import type { ClusterMembers, Member, MemberReport, Timing } from '../model/member.ts'
import { sampleAgeMsMax } from '../model/metrics.ts'
import type { StoredNode } from '../model/node.ts'
import { clauseOf } from '../model/sentence.ts'
import type { AppContext } from './context.ts'
import { roleOf } from './present.ts'

/** Behind by more than this is worth a note. */
const lagNoted = 1000
/** A durable write that takes longer is worth a note: a leader that waits for it holds everybody up. */
const logSyncMsNoted = 100

type Leading = { readonly id: string; readonly report: MemberReport } | null

export function presentMembers(context: AppContext, reports: ReadonlyMap<string, MemberReport>): ClusterMembers {
  const leading = leaderAmong(reports)
  const own = reports.get(context.nodeId)
  if (own === undefined) throw new Error('assertion: a node always answers itself')
  const nodes = [...context.state.tables.node.values()].toSorted((one, other) => (one.name < other.name ? -1 : 1))
  const members = nodes.map((node) => presentMember(context, node, { report: reports.get(node.id) ?? null, leading }))
  const { configuration } = context.ports.consensus.status()
  const view = {
    node: context.nodeName(context.nodeId) ?? '',
    leader: leading === null ? null : context.nodeName(leading.id),
    term: leading?.report.term ?? own.term, commitIndex: leading?.report.commit ?? own.commit, quorum: own.quorum,
    stale: leading === null,
    voters: configuration.voters.length, votersNeeded: Math.floor(configuration.voters.length / 2) + 1,
    timing: own.timing, members,
  }
  return { ...view, notes: notesOf(view) }
}

/** Of two that say so the one of the later term: the other does not know yet. */
function leaderAmong(reports: ReadonlyMap<string, MemberReport>): Leading {
  const leaders = [...reports].filter(([, report]) => report.role === 'leader' && report.halted === null && report.quorum)
  const [id, report] = leaders.toSorted(([, one], [, other]) => other.term - one.term)[0] ?? []
  return id === undefined || report === undefined ? null : { id, report }
}

function presentMember(context: AppContext, node: StoredNode, known: { readonly report: MemberReport | null; readonly leading: Leading }): Member {
  const { report, leading } = known
  const { history, presence } = context.ports
  const seen = presence.of(node.id)
  const sample = history?.node(node.id) ?? null
  const isFresh = sample !== null && history !== undefined && history !== null && history.nowMs() - sample.heardMs <= sampleAgeMsMax
  const figures = isFresh ? sample.figures : null
  const follower = leading?.report.followers[node.id] ?? null
  const isLeader = leading?.id === node.id
  const commitIndex = report?.commit ?? null
  const appliedIndex = report?.applied ?? figures?.raftAppliedIndex ?? null
  // A new leader knows nothing of a member that has not answered yet.
  const matchIndex = isLeader ? leading.report.lastIndex : follower === null || follower.match === 0 ? null : follower.match
  const behind = (index: number | null, of: number | undefined) => (index === null || of === undefined ? null : Math.max(0, of - index))
  const consensus = context.ports.consensus.status()
  const contactOf = () => {
    if (isLeader) return 0
    if (leading !== null) return follower?.heardMs ?? null
    // By gossip: followers say nothing to each other while there is a leader.
    return node.id === context.nodeId ? 0 : (seen?.ageMs ?? null)
  }
  return {
    id: node.id, name: node.name,
    role: leading === null ? roleOf(consensus, node.id) : roleOf({ ...consensus, leaderId: leading.id }, node.id),
    voting: node.spec.voting ?? 'auto',
    state: report === null ? 'unknown' : report.halted === null ? report.role : 'halted',
    reachable: report !== null, stale: report === null || leading === null,
    term: report?.term ?? null,
    matchIndex, commitIndex, appliedIndex,
    matchLag: behind(matchIndex, leading?.report.lastIndex), commitLag: behind(commitIndex, leading?.report.commit), applyLag: behind(appliedIndex, leading?.report.commit),
    progress: isLeader ? 'replicate' : (follower?.state ?? null),
    lastContactMs: contactOf(),
    logSyncMs: report?.logSync?.p99Ms ?? (figures === null || figures.raftAppends === 0 ? null : figures.raftAppendP99Seconds * 1000),
    loopDelayMs: figures === null ? (seen?.load.loopDelayMs ?? null) : figures.loopDelayP99Seconds * 1000,
    logEntries: report === null ? null : report.lastIndex - report.firstIndex + 1, logBytes: report?.logBytes ?? null,
    timing: report?.timing ?? null,
    version: node.announcement?.version ?? '', featureLevel: node.announcement?.featureLevel ?? 0,
    halted: report?.halted ?? null, troubles: report?.troubles ?? [],
  }
}

function notesOf(view: Omit<ClusterMembers, 'notes'>): readonly string[] & string[] {
  const notes: string[] = []
  if (view.stale) notes.push(`No leader answers ${view.node}: what only a leader knows is missing, the rest is as it was heard last.`)
  const voters = view.members.filter((member) => member.role === 'leader' || member.role === 'voter')
  const away = voters.filter((member) => !member.reachable)
  if (away.length > 0) {
    const spare = voters.length - away.length - view.votersNeeded
    notes.push(`${away.map(({ name }) => name).join(', ')} ${away.length === 1 ? 'votes and does' : 'vote and do'} not answer; ${spare < 0 ? 'nothing can change' : spare === 0 ? 'no other voter may be lost' : `${spare} more may be lost`}.`)
  }
  for (const { name, reachable, role } of view.members) if (!reachable && role !== 'leader' && role !== 'voter') notes.push(`${name} does not answer; it does not vote.`)
  if (view.voters === 1 && view.members.length >= 3) notes.push('One member votes alone: nothing can change while it is away.')
  const different = view.members.filter(({ timing }) => timing !== null && !isSame(timing, view.timing))
  if (different.length > 0) notes.push(`${different.map(({ name }) => name).join(', ')} ${different.length === 1 ? 'has' : 'have'} other time-outs than ${view.node}: make "consensus" in node.json the same on all nodes.`)
  const versions = new Set(view.members.map(({ version }) => version).filter((version) => version !== ''))
  if (versions.size > 1) notes.push(`Members run different versions: ${[...versions].toSorted().join(', ')}.`)
  for (const member of view.members) {
    if (member.halted !== null) notes.push(`${member.name} takes no part: ${clauseOf(member.halted)}.`)
    else for (const trouble of member.troubles) notes.push(`${member.name}: ${trouble}`)
    if ((member.matchLag ?? 0) > lagNoted) notes.push(`${member.name} is ${member.matchLag} entries behind.`)
    if ((member.logSyncMs ?? 0) > logSyncMsNoted) notes.push(`The disk of ${member.name} is slow: a durable write takes ${Math.round(member.logSyncMs ?? 0)} ms.`)
    const votes = member.role === 'leader' || member.role === 'voter'
    if (member.voting === 'always' && !votes) notes.push(`${member.name} shall vote and does not yet: it waits for a seat, or has to catch up.`)
    if (member.voting === 'never' && votes) notes.push(`${member.name} shall not vote and does still: nobody can take its place yet.`)
  }
  return notes
}

function isSame(left: Timing, right: Timing): boolean {
  return left.heartbeatMs === right.heartbeatMs && left.electionMs === right.electionMs && left.lostMs === right.lostMs && left.steadyMs === right.steadyMs
}
