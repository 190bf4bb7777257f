// Commands: everything that can change the replicated state. The meaning of a type never changes; new behaviour is a new type.
import { z } from 'zod'
import { bringSchema } from './bring.ts'
import { commandIdSchema, imageIdSchema, labelPatchSchema, labelsSchema, nameSchema, nodeIdSchema, operationIdSchema, projectIdSchema, tokenIdSchema, userIdSchema, vmIdSchema } from './id.ts'
import { imageCopiesSchema, imageSpecSchema, imageUrlBytesMax } from './image.ts'
import { bandwidthMiBpsMax, moveOutputsSchema } from './migration.ts'
import { nodeAnnouncementSchema, nodeTroubles, nodeVotings } from './node.ts'
import { projectSpecSchema } from './project.ts'
import { bindingsMax, roleBindingSchema, roleSchema, storedScopeSchema } from './role.ts'
import { actorSchema, userSpecSchema } from './user.ts'
import { runStateSchema, vmActions, vmReportSchema, vmSpecSchema } from './vm.ts'

/** Guards of an update: `ifMatch` failing is 412, `revision` (from the body) failing is 409. */
const guardSchema = { ifMatch: z.number().int().optional(), revision: z.number().int().optional() }

/** Of an update: `labels` are all that shall be, `labelPatch` is merged into those that are there when it is applied. */
const labelChangeSchema = { labels: labelsSchema.optional(), labelPatch: labelPatchSchema.optional() }

const bindingsSchema = z.array(roleBindingSchema).max(bindingsMax)

/** More than a cluster may have. */
const membersMax = 1024

