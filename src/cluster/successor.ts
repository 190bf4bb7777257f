// Who could lead next, as the leader sees it, and how it makes room for them at once.
import type { NodeId } from '../model/id.ts'
import type { Transport } from '../ports/transport.ts'
import type { RaftNode } from '../raft/node.ts'
import type { Status } from '../raft/types.ts'

/** The voter heard from whose log is longest; ids break ties. While the configuration is joint only the incoming half is asked: the core refuses others. */
export function bestSuccessor(status: Status): NodeId | null {
  const candidates = Object.entries(status.progress)
    .filter(([id]) => id !== status.id && status.configuration.voters.includes(id))
    .sort(([leftId, left], [rightId, right]) => Number(right.recentActive) - Number(left.recentActive) || right.match - left.match || (leftId < rightId ? -1 : 1))
  return (candidates[0]?.[0] as NodeId | undefined) ?? null
}

/** A leader steps down, and tells the best successor to campaign; null where it does not lead, or is alone and has nobody to yield to. */
export function yieldLeadership(node: RaftNode, transport: Pick<Transport, 'send'>): { readonly to: NodeId | null } | null {
  const status = node.status()
  if (status.role !== 'leader' || status.configuration.voters.length < 2) return null
  const to = bestSuccessor(status)
  node.stepDown()
  // Not by way of a Ready, which may wait for the disk. Nothing is promised by it.
  if (to !== null) transport.send({ kind: 'timeoutNow', from: status.id, to, term: status.term })
  return { to }
}
