// A backup of the replicated state as a file: its frames, its header, and how a damaged or a newer file is told (docs/backup-format.md).
import { z } from 'zod'
import { clusterNameSchema } from './cluster.ts'
import { OperationalError } from './error.ts'
import { idSchema, nameSchema } from './id.ts'

/** Raised by whatever an earlier version would misread; the header's own frame stays readable for ever. */
export const backupFormat = 2
/** What an earlier version reads as well: everything but the state of one node alone. */
export const backupFormatShared = 1
const magic = Uint8Array.from('novacron-backup\n', (character) => character.charCodeAt(0))
const headBytes = 5
const checkBytes = 32
export const framePayloadBytesMax = 16 * 1024 * 1024
/** Records are gathered into frames of about this many characters. */
export const recordsFrameCharacters = 256 * 1024
/** More is not read: the state has to fit into memory many times over. */
export const backupBytesMax = 4 * 1024 * 1024 * 1024

/** Append only. */
export const frameKinds = { header: 1, records: 2, secrets: 3, end: 4 } as const
export type FrameKind = keyof typeof frameKinds

/** How the passphrase becomes a key (RFC 9106); the bounds keep a foreign file from asking for more than we would spend. */
export const passphraseParametersSchema = z.strictObject({
  function: z.literal('argon2id'),
  memoryKib: z.number().int().min(8).max(1024 * 1024),
  passes: z.number().int().min(1).max(16),
  parallelism: z.number().int().min(1).max(4),
  /** Base64url. */
  salt: z.string().min(16).max(128).regex(/^[\w-]+$/),
}).refine(({ memoryKib, parallelism }) => memoryKib >= 8 * parallelism, { path: ['memoryKib'], message: 'must be at least eight times parallelism' })
export type PassphraseParameters = z.output<typeof passphraseParametersSchema>

/** Of indexes and terms: beyond any that a cluster reaches, and far enough below what a number holds exactly to be counted on from. */
const counterMax = 2 ** 50
/** End of the year 9999, in milliseconds: the last that a date in four digits can name. */
const timeMsMax = 253_402_300_799_999
const counterSchema = z.number().int().nonnegative().max(counterMax)

/** Of a file that anybody may have written: every value has a shape and a bound. */
export const backupHeaderSchema = z.strictObject({
  format: z.literal([backupFormatShared, backupFormat]),
  /** Of the program that wrote it. */
  version: z.string().max(64),
  featureLevel: counterSchema,
  clusterId: idSchema,
  clusterName: clusterNameSchema,
  /** The node that wrote it. */
  node: nameSchema,
  createdAt: z.iso.datetime(),
  /** Head of the state: everything up to this log index is in it, nothing beyond. */
  index: counterSchema,
  term: counterSchema,
  timeMs: z.number().nonnegative().max(timeMsMax),
  /** The state's own hash over all records. */
  hash: z.string().regex(/^[0-9a-f]{16}$/),
  /** Null: the records lie open, and the cluster's key is not in it. */
  passphrase: passphraseParametersSchema.nullable(),
  /** It is what the node had applied, and nobody was asked: others may have acknowledged more. `commit`: what it knew to be committed; `quorum`: it was in touch with a leader. Absent in one that has all that was acknowledged before. */
  local: z.strictObject({ commit: counterSchema, quorum: z.boolean() }).optional(),
})
export type BackupHeader = z.output<typeof backupHeaderSchema>

/** Table, id, value: as in the state. */
export const backupRecordsSchema = z.array(z.tuple([z.string(), z.string(), z.unknown()]))
export const backupSecretsSchema = z.strictObject({ /** Base64url. */ clusterKey: z.string() })
export const backupEndSchema = z.strictObject({ records: counterSchema })

export const passphraseSchema = z.string().min(12, 'must have at least 12 characters').max(1024)
export const backupCreateSchema = z.strictObject({
  passphrase: passphraseSchema.nullable().default(null).describe('Everything is encrypted under it, the cluster\'s key included. Without one the key is left out, and a restore makes new secrets'),
  local: z.boolean().default(false).describe('Of what this node has applied, without asking the others: also without a quorum. It may be behind, and says so; it does not count as the last backup'),
})

/** What is known of the last backup whose last byte was handed over; what became of the file is not known here. */
export const lastBackupSchema = z.strictObject({
  at: z.string(),
  by: z.string(),
  node: z.string().describe('Through which it was made'),
  index: z.number().int().describe('Everything up to this log index is in it'),
  bytes: z.number().int(),
  checksum: z.string().describe('The last check of the file: as "cluster backup --verify" shows it'),
  sealed: z.boolean().describe('Encrypted under a passphrase, with the cluster\'s key'),
})
export const backupViewSchema = z.strictObject({ last: lastBackupSchema.nullable() })
export type BackupView = z.output<typeof backupViewSchema>

/** Lower-case hex. */
export type Sha256Hex = (bytes: Uint8Array) => string
export type Frame = { readonly kind: FrameKind; readonly payload: Uint8Array }

/** What stands before the first frame, and what that frame's check is chained to. */
export function beginBackup(sha256Hex: Sha256Hex): { readonly bytes: Uint8Array; readonly check: string } {
  return { bytes: magic, check: sha256Hex(magic) }
}

/**
 * length u32 | kind u8 | payload | check: SHA-256 of the former check, length, kind and payload.
 * @param former check of the frame before, hex
 */