/** Payloads by command type. Append only. */
export const commandPayloads = {
  'cluster.init': z.strictObject({
    clusterId: z.string(), name: z.string(), caCertificate: z.string(), caKeySealed: z.string(), sessionKeySealed: z.string(),
    node: z.strictObject({ id: nodeIdSchema, name: nameSchema, peerId: z.string(), wrapKey: z.string(), wrappedClusterKey: z.string() }),
    admin: z.strictObject({ id: userIdSchema, name: nameSchema, passwordHash: z.string() }),
    token: z.strictObject({ id: tokenIdSchema, name: nameSchema, secretHash: z.string() }),
  }),
  /** Somebody asked for a backup; its index is that of this command. */
  'cluster.backup': z.strictObject({ sealed: z.boolean() }),
  /** From the node that wrote it, once its last byte was handed over. */
  'cluster.backedUp': z.strictObject({ by: z.string().max(128), node: nameSchema, index: z.number().int(), bytes: z.number().int(), checksum: z.string().max(64), sealed: z.boolean() }),
  /** From the leader: how consensus is now. What changed since the last one is told; refused in another term than `seenInTerm`. */
  'cluster.observe': z.strictObject({
    seenInTerm: z.number().int(), leaderId: nodeIdSchema, term: z.number().int(), leaderlessMs: z.number().int().nonnegative(), voters: z.array(nodeIdSchema).max(membersMax), silent: z.array(nodeIdSchema).max(membersMax),
  }),
  'joinToken.create': z.strictObject({ id: tokenIdSchema, secretHash: z.string(), lifeSeconds: z.number().int() }),
  'joinToken.revoke': z.strictObject({ id: tokenIdSchema }),
  'node.admit': z.strictObject({
    node: z.strictObject({ id: nodeIdSchema, name: nameSchema, peerId: z.string(), wrapKey: z.string(), wrappedClusterKey: z.string() }),
    announcement: nodeAnnouncementSchema,
    joinTokenId: tokenIdSchema,
    joinSecretHash: z.string(),
  }),
  /** The same, and what the host brings along becomes the cluster's. */
  'node.admitWith': z.strictObject({
    node: z.strictObject({ id: nodeIdSchema, name: nameSchema, peerId: z.string(), wrapKey: z.string(), wrappedClusterKey: z.string() }),
    announcement: nodeAnnouncementSchema,
    joinTokenId: tokenIdSchema,
    joinSecretHash: z.string(),
    bring: bringSchema,
  }),
  'node.announce': z.strictObject({ id: nodeIdSchema, announcement: nodeAnnouncementSchema }),
  'node.update': z.strictObject({ id: nodeIdSchema, ...labelChangeSchema, spec: z.strictObject({ schedulable: z.boolean().default(true), draining: z.boolean().optional() }).optional(), ...guardSchema }),
  'node.rename': z.strictObject({ id: nodeIdSchema, name: nameSchema, ...guardSchema }),
  /** Begins the removal; VMs of a node that is removed by force lose their owner. */
  'node.remove': z.strictObject({ id: nodeIdSchema, force: z.boolean(), ...guardSchema }),
  /** From the leader, once the node votes no more: it is a member no longer. */
  'node.forget': z.strictObject({ id: nodeIdSchema }),
  'user.create': z.strictObject({ id: userIdSchema, name: nameSchema, labels: labelsSchema, spec: userSpecSchema, passwordHash: z.string() }),
  'user.setPassword': z.strictObject({ id: userIdSchema, passwordHash: z.string() }),
  'user.delete': z.strictObject({ id: userIdSchema }),
  /** As user.create, for bindings whose projects must exist. */
  'user.add': z.strictObject({
    id: userIdSchema, name: nameSchema, labels: labelsSchema, passwordHash: z.string(),
    spec: z.strictObject({ displayName: z.string().max(128), disabled: z.boolean(), bindings: bindingsSchema }),
  }),
  'user.update': z.strictObject({
    id: userIdSchema, ...labelChangeSchema, displayName: z.string().max(128).optional(), disabled: z.boolean().optional(), bindings: bindingsSchema.optional(), ...guardSchema,
  }),
  'role.grant': z.strictObject({ userId: userIdSchema, role: roleSchema, scope: storedScopeSchema }),
  'role.revoke': z.strictObject({ userId: userIdSchema, role: roleSchema, scope: storedScopeSchema }),
  'project.create': z.strictObject({ id: projectIdSchema, name: nameSchema, labels: labelsSchema, spec: projectSpecSchema }),
  'project.update': z.strictObject({ id: projectIdSchema, name: nameSchema.optional(), ...labelChangeSchema, description: z.string().max(256).optional(), ...guardSchema }),
  'project.delete': z.strictObject({ id: projectIdSchema, ...guardSchema }),
  'token.create': z.strictObject({ id: tokenIdSchema, name: nameSchema, userId: userIdSchema, secretHash: z.string(), expiresInDays: z.number().int().nullable() }),
  'token.revoke': z.strictObject({ id: tokenIdSchema }),
  /** As token.create, with rights of its own and the token that made it: neither is outlived nor outreached. */
  'token.issue': z.strictObject({
    id: tokenIdSchema, name: nameSchema, userId: userIdSchema, secretHash: z.string(), expiresInDays: z.number().int().nullable(),
    bindings: bindingsSchema.nullable(), parentId: tokenIdSchema.nullable(),
  }),
  /** The session's id is remembered until it would have ended by itself. */
  'session.revoke': z.strictObject({ id: z.string(), expiresMs: z.number() }),
  /** Every session of the user that began before now. */
  'session.revokeAll': z.strictObject({ userId: userIdSchema }),
  'image.register': z.strictObject({
    id: imageIdSchema, name: nameSchema, project: nameSchema, labels: labelsSchema, spec: imageSpecSchema, holder: nodeIdSchema,
  }),
  'image.delete': z.strictObject({ id: imageIdSchema, ...guardSchema }),
  /** A JSON merge patch over {name, labels, spec}; of the spec only `copies` and `os` may change. */
  'image.patch': z.strictObject({ id: imageIdSchema, patch: z.record(z.string(), z.unknown()), ...guardSchema }),
  /** The node fetches it from an address, as an operation. */
  'image.import': z.strictObject({
    operationId: operationIdSchema, imageId: imageIdSchema, nodeId: nodeIdSchema, name: nameSchema, project: nameSchema, labels: labelsSchema,
    url: z.string().max(imageUrlBytesMax), sha256: z.string().regex(/^[0-9a-f]{64}$/).nullable(), os: z.string().max(64), copies: imageCopiesSchema,
  }),
  /** From a node that has got the file, whole and verified. */
  'image.hold': z.strictObject({ id: imageIdSchema, nodeId: nodeIdSchema }),
  /** From a node that gives its copy up, refused where it is needed; `lost`: the file is gone already. */
  'image.drop': z.strictObject({ id: imageIdSchema, nodeId: nodeIdSchema, lost: z.boolean() }),
  'vm.create': z.strictObject({
    id: vmIdSchema, name: nameSchema, project: nameSchema, labels: labelsSchema, spec: vmSpecSchema,
    /** The planner's choice, and why; apply checks it again. */
    nodeId: nodeIdSchema,
    reason: z.string().max(300).optional(),
    /** Random bytes for MAC addresses, hex: apply draws from them and avoids those in use. */
    seed: z.string().regex(/^[0-9a-f]{16,}$/),
  }),
  /** PUT: the whole spec; labels absent stay. */
  'vm.replace': z.strictObject({ id: vmIdSchema, name: nameSchema.optional(), labels: labelsSchema.optional(), spec: vmSpecSchema, seed: z.string(), ...guardSchema }),
  /** PATCH: a JSON merge patch (RFC 7386) over {name, labels, spec}, merged inside apply. */
  'vm.patch': z.strictObject({ id: vmIdSchema, patch: z.record(z.string(), z.unknown()), seed: z.string(), ...guardSchema }),
  'vm.act': z.strictObject({
    id: vmIdSchema, action: z.enum([...vmActions, 'delete']), operationId: operationIdSchema, force: z.boolean(), timeoutSeconds: z.number().int(), ...guardSchema,
  }),
  /** An operator says that the former host is off: the VM begins anew elsewhere, from its images. */
  'vm.recover': z.strictObject({
    id: vmIdSchema, nodeId: nodeIdSchema, formerNodeId: nodeIdSchema.nullable(),
    /** Disks without an image may begin empty. */
    loseDisks: z.boolean(),
    ...guardSchema,
  }),
  /** From the owner's controller; refused unless `epoch` is the assignment's. */
  'vm.report': z.strictObject({ id: vmIdSchema, nodeId: nodeIdSchema, epoch: z.number().int(), report: vmReportSchema }),
  /** The guest powered itself off: the wish follows what was seen. */
  'vm.guestStopped': z.strictObject({ id: vmIdSchema, nodeId: nodeIdSchema, epoch: z.number().int(), generation: z.number().int(), runState: runStateSchema }),
  /** A step ended on its node; conditional on the step being the current one. */
  'operation.step': z.strictObject({
    id: operationIdSchema, nodeId: nodeIdSchema, step: z.number().int(),
    outcome: z.union([z.strictObject({ kind: z.literal('done') }), z.strictObject({ kind: z.literal('failed'), code: z.string(), message: z.string().max(2000) })]),
  }),
  'operation.cancel': z.strictObject({ id: operationIdSchema }),
  /** Moves a VM to another node; live where it runs or is paused. */
  'vm.migrate': z.strictObject({
    id: vmIdSchema, operationId: operationIdSchema, targetNodeId: nodeIdSchema, bandwidthMiBps: z.number().int().min(1).max(bandwidthMiBpsMax).nullable(), force: z.boolean(),
    reason: z.string().max(300).optional(),
    /** The drain that wants it: its actor is the migration's. */
    drainId: operationIdSchema.optional(),
    ...guardSchema,
  }),
  /** A step of a moving operation ended on its node; conditional on step, direction and node. `gone`: an undo found that it had come through; `lost`: said by the source, of a target that is silent. */
  'operation.advance': z.strictObject({
    id: operationIdSchema, nodeId: nodeIdSchema, step: z.number().int(), direction: z.enum(['forward', 'back']),
    outcome: z.discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('done'), outputs: moveOutputsSchema }),
      z.strictObject({ kind: z.literal('failed'), code: z.string().max(64), message: z.string().max(2000) }),
      z.strictObject({ kind: z.literal('gone'), outputs: moveOutputsSchema }),
      z.strictObject({ kind: z.literal('lost'), message: z.string().max(2000) }),
    ]),
  }),
  /** No new VMs, and those that are there move away. */
  'node.drain': z.strictObject({ id: nodeIdSchema, operationId: operationIdSchema, concurrency: z.number().int().min(1).max(8), ...guardSchema }),
  'node.uncordon': z.strictObject({ id: nodeIdSchema, ...guardSchema }),
  /** An operator's wish about who votes; the leader's plan follows it. */
  'node.vote': z.strictObject({ id: nodeIdSchema, voting: z.enum(nodeVotings), ...guardSchema }),
  /** On record before the leader is asked: hand over to this node. Changes nothing by itself. */
  'node.lead': z.strictObject({ id: nodeIdSchema, ...guardSchema }),
  /** On record before the node is asked to shorten its log. Changes nothing by itself. */
  'node.compact': z.strictObject({ id: nodeIdSchema, ...guardSchema }),
  /** From the leader, of a node whose state was found to differ; null from the node itself, once its state is the cluster's again. */
  'node.diverge': z.strictObject({
    id: nodeIdSchema,
    divergence: z.strictObject({ index: z.number().int().positive(), hash: z.string().max(64), expected: z.string().max(64) }).nullable(),
  }),
  /** From the node itself, for the events: what ails its part in consensus, or that it is over. */
  'node.trouble': z.strictObject({ id: nodeIdSchema, trouble: z.enum(nodeTroubles), isOver: z.boolean(), message: z.string().max(1000) }),
} as const
export type CommandType = keyof typeof commandPayloads
export type CommandPayload<Type extends CommandType> = z.output<(typeof commandPayloads)[Type]>

