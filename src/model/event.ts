// An event: one change of one resource, numbered `index.ordinal`, the same on every node.
import { z } from 'zod'

export const eventTypes = ['created', 'updated', 'deleted'] as const
export const eventSchema = z.strictObject({
  /** `index.ordinal`; a client resumes at any node with it. */
  id: z.string().regex(/^\d+\.\d+$/),
  at: z.string(),
  type: z.enum(eventTypes),
  kind: z.string(),
  resourceId: z.string(),
  name: z.string(),
  project: z.string(),
  /** One short sentence for people. */
  message: z.string(),
  /** Machine-readable reason, as `vm.phase.running`. */
  reason: z.string(),
  actor: z.string(),
  commandId: z.string(),
})
export type Event = z.infer<typeof eventSchema>
export const eventsKeptMax = 10_000

/** Orders two event ids. */
export function compareEventIds(left: string, right: string): number {
  const [leftIndex = 0, leftOrdinal = 0] = left.split('.').map(Number)
  const [rightIndex = 0, rightOrdinal = 0] = right.split('.').map(Number)
  return leftIndex - rightIndex || leftOrdinal - rightOrdinal
}
