// An operation: something done once, step by step, whose progress is replicated so that it can be watched, cancelled and resumed.
import { z } from 'zod'
import type { ImageCopies } from './image.ts'
import { progressSchema, type StoredMove } from './migration.ts'
import { resourceSchema, type Labels } from './resource.ts'

/**
 * Kind → its steps in order. Steps run on the node that owns the target; those that move a VM say where (`moveSteps`).
 *
 *   queued → running(step 0 … n-1) → done
 *                └→ cancelling → cancelled         └→ failed
 */
export const operationKinds = {
  'vm-start': ['boot'],
  'vm-stop': ['shutdown'],
  'vm-restart': ['shutdown', 'boot'],
  'vm-reset': ['reset'],
  'vm-pause': ['pause'],
  'vm-resume': ['resume'],
  'vm-delete': ['shutdown', 'remove'],
  'vm-migrate': ['prepare', 'transfer', 'release', 'switch', 'clean'],
  'vm-move': ['prepare', 'release', 'copy', 'clean'],
  'node-drain': ['drain'],
  'image-import': ['download'],
} as const satisfies Readonly<Record<string, readonly string[]>>
export type OperationKind = keyof typeof operationKinds
export type VmStep = (typeof operationKinds)[OperationKind][number]

export const operationStateSchema = z.enum(['queued', 'running', 'done', 'failed', 'cancelled'])
export type OperationState = z.infer<typeof operationStateSchema>

export const operationSpecSchema = z.strictObject({
  operation: z.enum(Object.keys(operationKinds) as [OperationKind, ...OperationKind[]]),
  target: z.strictObject({ kind: z.string(), id: z.string(), name: z.string() }),
  force: z.boolean(),
  timeoutSeconds: z.number().int(),
})
export const operationStatusSchema = z.strictObject({
  state: operationStateSchema,
  step: z.number().int(),
  steps: z.array(z.strictObject({ name: z.string(), state: z.enum(['waiting', 'running', 'done', 'failed', 'cancelled']), startedAt: z.string().nullable(), endedAt: z.string().nullable() })),
  node: z.string().nullable(),
  actor: z.string(),
  startedAt: z.string(),
  endedAt: z.string().nullable(),
  error: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
  cancellable: z.boolean(),
  progress: progressSchema.nullable().optional().describe('How far the running step is, as its node tells; null where it has not been heard of'),
  direction: z.enum(['forward', 'back']).optional().describe('back: it failed or was cancelled, and what was done is being undone'),
  bytes: z.number().nullable().optional().describe('What a migration moved'),
  downtimeMs: z.number().nullable().optional().describe('How long the guest stood still in a migration'),
})

export type StoredImport = {
  readonly imageId: string
  readonly url: string
  readonly sha256: string | null
  readonly labels: Labels
  readonly os: string
  readonly copies: ImageCopies
}

export type StoredOperation = {
  readonly id: string
  readonly kind: 'operation'
  readonly name: string
  readonly project: string
  readonly labels: Labels
  readonly revision: number
  readonly generation: number
  readonly spec: z.output<typeof operationSpecSchema>
  readonly state: OperationState
  readonly step: number
  /** Per step, in state time; null where it has not begun or ended. */
  readonly steps: readonly { readonly startedMs: number | null; readonly endedMs: number | null }[]
  readonly nodeId: string | null
  readonly actor: string
  readonly commandId: string
  readonly startedMs: number
  readonly endedMs: number | null
  readonly error: { readonly code: string; readonly message: string } | null
  /** The run state to go back to when it is cancelled; null where there is no way back: a delete of what is half deleted. */
  readonly formerRunState: string | null
  /** Of an operation that moves a VM. */
  readonly move?: StoredMove
  /** Of a drain: how many VMs move at once. */
  readonly drain?: { readonly concurrency: number }
  /** Of an import: what is fetched, and what shall become of it. */
  readonly import?: StoredImport
}

export const operationSchema = resourceSchema('operation', operationSpecSchema, operationStatusSchema)
export type Operation = z.output<typeof operationSchema>
/** Ended operations kept. */
export const operationsEndedMax = 1000
