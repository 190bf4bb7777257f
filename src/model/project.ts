// A project: a part of the cluster with names of its own, to which roles can be bound.
import { z } from 'zod'
import { labelPatchSchema, labelsSchema, nameSchema } from './id.ts'
import { resourceSchema, type Labels } from './resource.ts'

/** Of the project that every cluster has from its first day; it lies in no table. */
export const defaultProjectId = '00000000-0000-7000-8000-000000000000'

export const projectSpecSchema = z.strictObject({ description: z.string().max(256).default('') })
export const projectStatusSchema = z.strictObject({
  vms: z.number().int().describe('VMs of the project that the asker may see'),
  images: z.number().int(),
  createdAt: z.string(),
})
export const projectCreateSchema = z.strictObject({ name: nameSchema, labels: labelsSchema.optional(), spec: projectSpecSchema.default({ description: '' }) })
/** What GET gave may be sent back: what cannot be changed is ignored where it is the same. */
export const projectPatchSchema = z.strictObject({
  id: z.string().optional(), kind: z.string().optional(), project: z.string().optional(), generation: z.unknown().optional(), status: z.unknown().optional(),
  revision: z.number().int().nonnegative().optional(),
  name: nameSchema.optional(),
  labels: labelPatchSchema.optional(),
  spec: z.strictObject({ description: z.string().max(256) }).partial().optional(),
})

export type StoredProject = {
  readonly id: string
  readonly kind: 'project'
  readonly name: string
  readonly project: ''
  readonly labels: Labels
  readonly revision: number
  readonly generation: number
  readonly spec: z.output<typeof projectSpecSchema>
  readonly createdMs: number
}
export const projectSchema = resourceSchema('project', projectSpecSchema, projectStatusSchema)
export type Project = z.output<typeof projectSchema>
export const projectsMax = 1000
