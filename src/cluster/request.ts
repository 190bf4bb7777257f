// What nodes ask of each other beside Raft's messages: to append a command on behalf of another, how they are, and what an operator wants of one.
import { z } from 'zod'
import type { Command } from '../model/command.ts'
import { parseCommand } from '../model/command.ts'
import { OperationalError } from '../model/error.ts'
import type { LogIndex, Term } from '../raft/types.ts'

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
  try {
    return parseCommand(JSON.parse(decoder.decode(body)))
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
