// What nodes ask of each other beside Raft's messages: to append a command on behalf of another, how they are, and what an operator wants of one.
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

/** Null where it is no reply that we know. */
export function decodeProposeReply(body: Uint8Array): ProposeReply | null {
  let reply: Readonly<Record<string, unknown>>
  try {
    const parsed: unknown = JSON.parse(decoder.decode(body))
    if (typeof parsed !== 'object' || parsed === null) return null
    reply = parsed as Readonly<Record<string, unknown>>
  } catch {
    // Bytes of another version, or garbage.
    return null
  }
  const { kind, index, term, leader } = reply
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
