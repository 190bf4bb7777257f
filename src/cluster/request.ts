// What nodes ask of each other beside Raft's messages: to append a command on behalf of another, how they are, and what an operator wants of one.
import { z } from 'zod'
import type { Command } from '../model/command.ts'
import { parseCommand } from '../model/command.ts'
import { OperationalError } from '../model/error.ts'
import type { LogIndex, RaftId, Term } from '../raft/types.ts'

/** Method names; append only. */
export const proposeMethod = 'propose'
export const statusMethod = 'status'
export const reportMethod = 'report'
export const leadMethod = 'lead'
export const compactMethod = 'compact'
export const checkpointMethod = 'checkpoint'

/** From a node whose hash at the index is another than the leader's (`expected`); the answer is the asked node's own, or null. */
const hashQuestionSchema = z.strictObject({ index: z.number().int().positive(), hash: z.string().max(64), expected: z.string().max(64) })
export type HashQuestion = z.output<typeof hashQuestionSchema>
const hashReplySchema = z.strictObject({ hash: z.string().max(64).nullable() })
export type HashReply = z.output<typeof hashReplySchema>
/** Asked by a node whose log is damaged: it wants to be no voter any more, and to begin anew. */
export const renewMethod = 'renew'

/** A leader's word that this node votes no more, as of an entry that a majority without it holds: it may begin anew. */
export type RenewalGrant = { readonly term: Term; readonly index: LogIndex; readonly leaderId: RaftId }

/** All but `renewed` mean: go on waiting. */
export type RenewReply =
  | ({ readonly kind: 'renewed' } & RenewalGrant)
  | { readonly kind: 'notLeader'; readonly leader: string | null }
  /** The asked node is in the same trouble. */
  | { readonly kind: 'damaged' }
  /** Another change of membership is under way, or this one did not get a majority in time. */
  | { readonly kind: 'notNow'; readonly reason: string }

/** A leader's answer to a forwarded command. All but `appended` mean: surely not appended. */
export type ProposeReply =
  | { readonly kind: 'appended'; readonly index: LogIndex; readonly term: Term }
  | { readonly kind: 'notLeader'; readonly leader: string | null }
  | { readonly kind: 'overloaded' }
  /** A leader about to hand over, or on its way out of the configuration. */
  | { readonly kind: 'notNow' }
  | { readonly kind: 'tooLarge' }

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

export function encodeCommand(command: Command): Uint8Array {
  return encoder.encode(JSON.stringify(command))
}

/** @throws OperationalError INVALID where it is no command that this version knows */
export function decodeCommand(body: Uint8Array): Command {
  return parsedCommand(() => decoder.decode(body))
}

/** The command as it will be read back from the log, with every default filled in. @throws OperationalError INVALID */
export function completeCommand(command: Command): Command {
  return parsedCommand(() => JSON.stringify(command))
}

function parsedCommand(text: () => string): Command {
  try {
    return parseCommand(JSON.parse(text()))
  } catch (error) {
    throw new OperationalError('INVALID', 'The command is not one that this version can apply. Nothing was changed; update the older node.', { cause: error })
  }
}

export function encodeJson(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value))
}

/** @throws OperationalError INVALID */
export function decodeHashQuestion(body: Uint8Array): HashQuestion {
  const parsed = hashQuestionSchema.safeParse(parseJson(body))
  if (!parsed.success) throw new OperationalError('INVALID', 'The question for a hash cannot be read.')
  return parsed.data
}

/** Null where the node does not know it, or its answer cannot be read. */
export function decodeHashReply(body: Uint8Array): string | null {
  return hashReplySchema.safeParse(parseJson(body)).data?.hash ?? null
}

/** Null for what is no JSON. */
function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(body))
  } catch {
    return null
  }
}

/** Null where it is no reply that we know. */
export function decodeProposeReply(body: Uint8Array): ProposeReply | null {
  // Bytes of another version, or garbage.
  const parsed = parseJson(body)
  if (typeof parsed !== 'object' || parsed === null) return null
  const { kind, index, term, leader } = parsed as Readonly<Record<string, unknown>>
  switch (kind) {
    case 'appended':
      return Number.isSafeInteger(index) && Number.isSafeInteger(term) ? { kind, index: index as number, term: term as number } : null
    case 'notLeader':
      return { kind, leader: typeof leader === 'string' ? leader : null }
    case 'overloaded':
    case 'notNow':
    case 'tooLarge':
      return { kind }
    default:
      return null
  }
}

/** Null where it is no reply that we know. */
export function decodeRenewReply(body: Uint8Array): RenewReply | null {
  const reply = decodeObject(body)
  if (reply === null) return null
  const { kind, index, term, leader, leaderId, reason } = reply
  switch (kind) {
    case 'renewed':
      return Number.isSafeInteger(index) && Number.isSafeInteger(term) && typeof leaderId === 'string' ? { kind, index: index as number, term: term as number, leaderId } : null
    case 'notLeader':
      return { kind, leader: typeof leader === 'string' ? leader : null }
    case 'damaged':
      return { kind }
    case 'notNow':
      return { kind, reason: typeof reason === 'string' ? reason : '' }
    default:
      return null
  }
}

/** Null for bytes of another version, or garbage. */
function decodeObject(body: Uint8Array): Readonly<Record<string, unknown>> | null {
  try {
    const parsed: unknown = JSON.parse(decoder.decode(body))
    return typeof parsed === 'object' && parsed !== null ? (parsed as Readonly<Record<string, unknown>>) : null
  } catch {
    return null
  }
}
