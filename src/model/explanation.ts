// Answers to "why is it so" and "why there": reasons in sentences, with what caused them and what can be done.
import { z } from 'zod'

/** What the planner thought of each node. */
export const placementViewSchema = z.strictObject({
  node: z.string().nullable().describe('The node chosen; null where it fits on none'),
  reason: z.string(),
  considered: z.array(z.strictObject({ node: z.string(), fits: z.boolean(), reason: z.string() })).describe('Best first, then those it does not fit on'),
})
export type PlacementView = Readonly<z.output<typeof placementViewSchema>>

const reasonSchema = z.strictObject({
  topic: z.enum(['state', 'operation', 'wish', 'place', 'pending']),
  text: z.string(),
  since: z.string().nullable(),
  cause: z.strictObject({ actor: z.string(), commandId: z.string(), operationId: z.string().optional(), step: z.string().optional() }).nullable(),
  remedy: z.string().nullable().describe('What an operator can do about it'),
})
export type Reason = Readonly<z.output<typeof reasonSchema>>

export const explanationSchema = z.strictObject({
  kind: z.string(), id: z.string(), name: z.string(), summary: z.string(), reasons: z.array(reasonSchema),
  placement: placementViewSchema.describe('What the planner thinks of each node now'),
})
export type Explanation = Readonly<z.output<typeof explanationSchema>>
