// A migration: how a VM gets from one node to another step by step, and the record that is kept of it.
import { z } from 'zod'
import type { NodeId } from './id.ts'
import { resourceSchema } from './resource.ts'

/**
 * One step. `on`: whose host does it. `undo`: what it did has to be put back there. `returns`: until it is done the operation can turn back.
 * `flips`: its completion makes the target the owner: the point of no return. `frees`: its completion lets go of the VM.
 */
export type MoveStep = {
  readonly name: string
  readonly on: 'source' | 'target'
  readonly undo: boolean
  readonly returns: boolean
  readonly flips: boolean
  readonly frees: boolean
}
const returning = { returns: true, undo: false, flips: false, frees: false }
const final = { returns: false, undo: false, flips: false, frees: false }

/**
 * The steps of both kinds, in order. Tests draw their fault points from this table.
 *
 *   vm-migrate  prepare ─→ transfer ─→ release ═flip═→ switch ─→ clean        (a guest that runs or is paused)
 *   vm-move     prepare ─→ release ─→ copy ═flip═→ clean                      (one that is off)
 *                  ↑undo      ↑undo (transfer)
 *
 * `release` takes the domain from the source before the target may start it: no late order can start it there any more.
 */
export const moveSteps = {
  'vm-migrate': [
    { name: 'prepare', on: 'target', ...returning, undo: true },
    { name: 'transfer', on: 'source', ...returning, undo: true },
    { name: 'release', on: 'source', ...final, flips: true },
    { name: 'switch', on: 'target', ...final, frees: true },
    { name: 'clean', on: 'source', ...final },
  ],
  'vm-move': [
    { name: 'prepare', on: 'target', ...returning, undo: true },
    { name: 'release', on: 'source', ...returning },
    { name: 'copy', on: 'target', ...returning, flips: true, frees: true },
    { name: 'clean', on: 'source', ...final },
  ],
} as const satisfies Record<string, readonly MoveStep[]>
export type MoveKind = keyof typeof moveSteps
export type MoveStepName = (typeof moveSteps)[MoveKind][number]['name']

/** What steps leave for those after them. */
export const moveOutputsSchema = z.strictObject({
  /** host:port of the target's relay. */
  address: z.string().max(255).optional(),
  volumes: z.array(z.strictObject({ name: z.string().max(63), path: z.string().max(1024), sizeBytes: z.number() })).max(64).optional(),
  seedPath: z.string().max(1024).nullable().optional(),
  bytes: z.number().nonnegative().optional(),
  downtimeMs: z.number().nonnegative().nullable().optional(),
})
export type MoveOutputs = z.infer<typeof moveOutputsSchema>

/** The part of an operation that moves a VM. */
export type StoredMove = {
  readonly sourceId: NodeId
  readonly targetId: NodeId
  /** The target's; the source's is lower. */
  readonly epoch: number
  readonly direction: 'forward' | 'back'
  readonly cancelled: boolean
  readonly bandwidthMiBps: number | null
  readonly outputs: MoveOutputs
  /** The VM is free again; what is left is cleaning. */
  readonly freed: boolean
  /** The step that failed or was cancelled; null while all goes well. */
  readonly turnedAt: number | null
}

export const migrationOutcomes = ['done', 'failed', 'cancelled'] as const
/** Ended migrations kept. */
export const migrationsMax = 10_000
export const bandwidthMiBpsMax = 100_000

/** An ended migration as it lies in the state; its id is the operation's. */
export type StoredMigration = {
  readonly id: string
  readonly kind: 'migration'
  readonly name: string
  readonly project: string
  /** Log index at which it ended: the order in which the oldest go. */
  readonly revision: number
  readonly vm: { readonly id: string; readonly name: string }
  readonly from: { readonly id: string; readonly name: string }
  readonly to: { readonly id: string; readonly name: string }
  readonly live: boolean
  readonly actor: string
  readonly outcome: (typeof migrationOutcomes)[number]
  readonly reason: string
  readonly bytes: number | null
  readonly downtimeMs: number | null
  readonly startedMs: number
  readonly endedMs: number
}

const partySchema = z.strictObject({ id: z.string(), name: z.string() })
export const migrationSpecSchema = z.strictObject({ vm: partySchema, from: partySchema, to: partySchema, live: z.boolean().describe('False: it was off, and its disks were copied') })
export const migrationStatusSchema = z.strictObject({
  outcome: z.enum(migrationOutcomes), reason: z.string(), actor: z.string(), bytes: z.number().nullable(), downtimeMs: z.number().nullable(),
  startedAt: z.string(), endedAt: z.string(), durationMs: z.number(), operation: z.string(),
})
export const migrationSchema = resourceSchema('migration', migrationSpecSchema, migrationStatusSchema)
export type Migration = z.output<typeof migrationSchema>

export const vmMigrateSchema = z.strictObject({
  node: z.string().max(63).optional().describe('Name or id of the node to move to; without one the planner chooses'),
  bandwidthMiBps: z.number().int().min(1).max(bandwidthMiBpsMax).nullable().optional().describe('Bound for memory and disks together, MiB per second'),
  force: z.boolean().default(false).describe('Also to a node that takes no new VMs'),
})

/** How far a running operation is; gossiped, never stored. */
export const progressSchema = z.strictObject({
  phase: z.string().max(32),
  processedBytes: z.number().nonnegative(),
  totalBytes: z.number().nonnegative(),
  bytesPerSecond: z.number().nonnegative(),
  downtimeMs: z.number().nullable(),
})
export type Progress = z.infer<typeof progressSchema>
