// A node: a host that is a member of the cluster.
import { z } from 'zod'
import { nameSchema } from './id.ts'
import { conditionSchema, resourceSchema, type Labels } from './resource.ts'

export const nodeCapacitySchema = z.strictObject({
  cpus: z.number().int().positive(),
  memoryMiB: z.number().int().positive(),
  /** Bytes of the pool "local"; measured at start and then hourly or on a change of over 5 %. */
  storageBytes: z.number().nonnegative(),
})
export type NodeCapacity = z.infer<typeof nodeCapacitySchema>

/** What a node announces about itself when it starts or when one of these changes. */
export const nodeAnnouncementSchema = z.strictObject({
  version: z.string().max(64),
  featureLevel: z.number().int().nonnegative(),
  /** host:port of the peer protocol and of HTTPS, as others reach it. */
  peerAddress: z.string().max(255),
  httpAddress: z.string().max(255),
  accelerator: z.enum(['kvm', 'tcg', 'simulated', 'none']),
  hypervisor: z.string().max(128),
  capacity: nodeCapacitySchema,
})
export type NodeAnnouncement = z.infer<typeof nodeAnnouncementSchema>

export const nodeVotings = ['auto', 'always', 'never'] as const
export type NodeVoting = (typeof nodeVotings)[number]

export const nodeSpecSchema = z.strictObject({
  schedulable: z.boolean().default(true).describe('False keeps new VMs away'),
  draining: z.boolean().optional().describe('Its VMs move away; set by drain, ended by uncordon'),
  voting: z.enum(nodeVotings).default('auto').describe('Whether it votes: as the cluster decides, always where it can, or never. Set by promote and demote'),
})
export type NodeSpec = z.output<typeof nodeSpecSchema>
/** Without defaults: what a patch does not name stays. */
export const nodeSpecPatchSchema = z.strictObject({ schedulable: z.boolean().optional(), draining: z.boolean().optional(), voting: z.enum(nodeVotings).optional().describe('Only as it is: promote and demote change it') })

export const nodeRoles = ['leader', 'voter', 'learner', 'none'] as const

/** What may ail a node's part in consensus: see `ConsensusTrouble`. Append only. */
export const nodeTroubles = ['LogDamaged', 'Resyncing', 'DiskFull', 'DiskHung'] as const
export type NodeTrouble = (typeof nodeTroubles)[number]

export const nodeStatusSchema = z.strictObject({
  role: z.enum(nodeRoles),
  ready: z.boolean(),
  /** Why not ready, or empty. */
  reason: z.string(),
  version: z.string(),
  addresses: z.array(z.string()),
  url: z.string(),
  accelerator: z.string(),
  hypervisor: z.string(),
  capacity: nodeCapacitySchema,
  allocated: z.strictObject({ cpus: z.number(), memoryMiB: z.number(), vms: z.number().int(), vmsRunning: z.number().int() }),
  /** Measured load, gossiped; null where the node has not been heard of. */
  load: z
    .strictObject({
      cpuRatio: z.number(), memoryUsedBytes: z.number(), memoryTotalBytes: z.number(),
      storageUsedBytes: z.number(), storageTotalBytes: z.number(), loopDelayMs: z.number(), uptimeSeconds: z.number(),
    })
    .nullable(),
  lastSeenAt: z.string().nullable(),
  rttMs: z.number().nullable(),
  conditions: z.array(conditionSchema),
})
export type NodeStatus = z.infer<typeof nodeStatusSchema>
export type NodeLoad = NonNullable<NodeStatus['load']>

/** A member as it lies in the state. */
export type StoredNode = {
  readonly id: string
  readonly kind: 'node'
  readonly name: string
  readonly project: ''
  readonly labels: Labels
  readonly revision: number
  readonly generation: number
  /** Without a wish about voting: auto. */
  readonly spec: Omit<NodeSpec, 'voting'> & { readonly voting?: NodeVoting | undefined }
  /** libp2p peer id of the node's Ed25519 key. */
  readonly peerId: string
  /** X25519 public key, base64url: what the cluster key is wrapped for. */
  readonly wrapKey: string
  /** The cluster key, wrapped for this node; base64url. */
  readonly wrappedClusterKey: string
  readonly announcement: NodeAnnouncement | null
  readonly joinedMs: number
  /** Its state was found not to be the cluster's at the index; it has stopped. */
  readonly divergence?: { readonly index: number; readonly hash: string; readonly expected: string; readonly sinceMs: number }
  /** It is being removed: it takes nothing new, leaves the voters, and is forgotten then. There is no way back. */
  readonly leaving?: { readonly sinceMs: number; readonly actor: string; readonly force: boolean }
}

/** Who was a member and is none any more: its key is refused, and it is told so. */
export type StoredFormerNode = {
  readonly id: string
  readonly name: string
  readonly peerId: string
  readonly removedMs: number
  /** Log index of its removal: the order in which they are dropped. */
  readonly index: number
  readonly actor: string
  /** It was dropped when the cluster was founded anew at this epoch; absent where it was removed. */
  readonly epoch?: number
}
/** The oldest go first; who was forgotten altogether is a stranger like any other. */
export const formerNodesMax = 1000

export const nodeRemoveSchema = z.strictObject({
  force: z.boolean().default(false).describe('Also with VMs on it: they stay known, without an owner. Only for a host that is off'),
  hostIsOff: z.boolean().default(false).describe('You have made sure that the host is off. Needed with force: its VMs may be started elsewhere'),
})
export const nodeDrainSchema = z.strictObject({ concurrency: z.number().int().min(1).max(8).default(2).describe('How many VMs move at once') })
export const nodeVoteSchema = z.strictObject({ force: z.boolean().default(false).describe('Also where fewer members could be lost afterwards, or the wish cannot be had in full') })
export const nodeRenameSchema = z.strictObject({ name: nameSchema })

/** An appliance on the local network that is in no cluster. */
export const discoveredNodeSchema = z.strictObject({
  name: z.string(),
  address: z.string().describe('host:port of HTTPS'),
  fingerprint: z.string().describe('SHA-256 of its certificate, hex: compare it with what its own page or "novacron node status" shows'),
  version: z.string(),
  lastSeenAt: z.string(),
})
export type DiscoveredNode = z.output<typeof discoveredNodeSchema>

export const nodeSchema = resourceSchema('node', nodeSpecSchema, nodeStatusSchema)
export type Node = z.output<typeof nodeSchema>
