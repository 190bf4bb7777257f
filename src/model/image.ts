// An image: the content a VM's disk begins as, named by its SHA-256, with the nodes that hold it.
import { z } from 'zod'
import { labelsSchema, nameSchema } from './id.ts'
import { conditionSchema, resourceSchema, type Labels } from './resource.ts'

export const imageFormats = ['qcow2', 'raw'] as const
export const imageCopiesMax = 64
export const imageCopiesDefault = 2
export const imageCopiesSchema = z.union([z.number().int().min(1).max(imageCopiesMax), z.literal('all')]).describe('How many nodes keep it: a number, or "all"')
export type ImageCopies = z.output<typeof imageCopiesSchema>
const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits')
export const imageSpecSchema = z.strictObject({
  format: z.enum(imageFormats),
  /** Of the file as it lies on the nodes, lower-case hex. */
  sha256: sha256Schema,
  sizeBytes: z.number().int().nonnegative().describe('Size of the file'),
  virtualSizeBytes: z.number().int().positive().describe('Size of the disk it makes'),
  os: z.string().max(64).default(''),
  /** Absent for an image of before copies were counted: it stays where it is until somebody sets a number. */
  copies: imageCopiesSchema.optional(),
})
export type ImageSpec = z.output<typeof imageSpecSchema>

export const imageStatusSchema = z.strictObject({
  /** Names of the nodes that hold it. */
  nodes: z.array(z.string()),
  uses: z.number().int().describe('Disks made of it'),
  usedBy: z.strictObject({ count: z.number().int().describe('VMs with such disks'), names: z.array(z.string()).describe('The first few of them') }),
  copiesWanted: z.number().int().nullable().describe('Nodes that shall keep it; null where nobody said'),
  fetching: z.array(z.strictObject({ node: z.string(), processedBytes: z.number(), totalBytes: z.number().nullable() })).describe('Nodes that are getting it now, as far as was heard'),
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

const takenInSchema = {
  name: nameSchema,
  sha256: sha256Schema.optional().describe('Refuse the file if its checksum is another'),
  os: z.string().max(64).optional(),
}

/** Query of an import: the body is the file itself. */
export const imageImportSchema = z.strictObject({
  ...takenInSchema,
  copies: z.string().regex(/^(?:all|[1-9]\d?)$/, 'must be a number from 1 to 64, or "all"').optional().describe('How many nodes keep it: a number, or "all"; 2 by default'),
})

/** The number of copies as a query or an option names it. */
export const imageCopiesTextSchema = z.string().optional().transform((text) => (text === undefined ? imageCopiesDefault : text === 'all' ? text : Number(text))).pipe(imageCopiesSchema)

export const imageUrlBytesMax = 2048
/** An image that a node shall fetch from an address. */
export const imageFromUrlSchema = z.strictObject({
  name: nameSchema,
  project: nameSchema.optional(),
  labels: labelsSchema.optional(),
  spec: z.strictObject({
    source: z.strictObject({
      url: z.string().max(imageUrlBytesMax).describe('http or https; not of a private network'),
      sha256: sha256Schema.optional().describe('Refuse the file if its checksum is another'),
    }),
    os: z.string().max(64).optional(),
    copies: imageCopiesSchema.optional(),
  }),
})

/** What an edit may lead to, after the merge. */
export const imageEditSchema = z.strictObject({ name: nameSchema, labels: labelsSchema, spec: imageSpecSchema })

export const imageSchema = resourceSchema('image', imageSpecSchema, imageStatusSchema)
export type Image = z.output<typeof imageSchema>

/** What one node asks of another over a peer stream: the bytes from an offset on, or a ticket for them. */
export const imageStreamSchema = z.strictObject({ sha256: sha256Schema, offset: z.string().regex(/^\d{1,15}$/), via: z.literal('https').optional() })
export type ImageStream = z.output<typeof imageStreamSchema>
export const imageTicketSchema = z.strictObject({ ticket: z.string().regex(/^[0-9a-f]{64}$/) })
