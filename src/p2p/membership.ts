// Who belongs to the cluster as far as the network is concerned: both directions of node id and peer id.
import type { Dismissed, Member } from '../ports/transport.ts'

export type MembershipChange = {
  /** New ones, and those whose key changed. */
  readonly added: readonly Member[]
  /** Those left out, and those whose key changed. */
  readonly removed: readonly Member[]
  /** Same key, other address or name. */
  readonly moved: readonly Member[]
}

/** Before the first `set` it is empty: nobody is admitted. */
export class Membership {
  readonly #selfNodeId: string
  #byNodeId = new Map<string, Member>()
  #byPeerId = new Map<string, Member>()
  #epoch = 1
  #dismissed: ReadonlySet<string> = new Set()

  constructor(selfNodeId: string) {
    this.#selfNodeId = selfNodeId
  }

  /** Takes the new list, leaving this node itself out, and tells what differs from the old one. */
  set(members: readonly Member[]): MembershipChange {
    const before = this.#byNodeId
    const others = members.filter((member) => member.nodeId !== this.#selfNodeId)
    this.#byNodeId = new Map(others.map((member) => [member.nodeId, member]))
    this.#byPeerId = new Map(others.map((member) => [member.peerId, member]))
    const sameKey = (member: Member) => before.get(member.nodeId)?.peerId === member.peerId
    const now = [...this.#byNodeId.values()]
    return {
      added: now.filter((member) => !sameKey(member)),
      removed: [...before.values()].filter((member) => this.#byNodeId.get(member.nodeId)?.peerId !== member.peerId),
      moved: now.filter((member) => sameKey(member) && before.get(member.nodeId)?.address !== member.address),
    }
  }

  setDismissed({ epoch, peers }: Dismissed): void {
    this.#epoch = epoch
    this.#dismissed = new Set(peers.map(({ peerId }) => peerId))
  }

  /** The epoch at which the cluster was founded anew without this peer; null for members and strangers. */
  dismissedAt(peerId: string): number | null {
    return this.#dismissed.has(peerId) && !this.#byPeerId.has(peerId) ? this.#epoch : null
  }

  byNodeId(nodeId: string): Member | undefined {
    return this.#byNodeId.get(nodeId)
  }

  byPeerId(peerId: string): Member | undefined {
    return this.#byPeerId.get(peerId)
  }
}
