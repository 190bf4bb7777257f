// A user of the cluster, and the actor that a request or a controller acts as.
import { z } from 'zod'
import { nameSchema } from './id.ts'
import { resourceSchema, type Labels } from './resource.ts'

export const passwordCharactersMin = 10
export const passwordSchema = z.string().min(passwordCharactersMin, `must have at least ${passwordCharactersMin} characters`).max(256)

export const roles = ['administrator', 'operator', 'viewer'] as const
export const roleSchema = z.enum(roles)
export type Role = z.infer<typeof roleSchema>
/** Scope "*" is the whole cluster; else a project's name. */
export const roleBindingSchema = z.strictObject({ role: roleSchema, scope: z.string().max(63) })
export type RoleBinding = z.infer<typeof roleBindingSchema>

export const userSpecSchema = z.strictObject({
  displayName: z.string().max(128).default(''),
  disabled: z.boolean().default(false),
  bindings: z.array(roleBindingSchema).max(64).default([{ role: 'viewer', scope: '*' }]),
})
export const userStatusSchema = z.strictObject({ createdAt: z.string(), passwordChangedAt: z.string() })
export const userCreateSchema = z.strictObject({
  name: nameSchema, labels: z.record(z.string(), z.string()).optional(), spec: userSpecSchema, password: passwordSchema,
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
