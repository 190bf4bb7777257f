// Who was heard of lately, and how they are: from gossip, for eyes and hints, never for safety.
import type { NodeLoad } from '../model/node.ts'

export type PresenceOf = { readonly load: NodeLoad; /** Since it was received. */ readonly ageMs: number }
/** Who takes part in the cluster's work, as far as gossip tells: for choices and for giving up, never for safety. */
export interface AttendanceView {
  /** Heard of lately, and has applied the index. */
  hasApplied(nodeId: string, index: number): boolean
  /** All that were heard of lately and keep up, this node included. */
  all(): ReadonlySet<string>
}

export interface PresenceView {
  of(nodeId: string): PresenceOf | null
}
