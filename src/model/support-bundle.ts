// A support bundle: what one node knows of its past and present, without secrets, as lines of JSON of which the last proves the others.
import { z } from 'zod'
import { checkpointSchema } from './checkpoint.ts'

export const bundleFormat = 1
/** Entries of the log in one bundle; the newest. */
export const bundleEntriesMax = 20_000
/** Of its text, before it is compressed; what does not fit is left out and said to be. */
export const bundleBytesMax = 256 * 2 ** 20
/** Beyond that the reader stops: its last lines come on top, and earlier versions counted characters. */
export const bundleReadBytesMax = 2 * bundleBytesMax

const digestSchema = z.string().regex(/^[0-9a-f]{16}$/)
const configurationSchema = z.strictObject({ voters: z.array(z.string()), votersOutgoing: z.array(z.string()), learners: z.array(z.string()), learnersNext: z.array(z.string()), autoLeave: z.boolean() })

/**
 * A hash of the state counts the secrets that the bundle does not hold. `correction` is what is missing of it: the hash of the node's state is the sum, lane by
 * lane, of the hash of the state as it is in the bundle and of the correction of the last line that has one.
 */
export const bundleLineSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('bundle'), format: z.literal(bundleFormat), at: z.string(), node: z.string(), nodeId: z.string(), cluster: z.string(), version: z.string(), featureLevel: z.number().int(),
    digest: z.number().int().describe('How hashes are made, as in checkpoints'),
    secrets: z.string().describe('What was done to them'),
  }),
  /** What the host says of itself: configuration of the node, runtime. */
  z.strictObject({ kind: z.literal('host'), facts: z.record(z.string(), z.unknown()) }),
  /** Of consensus, as of the moment of the bundle; `hash` of the state at `applied`. */
  z.strictObject({ kind: z.literal('status'), applied: z.number().int(), hash: digestSchema, consensus: z.record(z.string(), z.unknown()) }),
  z.strictObject({
    kind: z.literal('base'), index: z.number().int(), term: z.number().int(), timeMs: z.number(), hash: digestSchema, correction: digestSchema, configuration: configurationSchema,
    records: z.number().int(),
  }),
  z.strictObject({ kind: z.literal('record'), table: z.string(), id: z.string(), value: z.unknown() }),
  z.strictObject({
    kind: z.literal('entry'), index: z.number().int(), term: z.number().int(), timeMs: z.number().nullable(),
    content: z.discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('command'), command: z.unknown() }),
      z.strictObject({ kind: z.literal('checkpoint'), checkpoint: checkpointSchema }),
      z.strictObject({ kind: z.literal('config'), data: z.string() }),
      z.strictObject({ kind: z.literal('ignorable'), type: z.string() }),
      z.strictObject({ kind: z.literal('unknown'), detail: z.string() }),
      z.strictObject({ kind: z.literal('empty') }),
    ]),
    /** Of the state of this node after the entry, as it was when it was applied; absent where it is not remembered. */
    hash: digestSchema.optional(),
    /** Absent where it is that of the line before. */
    correction: digestSchema.optional(),
  }),
  /** The node applied its own past once more for the bundle, and came to something else. */
  z.strictObject({ kind: z.literal('mismatch'), index: z.number().int(), hash: digestSchema, again: digestSchema }),
  z.strictObject({ kind: z.literal('metric'), name: z.string(), labels: z.record(z.string(), z.string()), value: z.number().nullable() }),
  z.strictObject({ kind: z.literal('log'), line: z.string() }),
  z.strictObject({ kind: z.literal('omitted'), what: z.string(), why: z.string() }),
  /** The last line: SHA-256 of all bytes before it. */
  z.strictObject({ kind: z.literal('end'), lines: z.number().int(), sha256: z.string() }),
])
export type BundleLine = z.output<typeof bundleLineSchema>
