// An image: the content a VM's disk begins as, named by its SHA-256, with the nodes that hold it.
import { z } from 'zod'
import { nameSchema } from './id.ts'
import { conditionSchema, resourceSchema, type Labels } from './resource.ts'

export const imageFormats = ['qcow2', 'raw'] as const
export const imageSpecSchema = z.strictObject({
  format: z.enum(imageFormats),
  /** Of the file as it lies on the nodes, lower-case hex. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits'),
  sizeBytes: z.number().int().nonnegative().describe('Size of the file'),
  virtualSizeBytes: z.number().int().positive().describe('Size of the disk it makes'),
  os: z.string().max(64).default(''),
})
export type ImageSpec = z.output<typeof imageSpecSchema>

export const imageStatusSchema = z.strictObject({
  /** Names of the nodes that hold it. */
  nodes: z.array(z.string()),
  uses: z.number().int().describe('Disks made of it'),
  createdAt: z.string(),
  conditions: z.array(conditionSchema),
})

export type StoredImage = {
  readonly id: string
  readonly kind: 'image'
  readonly name: string
  readonly project: string
  readonly labels: Labels
  readonly revision: number
  readonly generation: number
  readonly spec: ImageSpec
  readonly holders: readonly string[]
  readonly createdMs: number
}

/** Query of an import: the body is the file itself. */
export const imageImportSchema = z.strictObject({
  name: nameSchema,
  sha256: z.string().regex(/^[0-9a-f]{64}$/).optional().describe('Refuse the file if its checksum is another'),
  os: z.string().max(64).optional(),
})

export const imageSchema = resourceSchema('image', imageSpecSchema, imageStatusSchema)
export type Image = z.output<typeof imageSchema>
