// A signed-in session as people see it: where it is used from, and since when. The session itself is a signed cookie; nodes keep what they saw of it.
import { z } from 'zod'

export const sessionViewSchema = z.strictObject({
  id: z.string(),
  user: z.string(),
  userId: z.string(),
  address: z.string().describe('Where it was last used from'),
  agent: z.string().describe('What the browser calls itself'),
  node: z.string().nullable().describe('The node that saw it last'),
  startedAt: z.string(),
  lastSeenAt: z.string(),
  expiresAt: z.string(),
  current: z.boolean().describe('The one that asks'),
})
export type SessionView = z.infer<typeof sessionViewSchema>
