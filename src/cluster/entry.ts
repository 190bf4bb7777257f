// A command as it stands in a log entry: eight bytes of the leader's time stamp, big-endian milliseconds, then the command as JSON.
import { ignorablePrefix, parseCommand, UnknownCommandType, type Command } from '../model/command.ts'

const stampBytes = 8
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

export type DecodedEntry =
  | { readonly kind: 'command'; readonly timeMs: number; readonly command: Command }
  /** A type of a newer version that says of itself that it may be skipped. */
  | { readonly kind: 'ignorable'; readonly timeMs: number; readonly type: string }
  /** This version cannot apply it: the node has to halt. */
  | { readonly kind: 'unknown'; readonly detail: string }

/** @param timeMs milliseconds since the epoch, stamped by the leader */
export function encodeEntryData(timeMs: number, command: Command): Uint8Array {
  const json = encoder.encode(JSON.stringify(command))
  const data = new Uint8Array(stampBytes + json.length)
  new DataView(data.buffer).setBigUint64(0, BigInt(Math.trunc(timeMs)))
  data.set(json, stampBytes)
  return data
}

/** Never throws: what cannot be read is `unknown`. */
export function decodeEntryData(data: Uint8Array): DecodedEntry {
  if (data.length < stampBytes) return { kind: 'unknown', detail: 'the entry has no time stamp' }
  const timeMs = Number(new DataView(data.buffer, data.byteOffset, data.byteLength).getBigUint64(0))
  try {
    const command = parseCommand(JSON.parse(decoder.decode(data.subarray(stampBytes))))
    return { kind: 'command', timeMs, command }
  } catch (error) {
    if (error instanceof UnknownCommandType && error.type.startsWith(ignorablePrefix)) return { kind: 'ignorable', timeMs, type: error.type }
    return { kind: 'unknown', detail: error instanceof Error ? error.message : String(error) }
  }
}
