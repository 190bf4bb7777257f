// A user of the cluster, and the actor that a request or a controller acts as.
import { z } from 'zod'
import { labelPatchSchema, labelsSchema, nameSchema } from './id.ts'
import { resourceSchema, type Labels } from './resource.ts'
import { bindingsMax, clusterScope, roleBindingInputSchema, roleBindingSchema } from './role.ts'

export const passwordCharactersMin = 10
export const passwordSchema = z.string().min(passwordCharactersMin, `must have at least ${passwordCharactersMin} characters`).max(256)

export const userSpecSchema = z.strictObject({
  displayName: z.string().max(128).default(''),
  disabled: z.boolean().default(false),
  bindings: z.array(roleBindingSchema).max(bindingsMax).default([{ role: 'viewer', scope: '*' }]),
})
export const userStatusSchema = z.strictObject({ createdAt: z.string(), passwordChangedAt: z.string(), lastSeenAt: z.string().nullable().describe('As far as nodes have told each other; null where nobody has seen them') })
/** What people send: scopes come out in their one form; without bindings a user looks at everything. */
const userInputSpecSchema = z.strictObject({
  displayName: z.string().max(128).default(''),
  disabled: z.boolean().default(false),
  bindings: z.array(roleBindingInputSchema).max(bindingsMax).default([{ role: 'viewer', scope: clusterScope }]),
})
export const userCreateSchema = z.strictObject({
  name: nameSchema, labels: labelsSchema.optional(), spec: userInputSpecSchema.prefault({}), password: passwordSchema,
})
/** What GET gave may be sent back; `id`, `kind`, `name`, `project`, `generation` and `status` change nothing. */
export const userPatchSchema = z.strictObject({
  id: z.string().optional(), kind: z.string().optional(), name: z.string().optional(), project: z.string().optional(), generation: z.unknown().optional(), status: z.unknown().optional(),
  revision: z.number().int().nonnegative().optional(),
  labels: labelPatchSchema.optional(),
  spec: z.strictObject({ displayName: z.string().max(128), disabled: z.boolean(), bindings: z.array(roleBindingInputSchema).max(bindingsMax) }).partial().optional(),
})
export const passwordChangeSchema = z.strictObject({ current: z.string().max(256).optional(), password: passwordSchema })

export type StoredUser = {
  readonly id: string
  readonly kind: 'user'
  readonly name: string
  readonly project: ''
  readonly labels: Labels
  readonly revision: number
  readonly generation: number
  readonly spec: z.output<typeof userSpecSchema>
  /** PHC string of argon2id. Never answered. */
  readonly passwordHash: string
  readonly createdMs: number
  readonly passwordChangedMs: number
  /** Sessions that began before are over; absent where nobody was signed out everywhere. */
  readonly sessionsFromMs?: number
}
export const userSchema = resourceSchema('user', userSpecSchema, userStatusSchema)
export type User = z.output<typeof userSchema>

/** Who a command acts for. `name` is what the audit shows. */
export const actorSchema = z.strictObject({
  kind: z.enum(['user', 'token', 'node', 'guest', 'system']),
  id: z.string().max(64),
  name: z.string().max(128),
  /** Where the request came from, without port; empty for the system. */
  address: z.string().max(64).default(''),
})
export type Actor = z.output<typeof actorSchema>
