// A command as it stands in a log entry: eight bytes of the leader's time stamp, big-endian milliseconds, then the command as JSON.
import { checkpointSchema, checkpointType, type Checkpoint } from '../model/checkpoint.ts'
import { ignorablePrefix, parseCommand, UnknownCommandType, type Command } from '../model/command.ts'

const stampBytes = 8
const stampPlace = '\0'.repeat(stampBytes)
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

export type DecodedEntry =
  | { readonly kind: 'command'; readonly timeMs: number; readonly command: Command }
  | { readonly kind: 'checkpoint'; readonly timeMs: number; readonly checkpoint: Checkpoint }
  /** A type of a newer version that says of itself that it may be skipped. */
  | { readonly kind: 'ignorable'; readonly timeMs: number; readonly type: string }
  /** This version cannot apply it: the node has to halt. */
  | { readonly kind: 'unknown'; readonly detail: string }

/** @param timeMs milliseconds since the epoch, stamped by the leader */
export function encodeEntryData(timeMs: number, command: Command): Uint8Array {
  return encodeStamped(timeMs, command)
}

/** In the envelope of a command, so that older versions can tell that they may skip it. */
export function encodeCheckpointData(timeMs: number, checkpoint: Checkpoint & { readonly id: string }): Uint8Array {
  const { id, ...payload } = checkpoint
  return encodeStamped(timeMs, { id, actor: { kind: 'node', id: checkpoint.nodeId, name: '', address: '' }, type: checkpointType, payload })
}

function encodeStamped(timeMs: number, value: unknown): Uint8Array {
  // The stamp's place is encoded along: it costs less than a copy of all the rest.
  const data = encoder.encode(stampPlace + JSON.stringify(value))
  const stamp = new DataView(data.buffer, data.byteOffset, stampBytes)
  const wholeMs = Math.trunc(timeMs)
  stamp.setUint32(0, Math.floor(wholeMs / 2 ** 32))
  stamp.setUint32(4, wholeMs % 2 ** 32)
  return data
}

/** Never throws: what cannot be read is `unknown`. */
export function decodeEntryData(data: Uint8Array): DecodedEntry {
  if (data.length < stampBytes) return { kind: 'unknown', detail: 'the entry has no time stamp' }
  const stamp = new DataView(data.buffer, data.byteOffset, stampBytes)
  const timeMs = stamp.getUint32(0) * 2 ** 32 + stamp.getUint32(4)
  let parsed: unknown = null
  try {
    parsed = JSON.parse(decoder.decode(data.subarray(stampBytes)))
    return { kind: 'command', timeMs, command: parseCommand(parsed) }
  } catch (error) {
    if (error instanceof UnknownCommandType && error.type.startsWith(ignorablePrefix)) return decodeIgnorable(error.type, timeMs, parsed)
    return { kind: 'unknown', detail: error instanceof Error ? error.message : String(error) }
  }
}

function decodeIgnorable(type: string, timeMs: number, parsed: unknown): DecodedEntry {
  const checkpoint = type === checkpointType ? checkpointSchema.safeParse((parsed as { readonly payload: unknown }).payload) : null
  return checkpoint?.success === true ? { kind: 'checkpoint', timeMs, checkpoint: checkpoint.data } : { kind: 'ignorable', timeMs, type }
}
