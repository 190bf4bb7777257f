// API tokens (a credential of a user) and join tokens (a credential to become a member); both lie in the state as hashes only.
import { z } from 'zod'
import { nameSchema } from './id.ts'
import { resourceSchema, type Labels } from './resource.ts'
import { bindingsMax, roleBindingInputSchema, type RoleBinding } from './role.ts'

export const apiTokenPrefix = 'nct_'
export const joinTokenPrefix = 'ncj_'
export const joinTokenLifeSecondsDefault = 3600
export const joinTokenLifeSecondsMax = 7 * 86_400

export const tokenSpecSchema = z.strictObject({
  /** Days until it ends; without it, it does not end by itself. */
  expiresInDays: z.number().int().min(1).max(3650).optional(),
  /** What it may do at most; never more than its user. Without it, all that its user may. */
  bindings: z.array(roleBindingInputSchema).min(1).max(bindingsMax).optional(),
})
export const tokenCreateSchema = z.strictObject({ name: nameSchema, spec: tokenSpecSchema.default({}) })
export const tokenStatusSchema = z.strictObject({
  user: z.string(), createdAt: z.string(), expiresAt: z.string().nullable(), revoked: z.boolean(),
  lastUsedAt: z.string().nullable().describe('As far as nodes have told each other; null where nobody has seen it'),
  lastUsedFrom: z.string().nullable(),
  parent: z.string().nullable().describe('Id of the token that made it; it ends with that one'),
})
/** Only the answer to create holds the secret. */
export const tokenSchema = resourceSchema('token', tokenSpecSchema, tokenStatusSchema).extend({ secret: z.string().optional() })
export type Token = z.output<typeof tokenSchema>

export type StoredToken = {
  readonly id: string
  readonly kind: 'token'
  readonly name: string
  readonly project: ''
  readonly labels: Labels
  readonly revision: number
  readonly generation: number
  readonly spec: { readonly expiresInDays?: number | undefined; readonly bindings?: readonly RoleBinding[] | undefined }
  readonly userId: string
  /** SHA-256 of the secret, hex: the secret has 256 random bits, so a slow hash would add nothing. */
  readonly secretHash: string
  readonly createdMs: number
  readonly expiresMs: number | null
  readonly revokedMs: number | null
  /** The token that made it: it ends with that one. Absent where a person did. */
  readonly parentId?: string
}

export const joinTokenCreateSchema = z.strictObject({
  lifeSeconds: z.number().int().min(1).max(joinTokenLifeSecondsMax).default(joinTokenLifeSecondsDefault),
})
export type StoredJoinToken = {
  readonly id: string
  readonly kind: 'joinToken'
  readonly name: string
  readonly project: ''
  readonly labels: Labels
  readonly revision: number
  readonly generation: number
  readonly secretHash: string
  readonly createdMs: number
  readonly expiresMs: number
  readonly usedByNodeId: string | null
  readonly revokedMs: number | null
}

/** What the opaque join token `ncj_<base64url of JSON>` holds. */
export const joinTokenContentSchema = z.strictObject({
  /** Cluster id. */
  c: z.string(),
  /** Token id. */
  t: z.string(),
  /** Secret, base64url. */
  s: z.string(),
  /** SHA-256 of the cluster CA certificate (DER), hex: the joiner trusts this and nothing else. */
  f: z.string(),
  /** HTTPS addresses, host:port, of members. */
  a: z.array(z.string()).min(1),
})
export type JoinTokenContent = z.infer<typeof joinTokenContentSchema>
