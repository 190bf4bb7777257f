// An audit record: a command that somebody gave, redacted, with its outcome.
import { z } from 'zod'

export const auditRecordSchema = z.strictObject({
  /** Log index of the command; a UUID for what never came into the log: a failed sign-in, a write refused before. */
  id: z.string(),
  at: z.string(),
  actor: z.string(),
  actorKind: z.string(),
  address: z.string(),
  command: z.string(),
  target: z.string(),
  outcome: z.enum(['done', 'refused']),
  node: z.string().describe('The node that refused, for what never came into the log; else empty'),
  code: z.string(),
  detail: z.string(),
})
export type AuditRecord = z.infer<typeof auditRecordSchema>

export type StoredAudit = {
  readonly id: string
  readonly kind: 'audit'
  readonly timeMs: number
  readonly actor: { readonly kind: string; readonly id: string; readonly name: string; readonly address: string }
  readonly command: string
  readonly target: string
  readonly outcome: 'done' | 'refused'
  readonly code: string
  readonly detail: string
}
export const auditRecordsMax = 10_000
