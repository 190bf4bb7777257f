// The one shape of every resource, as stored and as answered.
import { z } from 'zod'
import { idSchema, labelsSchema, nameSchema } from './id.ts'

/** A statement about a resource, with what caused it. `status` unknown means: not measured. */
export const conditionSchema = z.strictObject({
  type: z.string(),
  status: z.enum(['true', 'false', 'unknown']),
  reason: z.string(),
  message: z.string(),
  sinceMs: z.number(),
  /** The command, actor or operation that caused it, where known. */
  cause: z.strictObject({ commandId: z.string().optional(), actor: z.string().optional(), operationId: z.string().optional(), step: z.string().optional() }).optional(),
})
export type Condition = z.infer<typeof conditionSchema>

export type Labels = Readonly<Record<string, string>>

/** Revision is the log index of the last change; generation counts changes of `spec`. */
export type Resource<Kind extends string, Spec, Status> = {
  readonly id: string
  readonly kind: Kind
  readonly name: string
  /** Empty for cluster-wide kinds. */
  readonly project: string
  readonly labels: Labels
  readonly revision: number
  readonly generation: number
  readonly spec: Spec
  readonly status: Status
}

export const defaultProject = 'default'

/** Wraps a spec schema into what create takes. */
export function createSchema<Spec extends z.ZodType>(spec: Spec) {
  return z.strictObject({ name: nameSchema, project: nameSchema.optional(), labels: labelsSchema.optional(), spec })
}

/** Wraps a spec schema into what PUT takes: the whole resource as GET gave it; status and generation are ignored. */
export function replaceSchema<Spec extends z.ZodType>(spec: Spec) {
  return z.strictObject({
    id: idSchema.optional(),
    kind: z.string().optional(),
    name: nameSchema.optional(),
    project: z.string().optional(),
    labels: labelsSchema.optional(),
    revision: z.number().int().nonnegative().optional(),
    generation: z.unknown().optional(),
    status: z.unknown().optional(),
    spec,
  })
}

/** Wraps spec and status schemas into what GET answers. */
export function resourceSchema<Kind extends string, Spec extends z.ZodType, Status extends z.ZodType>(kind: Kind, spec: Spec, status: Status) {
  return z.strictObject({
    id: idSchema,
    kind: z.literal(kind),
    name: z.string(),
    project: z.string(),
    labels: labelsSchema,
    revision: z.number().int(),
    generation: z.number().int(),
    spec,
    status,
  })
}