const envelope = {
  id: commandIdSchema,
  actor: actorSchema,
  /** Scoped by actor, kept 24 h of state time. `bodyHash` tells a retry from a reuse. */
  idempotency: z.strictObject({ key: z.string().min(1).max(255), bodyHash: z.string() }).optional(),
  /** Apply asks whether the actor still has the right that the command needs. Absent in commands of the first version. */
  authorize: z.literal(true).optional(),
}
export type CommandOf<Type extends CommandType> = {
  readonly [T in Type]: {
    readonly id: z.output<typeof commandIdSchema>
    readonly actor: z.output<typeof actorSchema>
    readonly idempotency?: { readonly key: string; readonly bodyHash: string } | undefined
    readonly authorize?: true | undefined
    readonly type: T
    readonly payload: CommandPayload<T>
  }
}[Type]
export type Command = CommandOf<CommandType>

/** Puts a command together; the one place where type and payload are joined unchecked, because the signature has checked them. */
export function makeCommand<Type extends CommandType>(
  type: Type,
  head: { readonly id: string; readonly actor: z.output<typeof actorSchema>; readonly idempotency?: { readonly key: string; readonly bodyHash: string } | undefined; readonly authorize?: true },
  payload: CommandPayload<Type>,
): Command {
  return { ...head, type, payload } as unknown as Command
}

