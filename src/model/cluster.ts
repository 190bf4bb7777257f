// The cluster itself: its identity, its certificate authority and its secrets, encrypted by the cluster key.
import { z } from 'zod'
import { namePattern } from './id.ts'
import type { StoredObservation } from './observation.ts'

export const clusterNameSchema = z.string().max(63).regex(namePattern, 'must be a DNS label: lower-case letters, digits and hyphens, beginning and ending with a letter or digit')
export const clusterInitSchema = z.strictObject({ name: clusterNameSchema.default('novacron') })

export type StoredCluster = {
  readonly id: string
  readonly kind: 'cluster'
  readonly name: string
  readonly project: ''
  readonly revision: number
  readonly generation: number
  readonly caCertificate: string
  /** AES-256-GCM by the cluster key, base64url: nonce | ciphertext | tag. */
  readonly caKeySealed: string
  readonly sessionKeySealed: string
  readonly createdMs: number
  /** Rises when the cluster is founded anew by one survivor: members of a lower one are refused. Absent is 1. */
  readonly epoch?: number
  /** Log indexes that were passed over, because the former cluster may have given them after all that is known here. */
  readonly jump?: { readonly fromIndex: number; readonly toIndex: number }
  /** The last one that was handed over to its end; absent where there was none. */
  readonly lastBackup?: { readonly atMs: number; readonly by: string; readonly node: string; readonly index: number; readonly bytes: number; readonly checksum: string; readonly sealed: boolean }
  /** Of its consensus, by the leader; absent before the first. */
  readonly observation?: StoredObservation
}

export function epochOf(cluster: Pick<StoredCluster, 'epoch'> | undefined): number {
  return cluster?.epoch ?? 1
}

/** Answer of GET /api/v1/cluster. */
export const clusterViewSchema = z.strictObject({
  id: z.string(),
  name: z.string(),
  /** The node that answers. */
  node: z.string(),
  nodeId: z.string(),
  version: z.string(),
  leader: z.string().nullable(),
  leaderId: z.string().nullable(),
  term: z.number().int(),
  quorum: z.boolean(),
  voters: z.array(z.string()),
  learners: z.array(z.string()),
  commitIndex: z.number().int(),
  appliedIndex: z.number().int(),
  nodes: z.number().int(),
  nodesReady: z.number().int(),
  vms: z.record(z.string(), z.number().int()).describe('VMs by phase'),
  createdAt: z.string(),
})
export type ClusterView = z.infer<typeof clusterViewSchema>
