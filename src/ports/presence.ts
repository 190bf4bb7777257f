// Who was heard of lately, and how they are: from gossip, for eyes and hints, never for safety.
import type { NodeLoad } from '../model/node.ts'

export type PresenceOf = { readonly load: NodeLoad; /** Since it was received. */ readonly ageMs: number }
export interface PresenceView {
  of(nodeId: string): PresenceOf | null
}
