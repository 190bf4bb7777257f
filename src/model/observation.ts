// What the leader saw of consensus and put on record, so that each change is told once, whoever leads next.
import type { Told } from './told.ts'

/** Node ids are sorted. */
export type Observation = {
  readonly leaderId: string
  readonly term: number
  readonly voters: readonly string[]
  /** Members of whom the leader has not heard for a while. */
  readonly silent: readonly string[]
}

export type StoredObservation = Observation & {
  /** When a change was told last: of the `leader`, of the `voters`, and of each node's silence by its id. */
  readonly told: Readonly<Record<string, Told>>
}