const headSchema = z.strictObject({ ...envelope, type: z.string(), payload: z.unknown() })

/** Entries of a type this version does not know may be skipped only when their type begins with this. */
export const ignorablePrefix = 'ignorable.'

/**
 * Parses a command as it came from a peer, the log or a face.
 * @throws {z.ZodError} where it does not fit; `unknown command type` where the type is not known
 */
export function parseCommand(input: unknown): Command {
  const head = headSchema.parse(input)
  if (!Object.hasOwn(commandPayloads, head.type)) throw new UnknownCommandType(head.type)
  const payload = commandPayloads[head.type as CommandType].parse(head.payload)
  return { ...head, payload } as Command
}

/** A type from the future: the node halts rather than diverge, unless the type is ignorable. */
export class UnknownCommandType extends Error {
  readonly type: string
  constructor(type: string) {
    super(`unknown command type ${type}`)
    this.type = type
  }
}

/** A log entry's data: the leader's time stamp, then the command as JSON. */
export const entryBytesMax = 1024 * 1024

/** What a command came to, the same on every node. `value` is command-specific and JSON. */
export type CommandResult =
  | { readonly kind: 'done'; readonly index: number; readonly id: string; readonly operationId?: string; readonly replayed?: boolean }
  | { readonly kind: 'refused'; readonly code: import('./error.ts').ErrorCode; readonly message: string; readonly fields?: readonly import('./error.ts').FieldError[] }