export function encodeFrame(frame: Frame, former: string, sha256Hex: Sha256Hex): { readonly bytes: Uint8Array; readonly check: string } {
  const { payload } = frame
  const head = new Uint8Array(headBytes)
  const view = new DataView(head.buffer)
  view.setUint32(0, payload.length)
  view.setUint8(4, frameKinds[frame.kind])
  const check = sha256Hex(concat([bytesOfHex(former), head, payload]))
  return { bytes: concat([head, payload, bytesOfHex(check)]), check }
}

/** Takes a file's bytes in pieces and gives its frames, each checked. */
export class BackupDecoder {
  readonly #sha256Hex: Sha256Hex
  #rest: Uint8Array = new Uint8Array()
  #check: string | null = null
  #bytes = 0
  #last: FrameKind | null = null

  constructor(sha256Hex: Sha256Hex) {
    this.#sha256Hex = sha256Hex
  }

  get bytes(): number {
    return this.#bytes
  }

  /** @throws BACKUP_DAMAGED, BACKUP_NEWER */
  push(piece: Uint8Array): readonly Frame[] {
    this.#bytes += piece.length
    if (this.#bytes > backupBytesMax) throw damaged('it is longer than any backup')
    this.#rest = concat([this.#rest, piece])
    if (this.#check === null && !this.#begin()) return []
    const frames: Frame[] = []
    for (let frame = this.#take(); frame !== null; frame = this.#take()) frames.push(frame)
    return frames
  }

  /** The file has ended. @returns the check of the whole. @throws BACKUP_DAMAGED */
  end(): string {
    if (this.#check === null || this.#last !== 'end' || this.#rest.length > 0) throw damaged(`it is cut short after ${this.#bytes} bytes`)
    return this.#check
  }

  #begin(): boolean {
    const known = this.#rest.subarray(0, magic.length)
    if (known.some((byte, at) => byte !== magic[at])) throw new OperationalError('BACKUP_DAMAGED', 'The file is no backup of NovaCron, or its first bytes are damaged. Nothing was changed.')
    if (known.length < magic.length) return false
    this.#check = this.#sha256Hex(magic)
    this.#rest = this.#rest.slice(magic.length)
    return true
  }

  #take(): Frame | null {
    const rest = this.#rest
    if (rest.length < headBytes) return null
    if (this.#last === 'end') throw damaged('something follows its end')
    const view = new DataView(rest.buffer, rest.byteOffset, rest.byteLength)
    const length = view.getUint32(0)
    if (length > framePayloadBytesMax) throw damaged('a frame is longer than any')
    const end = headBytes + length + checkBytes
    if (rest.length < end) return null
    const former = this.#check ?? ''
    const check = this.#sha256Hex(concat([bytesOfHex(former), rest.subarray(0, headBytes + length)]))
    if (check !== hexOfBytes(rest.subarray(headBytes + length, end))) throw damaged(`what stands before byte ${this.#bytes - rest.length + end} was altered`)
    const kind = kindOf(view.getUint8(4))
    if ((this.#last === null) !== (kind === 'header')) throw damaged('its header is not where it belongs')
    this.#check = check
    this.#last = kind
    const payload = rest.slice(headBytes, headBytes + length)
    this.#rest = rest.slice(end)
    return { kind, payload }
  }
}

/** @throws BACKUP_NEWER, BACKUP_DAMAGED */
export function parseBackupHeader(text: string): BackupHeader {
  const parsed = z.object({ format: z.number().int() }).safeParse(parseFrameJson(text))
  if (parsed.success && parsed.data.format > backupFormat) throw newer(`its format is ${parsed.data.format}, this version reads ${backupFormat}`)
  return parseFrame(backupHeaderSchema, text)
}

/** @param text the payload, which is UTF-8. @throws BACKUP_DAMAGED where it is not of that shape */
export function parseFrame<Shape extends z.ZodType>(schema: Shape, text: string): z.output<Shape> {
  const parsed = schema.safeParse(parseFrameJson(text))
  if (!parsed.success) throw damaged('a frame has another shape')
  return parsed.data
}

function parseFrameJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw damaged('a frame is no JSON')
  }
}

export function damaged(why: string): OperationalError {
  return new OperationalError('BACKUP_DAMAGED', `The backup is damaged: ${why}. Nothing was changed; use another copy.`)
}

export function newer(why: string): OperationalError {
  return new OperationalError('BACKUP_NEWER', `The backup is of a newer NovaCron: ${why}. Nothing was changed; update this host first.`)
}

/**
 * What a sealed frame's ciphertext is bound to: its file, by all that the header says, and its place in it.
 * @param headerHash SHA-256 of the header's payload, hex
 */
export function sealPurpose(headerHash: string, sequence: number): string {
  return `novacron/backup/${headerHash}/${sequence}`
}

function kindOf(number: number): FrameKind {
  const found = (Object.keys(frameKinds) as FrameKind[]).find((kind) => frameKinds[kind] === number)
  if (found === undefined) throw newer(`a frame is of kind ${number}, which is not known here`)
  return found
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

function bytesOfHex(hex: string): Uint8Array {
  return Uint8Array.from({ length: hex.length / 2 }, (_, at) => Number.parseInt(hex.slice(2 * at, 2 * at + 2), 16))
}

function hexOfBytes(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}
