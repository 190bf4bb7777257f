// An upload: an image file on its way in, part by part, kept by the node that began it until it is whole.
import { z } from 'zod'
import { labelsSchema, nameSchema } from './id.ts'
import { imageCopiesSchema } from './image.ts'
import { resourceSchema } from './resource.ts'

/** At once on one node. */
export const uploadsMax = 16
/** After the last part; then it is removed. */
export const uploadLifeMs = 24 * 3_600_000
/** No image file is larger: 4 TiB. What fits on the disk is for the storage to say. */
export const imageBytesMax = 4 * 2 ** 40

export const uploadSpecSchema = z.strictObject({
  sizeBytes: z.number().int().positive().max(imageBytesMax).describe('Size of the whole file'),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits').optional().describe('Refuse the file if its checksum is another'),
  os: z.string().max(64).optional(),
  copies: imageCopiesSchema.optional(),
  /** Of the client's making: by it the same file is found again after a restart of the client. */
  fingerprint: z.string().max(128).optional().describe('Whatever tells the client that it is the same file'),
})
export const uploadStatusSchema = z.strictObject({
  offset: z.number().int().describe('What has come so far: the next part begins here'),
  node: z.string().describe('The node that keeps it; parts go there'),
  user: z.string(),
  createdAt: z.string(),
  expiresAt: z.string().describe('Unless more comes before'),
})
/** Its name and labels are those that the image is to have. */
export const uploadCreateSchema = z.strictObject({ name: nameSchema, labels: labelsSchema.optional(), spec: uploadSpecSchema })
export const uploadSchema = resourceSchema('upload', uploadSpecSchema, uploadStatusSchema)
export type Upload = z.output<typeof uploadSchema>
