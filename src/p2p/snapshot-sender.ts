// Sends one Raft snapshot over a stream of its own: header, chunks with a CRC each, a CRC of the whole, and the receiver's word.
import { crc32 } from 'node:zlib'
import type { Clock } from '../ports/clock.ts'
import type { Message } from '../raft/types.ts'
import { BinaryWriter } from './binary.ts'
import { startDeadline } from './deadline.ts'
import type { FrameStream } from './framing.ts'
import { decodeJson } from './hello.ts'
import { encodeMessage } from './message-codec.ts'
import { snapshotAnswerBytesMax, snapshotAnswerSchema, snapshotChunkBytes, stepMsMax } from './snapshot-format.ts'

export type SnapshotMessage = Extract<Message, { kind: 'snapshot' }>

/** Resolves when the receiver has checked the whole and handed it on. @throws when it did not, or when no progress was made for `stepMsMax` */
export async function sendSnapshot(stream: FrameStream, message: SnapshotMessage, clock: Clock): Promise<void> {
  const step = async <T>(what: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    const deadline = startDeadline(clock, stepMsMax, what)
    const cut = () => stream.abort(deadline.signal.reason as Error)
    deadline.signal.addEventListener('abort', cut, { once: true })
    try {
      return await work(deadline.signal)
    } finally {
      deadline.cancel()
    }
  }
  const answer = async () => {
    const answered = decodeJson(await stream.frame(snapshotAnswerBytesMax), snapshotAnswerSchema)
    if (!answered.ok) throw new Error(`the peer refused the snapshot: ${answered.reason}`)
  }
  const data = message.snapshot.data
  try {
    stream.sendFrame(encodeHeader(message))
    await step('waiting for the snapshot to be accepted', answer)
    let whole = 0
    for (let at = 0; at < data.length; at += snapshotChunkBytes) {
      const chunk = data.subarray(at, at + snapshotChunkBytes)
      whole = crc32(chunk, whole)
      stream.sendFrame(encodeChunk(chunk))
      await step('sending a snapshot chunk', (signal) => stream.drained(signal))
    }
    stream.sendFrame(encodeTrailer(whole))
    await step('waiting for the snapshot to be confirmed', answer)
    await step('closing', (signal) => stream.close(signal))
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error(String(error)))
    throw error
  }
}

function encodeHeader(message: SnapshotMessage): Uint8Array {
  const writer = new BinaryWriter()
  writer.varint(message.snapshot.data.length)
  encodeMessage(message, writer)
  return writer.finish()
}

function encodeChunk(chunk: Uint8Array): Uint8Array {
  const writer = new BinaryWriter(chunk.length + 4)
  writer.u32(crc32(chunk))
  writer.raw(chunk)
  return writer.finish()
}

function encodeTrailer(whole: number): Uint8Array {
  const writer = new BinaryWriter(4)
  writer.u32(whole)
  return writer.finish()
}
