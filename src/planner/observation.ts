// What of consensus is to be put on record now: what the leader sees, less the changes that have to wait because they come and go.
import type { Observation, StoredObservation } from '../model/observation.ts'
import { isDue } from '../model/told.ts'

export type ObservationView = {
  readonly known: StoredObservation | undefined
  /** How long ago each subject of `known.told` was told, milliseconds. */
  readonly toldAgoMs: Readonly<Record<string, number>>
  readonly leaderId: string
  readonly term: number
  readonly voters: readonly string[]
  /** Of each member whether it is silent; null where this leader cannot tell yet. */
  readonly members: readonly { readonly id: string; readonly isSilent: boolean | null }[]
}

/** Null where nothing is new, or nothing that may be told yet. */
export function planObservation({ known, toldAgoMs, leaderId, term, voters, members }: ObservationView): Observation | null {
  const former = new Set(known?.silent)
  const wasSilent = (id: string) => former.has(id)
  const mayTell = (what: string) => {
    const told = known?.told[what]
    return told === undefined || isDue(told, told.atMs + (toldAgoMs[what] ?? 0))
  }
  const silent = members.filter(({ id, isSilent }) => (isSilent === null || !mayTell(id) ? wasSilent(id) : isSilent)).map(({ id }) => id).toSorted()
  const isNewLeader = known === undefined || known.term !== term || known.leaderId !== leaderId
  if (known === undefined) return { leaderId, term, voters: voters.toSorted(), silent }
  const next = {
    ...(isNewLeader && mayTell('leader') ? { leaderId, term } : { leaderId: known.leaderId, term: known.term }),
    voters: mayTell('voters') ? voters.toSorted() : known.voters,
    silent,
  }
  return isSame(next, known) ? null : next
}

function isSame(one: Observation, other: Observation): boolean {
  return one.leaderId === other.leaderId && one.term === other.term && one.voters.join() === other.voters.join() && one.silent.join() === other.silent.join()
}
