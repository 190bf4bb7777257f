// Where the copies of an image go: which nodes fetch it, which may give theirs up; pure, the same on every node that sees the same.
import type { StoredImage } from '../model/image.ts'
import { copiesWanted, holdersOf, isImageNeededOn, keepersOf } from '../state/image-use.ts'
import type { State } from '../state/state.ts'

/** A member as the planner sees it. */
export type ImageHost = { readonly nodeId: string; readonly freeBytes: number; readonly inTouch: boolean }
export type CopyPlan = { readonly fetch: readonly string[]; readonly drop: readonly string[] }

/** A node that would have less than this left takes no copy that it need not have. */
export const freeBytesAfterMin = 1024 ** 3
const nothing: CopyPlan = { fetch: [], drop: [] }

/** @param hosts every member, in any order */
export function planCopies(state: State, image: StoredImage, hosts: readonly ImageHost[]): CopyPlan {
  const wanted = copiesWanted(state, image)
  if (wanted === null) return nothing
  const holders = new Set(keepersOf(state, image))
  const surplus = holders.size - Math.max(1, wanted)
  if (surplus > 0) return { fetch: [], drop: planDrop(state, image, holders, hosts) }
  // With no copy left there is nothing to fetch from.
  if (holdersOf(state, image).length === 0 || surplus === 0) return nothing
  const fits = (host: ImageHost) => host.inTouch && state.tables.node.get(host.nodeId)?.leaving === undefined && (image.spec.copies === 'all' || host.freeBytes - image.spec.sizeBytes >= freeBytesAfterMin)
  const candidates = hosts.filter((host) => !holders.has(host.nodeId) && fits(host)).map((host) => host.nodeId)
  return { fetch: candidates.toSorted(byRoom(hosts, 'most')).slice(0, -surplus), drop: [] }
}

/**
 * The bytes are one file, whatever images are made of them: a node that keeps it for another image would say again at once that it holds this one. So
 * as many copies stay as the most demanding of them wants, and where nobody said how many, all.
 */
function planDrop(state: State, image: StoredImage, holders: ReadonlySet<string>, hosts: readonly ImageHost[]): readonly string[] {
  const { sha256 } = image.spec
  const wishes = [...state.tables.image.values()].filter((each) => each.spec.sha256 === sha256).map((each) => copiesWanted(state, each) ?? Number.POSITIVE_INFINITY)
  const surplus = holders.size - Math.max(1, ...wishes)
  if (surplus <= 0) return []
  const free = [...holders].filter((nodeId) => !isImageNeededOn(state, sha256, nodeId))
  return free.toSorted(byRoom(hosts, 'least')).slice(0, surplus)
}

/** Ids break ties, so that all nodes come to the same. */
function byRoom(hosts: readonly ImageHost[], first: 'most' | 'least'): (left: string, right: string) => number {
  const free = new Map(hosts.map((host) => [host.nodeId, host.freeBytes]))
  const sign = first === 'most' ? -1 : 1
  return (left, right) => sign * ((free.get(left) ?? 0) - (free.get(right) ?? 0)) || (left < right ? -1 : 1)
}
