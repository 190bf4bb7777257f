// A virtual machine: what its owner wishes (spec), who runs it (assignment), and what was seen (status).
import { z } from 'zod'
import { nameSchema, type NodeId } from './id.ts'
import { conditionSchema, createSchema, replaceSchema, resourceSchema, type Labels } from './resource.ts'

export const cpusMax = 512
export const memoryMibMax = 16 * 1024 * 1024
export const disksMax = 32
export const nicsMax = 16
export const userDataBytesMax = 64 * 1024

export const diskSchema = z.strictObject({
  name: nameSchema.describe('Unique within the VM'),
  sizeGiB: z.number().positive().max(65_536).optional().describe('Size in GiB; at least the image\'s, which is the default'),
  pool: nameSchema.default('local').describe('Storage pool; every node has the pool "local"'),
  image: z.string().max(63).optional().describe('Name or id of the image the disk begins as; without one the disk is blank'),
  bus: z.enum(['virtio', 'scsi', 'sata']).default('virtio'),
})
export const nicSchema = z.strictObject({
  network: nameSchema.default('nat').describe('"nat" gives the guest an address and a way out, no way in'),
  mac: z
    .string()
    .regex(/^[0-9a-f][02468ace](?::[0-9a-f]{2}){5}$/, 'must be a unicast MAC address in lower case, like 52:54:00:12:34:56')
    .optional()
    .describe('Allotted where not given'),
})
const text = z.string().max(userDataBytesMax)
export const cloudInitSchema = z.strictObject({ userData: text.optional(), networkConfig: text.optional() })

export type CloudInit = z.infer<typeof cloudInitSchema>

export const runStateSchema = z.enum(['running', 'stopped', 'paused'])
export type RunState = z.infer<typeof runStateSchema>

export const antiAffinityMax = 8
/** Wishes about where it runs; all optional, so that a spec of an earlier version means what it meant. */
export const placementSchema = z.strictObject({
  node: z.string().max(63).optional().describe('Name or id of the node to run on'),
  strategy: z.enum(['spread', 'pack']).optional().describe('spread (the default): where most memory is free; pack: where least is free that suffices'),
  antiAffinity: z
    .array(z.strictObject({
      label: z.string().regex(/^[^=\s]{1,63}=[^\s]{0,63}$/, 'must be a label like tier=web').describe('VMs that carry this label'),
      required: z.boolean().default(false).describe('True: never on a node with one of them; false: rather not'),
    }))
    .max(antiAffinityMax)
    .optional()
    .describe('VMs it shall not share a node with'),
})

export const vmSpecSchema = z.strictObject({
  cpus: z.number().int().min(1).max(cpusMax).describe('Virtual CPUs'),
  memoryMiB: z.number().int().min(16).max(memoryMibMax).describe('Memory in MiB'),
  firmware: z.enum(['bios', 'uefi']).default('bios'),
  disks: z
    .array(diskSchema)
    .max(disksMax)
    .default([])
    .refine((disks) => new Set(disks.map((disk) => disk.name)).size === disks.length, 'disk names must be unique'),
  nics: z.array(nicSchema).max(nicsMax).default([]),
  cloudInit: cloudInitSchema.optional(),
  runState: runStateSchema.default('stopped').describe('What the VM should be'),
  placement: placementSchema.default({}),
  stopTimeoutSeconds: z.number().int().min(1).max(3600).default(60).describe('How long a guest may take to power off before it is forced'),
})
/** The spec with every default filled in, as it is proposed and stored. */
export type VmSpec = z.output<typeof vmSpecSchema>

export const vmPhases = [
  'pending', 'starting', 'running', 'paused', 'migrating', 'stopping', 'stopped', 'suspended', 'deleting', 'failed', 'unknown',
] as const
export const vmPhaseSchema = z.enum(vmPhases)
export type VmPhase = z.infer<typeof vmPhaseSchema>

