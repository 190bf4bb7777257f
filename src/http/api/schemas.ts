// Schemas of the API by name, as they appear in the OpenAPI document; each is the model's own.
import { z } from 'zod'
import { auditRecordSchema } from '../../model/audit.ts'
import { backupCreateSchema, backupViewSchema } from '../../model/backup.ts'
import { clusterViewSchema } from '../../model/cluster.ts'
import { consoleRequestSchema, consoleTicketSchema } from '../../model/console.ts'
import { eventSchema } from '../../model/event.ts'
import { explanationSchema, placementViewSchema } from '../../model/explanation.ts'
import { labelPatchSchema } from '../../model/id.ts'
import { imageFromUrlSchema, imageSchema } from '../../model/image.ts'
import { joinAnswerSchema, joinRequestSchema, nodeStandingSchema } from '../../model/join.ts'
import { migrationSchema, vmMigrateSchema } from '../../model/migration.ts'
import { clusterMembersSchema, compactionSchema, leaderChangeSchema, leadershipSchema } from '../../model/member.ts'
import { discoveredNodeSchema, nodeDrainSchema, nodeRemoveSchema, nodeSchema, nodeSpecPatchSchema, nodeVoteSchema } from '../../model/node.ts'
import { metricsViewSchema, usageSchema } from '../../model/metrics.ts'
import { operationSchema } from '../../model/operation.ts'
import { joinTokenCreateSchema, tokenCreateSchema, tokenSchema } from '../../model/token.ts'
import { projectCreateSchema, projectPatchSchema, projectSchema } from '../../model/project.ts'
import { roleBindingResourceSchema, roleGrantSchema } from '../../model/role.ts'
import { sessionViewSchema } from '../../model/session.ts'
import { passwordChangeSchema, userCreateSchema, userPatchSchema, userSchema } from '../../model/user.ts'
import { vmCreateSchema, vmRecoverSchema, vmReplaceSchema, vmSchema, vmStopSchema } from '../../model/vm.ts'
import { uploadCreateSchema, uploadSchema } from '../../model/upload.ts'
import type { SchemaRef } from '../route.ts'

const named = (name: string, schema: z.ZodType): SchemaRef => ({ name, schema })
const listOf = (name: string, item: z.ZodType) =>
  named(`${name}List`, z.strictObject({ items: z.array(item), next: z.string().nullable().describe('Cursor of the next page; null on the last'), total: z.number().int().describe('All that match') }))

const mergePatch = z.record(z.string(), z.unknown()).describe('JSON merge patch (RFC 7396) over name, labels and spec: null takes a value away')
const differenceSchema = z.strictObject({ path: z.string(), before: z.unknown(), after: z.unknown() })

const joinTokenViewSchema = z.strictObject({
  id: z.string(), createdAt: z.string(), expiresAt: z.string(), state: z.enum(['valid', 'used', 'expired', 'revoked']), usedBy: z.string().nullable(),
})
const sessionSchema = z.strictObject({
  user: z.strictObject({ id: z.string(), name: z.string(), bindings: z.array(z.strictObject({ role: z.string(), scope: z.string() })) }),
  expiresAt: z.string().nullable().describe('Null for an API token'),
  csrf: z.string().nullable().describe('Send it as X-CSRF-Token with every write of this session'),
})

