// What a host of a one-node cluster brings along when it joins another cluster: its VMs, as they are, and the images it holds.
import { z } from 'zod'
import { idSchema, labelsSchema, nameSchema } from './id.ts'
import { imageSpecSchema } from './image.ts'
import { vmReportSchema, vmSpecSchema } from './vm.ts'

export const broughtVmsMax = 1000

export const bringSchema = z.strictObject({
  images: z.array(z.strictObject({ id: idSchema, name: nameSchema, project: nameSchema, labels: labelsSchema, spec: imageSpecSchema })).max(broughtVmsMax),
  vms: z
    .array(z.strictObject({
      id: idSchema, name: nameSchema, project: nameSchema, labels: labelsSchema, generation: z.number().int().positive(), spec: vmSpecSchema, domainName: z.string().max(128),
      /** By disk name, as in the VM's record; image ids are those of the cluster it comes from. */
      images: z.record(z.string().max(63), z.strictObject({ imageId: idSchema, sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits'), format: z.enum(['qcow2', 'raw']) })),
      /** Stays: its domain is defined at this one, and runs on. */
      epoch: z.number().int().positive(),
      report: vmReportSchema,
      createdMs: z.number().int().nonnegative(),
    }))
    .max(broughtVmsMax),
})
export type Bring = z.output<typeof bringSchema>
