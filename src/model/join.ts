// What a joiner and the node that admits it say to one another, under the join token's authority.
import { z } from 'zod'
import { bringSchema } from './bring.ts'
import { nameSchema, nodeIdSchema } from './id.ts'
import { nodeAnnouncementSchema } from './node.ts'

export const joinRequestSchema = z.strictObject({
  node: z.strictObject({
    id: nodeIdSchema,
    name: nameSchema,
    /** libp2p peer id of its Ed25519 key. */
    peerId: z.string().min(10).max(128),
    /** X25519 public key, base64url. */
    wrapKey: z.string().length(43),
  }),
  announcement: nodeAnnouncementSchema,
  /** SPKI, for which a certificate is issued. */
  tlsPublicKeyPem: z.string().max(4096),
  /** IP addresses and names under which it serves HTTPS. */
  names: z.array(z.string().max(255)).max(16),
  addresses: z.array(z.string().max(64)).max(16),
  /** What the host has and brings along. */
  bring: bringSchema.optional(),
  /** Signature of the rest by the node's Ed25519 key (model/node-proof.ts): who joins owns the key it joins with. */
  proof: z.string().max(128),
})
/** What a member says of a node that asks whether it is still one. */
export const nodeStandingSchema = z.strictObject({
  removed: z.boolean(),
  /** When and by whom, where it was. */
  at: z.string().nullable(),
  by: z.string().nullable(),
})
export type NodeStanding = z.output<typeof nodeStandingSchema>
export type JoinRequest = z.input<typeof joinRequestSchema>

export const joinAnswerSchema = z.strictObject({
  clusterId: z.string(),
  clusterName: z.string(),
  caCertificate: z.string(),
  certificatePem: z.string(),
  wrappedClusterKey: z.string(),
  members: z.array(z.strictObject({ nodeId: z.string(), name: z.string(), peerId: z.string(), address: z.string() })),
})
export type JoinAnswer = z.output<typeof joinAnswerSchema>