/** What the owning node's controller reports, through the log; the only writer of these fields. */
export const vmReportSchema = z.strictObject({
  phase: vmPhaseSchema,
  observedGeneration: z.number().int(),
  addresses: z.array(z.string().max(64)).max(64),
  /** Why it is failed or what it waits for; empty when all is well. */
  message: z.string().max(2000),
  code: z.string().max(64),
  /** The running domain was booted from an older spec. */
  restartNeeded: z.boolean(),
  /** Disks whose volumes were made: one that is gone later is not made anew, for it would be empty. */
  madeDisks: z.array(z.string().max(63)).max(disksMax).optional(),
})
export type VmReport = z.infer<typeof vmReportSchema>

export const vmStatusSchema = z.strictObject({
  phase: vmPhaseSchema,
  node: z.string().nullable().describe('Name of the node it is assigned to'),
  nodeId: z.string().nullable(),
  epoch: z.number().int().describe('Rises each time the VM gets another owner'),
  observedGeneration: z.number().int(),
  addresses: z.array(z.string()),
  message: z.string(),
  operation: z.string().nullable().describe('Id of the operation that is running on it'),
  createdAt: z.string(),
  conditions: z.array(conditionSchema),
})
export type VmStatus = z.infer<typeof vmStatusSchema>

/** Who may run the VM's vCPUs. Written only by conditional commands; the epoch rises at every move. */
export type Assignment = { readonly nodeId: NodeId; readonly epoch: number }

/** While it moves: who may hold it. Until that is settled nobody else starts it. */
export type VmMigration = { readonly operationId: string; readonly source: Assignment; readonly target: Assignment }

/** It moves: its holders keep their hands off it, the operation sees to everything. */
export function isOnItsWay(vm: Pick<StoredVm, 'migration'>): boolean {
  return (vm.migration ?? null) !== null
}

/** A VM as it lies in the state. */
export type StoredVm = {
  readonly id: string
  readonly kind: 'vm'
  readonly name: string
  readonly project: string
  readonly labels: Labels
  readonly revision: number
  readonly generation: number
  readonly spec: VmSpec
  /** Domain name in libvirt, `NAME.SHORTID`; stays through renames. */
  readonly domainName: string
  /** What each disk's image was when the disk was asked for, by disk name: a name may mean another image later. */
  readonly images: Readonly<Record<string, { readonly imageId: string; readonly sha256: string; readonly format: 'qcow2' | 'raw' }>>
  readonly assignment: Assignment | null
  /** Its host was removed with it: it has no owner until it is started elsewhere, which needs an epoch above this one. */
  readonly lost?: { readonly nodeId: string; readonly node: string; readonly epoch: number; readonly sinceMs: number }
  /** Why it is on its node, in the planner's words; absent where nobody said. */
  readonly placed?: string
  readonly deleting: boolean
  readonly createdMs: number
  readonly report: VmReport
  /** Phase changes keep the time and the command that caused them. */
  readonly phaseSinceMs: number
  readonly cause: { readonly commandId: string; readonly actor: string; readonly operationId?: string }
  /** The operation that is active on it. */
  readonly operationId: string | null
  /** Absent or null while it does not move. */
  readonly migration?: VmMigration | null
  /** The highest epoch that was ever promised to a holder; absent where that is the assignment's. */
  readonly epochSpent?: number
}

export const vmCreateSchema = createSchema(vmSpecSchema)
export const vmReplaceSchema = replaceSchema(vmSpecSchema)
export const vmSchema = resourceSchema('vm', vmSpecSchema, vmStatusSchema)
export type Vm = z.output<typeof vmSchema>

export const vmRecoverSchema = z.strictObject({
  node: z.string().max(63).optional().describe('Name or id of the node it shall begin anew on; chosen where not given'),
  hostIsOff: z.literal(true).describe('You have made sure that its former host is off and stays off: nothing else keeps the VM from running twice'),
  loseDisks: z.boolean().default(false).describe('Disks that were made of no image begin empty'),
})

export const vmActions = ['start', 'stop', 'restart', 'pause', 'resume', 'reset'] as const
export type VmAction = (typeof vmActions)[number]
export const vmStopSchema = z.strictObject({
  force: z.boolean().default(false).describe('Cut the power at once'),
  timeoutSeconds: z.number().int().min(1).max(3600).optional(),
})