export const schemas = {
  vm: named('Vm', vmSchema), vmList: listOf('Vm', vmSchema), vmCreate: named('VmCreate', vmCreateSchema), vmReplace: named('VmReplace', vmReplaceSchema),
  consoleRequest: named('ConsoleRequest', consoleRequestSchema), consoleTicket: named('ConsoleTicket', consoleTicketSchema),
  vmPatch: named('VmPatch', mergePatch), vmStop: named('VmStop', vmStopSchema), vmRecover: named('VmRecover', vmRecoverSchema),
  vmDelete: named('VmDelete', z.strictObject({ force: z.boolean().default(false).describe('Cut the power first') })),
  vmMigrate: named('VmMigrate', vmMigrateSchema), migration: named('Migration', migrationSchema), migrationList: listOf('Migration', migrationSchema), nodeDrain: named('NodeDrain', nodeDrainSchema),
  node: named('Node', nodeSchema), nodeList: listOf('Node', nodeSchema),
  nodePatch: named('NodePatch', z.strictObject({ name: z.string().optional().describe('Renames the node; alone, without labels and spec'), labels: labelPatchSchema.optional(), spec: nodeSpecPatchSchema.optional() })),
  nodeRemove: named('NodeRemove', nodeRemoveSchema), nodeStanding: named('NodeStanding', nodeStandingSchema),
  discoveredNodeList: listOf('DiscoveredNode', discoveredNodeSchema), applianceJoined: named('ApplianceJoined', z.strictObject({ nodeId: z.string(), name: z.string() })),
  image: named('Image', imageSchema), imageList: listOf('Image', imageSchema), imageFromUrl: named('ImageFromUrl', imageFromUrlSchema),
  imagePatch: named('ImagePatch', mergePatch), upload: named('Upload', uploadSchema), uploadList: listOf('Upload', uploadSchema), uploadCreate: named('UploadCreate', uploadCreateSchema),
  operation: named('Operation', operationSchema), operationList: listOf('Operation', operationSchema),
  user: named('User', userSchema), userList: listOf('User', userSchema), userCreate: named('UserCreate', userCreateSchema),
  passwordChange: named('PasswordChange', passwordChangeSchema),
  userPatch: named('UserPatch', userPatchSchema),
  role: named('Role', roleBindingResourceSchema), roleList: listOf('Role', roleBindingResourceSchema), roleGrant: named('RoleGrant', roleGrantSchema),
  project: named('Project', projectSchema), projectList: listOf('Project', projectSchema), projectCreate: named('ProjectCreate', projectCreateSchema), projectPatch: named('ProjectPatch', projectPatchSchema),
  sessionList: listOf('SessionView', sessionViewSchema),
  token: named('Token', tokenSchema), tokenList: listOf('Token', tokenSchema), tokenCreate: named('TokenCreate', tokenCreateSchema),
  event: named('Event', eventSchema), eventList: listOf('Event', eventSchema),
  auditList: listOf('AuditRecord', auditRecordSchema),
  cluster: named('Cluster', clusterViewSchema), backup: named('Backup', backupViewSchema), backupCreate: named('BackupCreate', backupCreateSchema),
  members: named('Members', clusterMembersSchema), leaderChange: named('LeaderChange', leaderChangeSchema), leadership: named('Leadership', leadershipSchema), nodeVote: named('NodeVote', nodeVoteSchema), compaction: named('Compaction', compactionSchema),
  joinTokenCreate: named('JoinTokenCreate', joinTokenCreateSchema),
  joinToken: named('JoinToken', z.strictObject({ id: z.string(), token: z.string().describe('Shown this once'), expiresAt: z.string() })),
  joinTokenView: named('JoinTokenView', joinTokenViewSchema),
  joinTokenList: named('JoinTokenList', z.strictObject({ items: z.array(joinTokenViewSchema), next: z.null(), total: z.number().int() })),
  join: named('JoinRequest', joinRequestSchema), joined: named('JoinAnswer', joinAnswerSchema),
  signIn: named('SignIn', z.strictObject({ name: z.string().max(63), password: z.string().max(256) })),
  session: named('Session', sessionSchema),
  metrics: named('Metrics', metricsViewSchema), usageList: listOf('Usage', usageSchema),
  explanation: named('Explanation', explanationSchema),
  dryRun: named('DryRun', z.strictObject({ dryRun: z.literal(true), differences: z.array(differenceSchema), placement: placementViewSchema.optional(), notes: z.array(z.string()).optional().describe('What would stay undone, and why') })),
} as const satisfies Readonly<Record<string, SchemaRef>>

export const problemSchema = named('Problem', z.strictObject({
  type: z.string(), title: z.string(), status: z.number().int(), detail: z.string(), code: z.string(),
  fields: z.array(z.strictObject({ path: z.string(), message: z.string() })).optional().describe('Wrong places of the input'),
}))
