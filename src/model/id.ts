// Ids and names: UUIDv7 ids branded by kind, DNS-label names, and how a path that may be either is told apart.
import { z } from 'zod'

/** RFC 9562 UUID in lower case. */
export const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
/** RFC 1123 DNS label. */
export const namePattern = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

declare const brand: unique symbol
type Branded<T, Name extends string> = T & { readonly [brand]: Name }

export type VmId = Branded<string, 'VmId'>
export type NodeId = Branded<string, 'NodeId'>
export type ImageId = Branded<string, 'ImageId'>
export type OperationId = Branded<string, 'OperationId'>
export type UserId = Branded<string, 'UserId'>
export type TokenId = Branded<string, 'TokenId'>
export type ProjectId = Branded<string, 'ProjectId'>
export type CommandId = Branded<string, 'CommandId'>

const uuid = z.string().regex(uuidPattern, 'must be a UUID in lower case')
export const idSchema = uuid
export const vmIdSchema = uuid as unknown as z.ZodType<VmId>
export const nodeIdSchema = uuid as unknown as z.ZodType<NodeId>
export const imageIdSchema = uuid as unknown as z.ZodType<ImageId>
export const operationIdSchema = uuid as unknown as z.ZodType<OperationId>
export const userIdSchema = uuid as unknown as z.ZodType<UserId>
export const tokenIdSchema = uuid as unknown as z.ZodType<TokenId>
export const projectIdSchema = uuid as unknown as z.ZodType<ProjectId>
export const commandIdSchema = uuid as unknown as z.ZodType<CommandId>

/** A name: a DNS label of at most 63 characters, never shaped like an id. */
export const nameSchema = z
  .string()
  .max(63, 'must have at most 63 characters')
  .regex(namePattern, 'must be a DNS label: lower-case letters, digits and hyphens, beginning and ending with a letter or digit')
  .refine((name) => !uuidPattern.test(name), 'must not have the shape of an id')

/** Label keys are DNS labels with an optional prefix `domain/`; values are short text without control characters. */
const labelKey = z.string().max(127).regex(/^(?:[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?\/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/, 'is not a valid label key')
const labelValue = z.string().max(255).regex(/^[^\u0000-\u001f\u007f]*$/, 'must not hold control characters')
export const labelsSchema = z.record(labelKey, labelValue).refine((labels) => Object.keys(labels).length <= labelsMax, 'must have at most 64 labels')
export const labelsMax = 64
/** Of a merge patch: null takes one away. */
export const labelPatchSchema = z.record(labelKey, labelValue.nullable()).refine((labels) => Object.keys(labels).length <= 2 * labelsMax, 'must name at most 128 labels')

export function isId(text: string): boolean {
  return uuidPattern.test(text)
}

/**
 * A UUIDv7 (RFC 9562 §5.7) of a time and randomness.
 * @param timeMs milliseconds since the epoch, 48 bits are used
 * @param random at least 10 random bytes
 */
export function uuidV7(timeMs: number, random: Uint8Array): string {
  if (random.length < 10) throw new RangeError('uuidV7 needs 10 random bytes')
  const bytes = new Uint8Array(16)
  let rest = Math.floor(timeMs)
  for (let at = 5; at >= 0; at--) {
    bytes[at] = rest % 256
    rest = Math.floor(rest / 256)
  }
  bytes.set(random.subarray(0, 10), 6)
  bytes[6] = (bytes[6]! & 0x0f) | 0x70
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  let hex = ''
  for (const byte of bytes) hex += byte.toString(16).padStart(2, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** The last eight hex digits of an id: random, so two things made in one millisecond differ; for display and domain names. */
export function shortId(id: string): string {
  return id.slice(-8)
}
