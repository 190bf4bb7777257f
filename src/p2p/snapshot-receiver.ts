// Assembles incoming snapshots, checks every chunk and the whole, and hands each on as one message with its data.
import { crc32 } from 'node:zlib'
import type { Clock } from '../ports/clock.ts'
import { BinaryReader } from './binary.ts'
import { startDeadline } from './deadline.ts'
import type { FrameStream } from './framing.ts'
import { encodeJson } from './hello.ts'
import { Malformed } from './malformed.ts'
import { decodeMessage, messageBytesMax } from './message-codec.ts'
import { snapshotBytesMax, snapshotChunkBytes, stepMsMax } from './snapshot-format.ts'
import type { SnapshotMessage } from './snapshot-sender.ts'

/** Snapshots assembled at the same time, whoever sends them: a bound on memory. */
export const snapshotsIncomingMax = 2

export class SnapshotReceiver {
  readonly #clock: Clock
  readonly #active = new Map<string, FrameStream>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Reads one snapshot whose hello was answered; a newer one from the same peer cuts an older one.
   * @param deliver called once with the whole; what it throws is answered as a refusal
   * @throws Malformed, StreamClosed
   */
  async receive(stream: FrameStream, peerNodeId: string, deliver: (message: SnapshotMessage) => void): Promise<void> {
    this.#active.get(peerNodeId)?.abort(new Error('a newer snapshot came'))
    this.#active.delete(peerNodeId)
    if (this.#active.size >= snapshotsIncomingMax) {
      stream.sendFrame(encodeJson({ ok: false, reason: 'too many snapshots at once' }))
      return
    }
    this.#active.set(peerNodeId, stream)
    try {
      const { message, totalBytes } = decodeHeader(await this.#frame(stream, messageBytesMax))
      stream.sendFrame(encodeJson({ ok: true }))
      const data = await this.#assemble(stream, totalBytes)
      deliver({ ...message, snapshot: { ...message.snapshot, data } })
      stream.sendFrame(encodeJson({ ok: true }))
    } finally {
      if (this.#active.get(peerNodeId) === stream) this.#active.delete(peerNodeId)
    }
  }

  async #assemble(stream: FrameStream, totalBytes: number): Promise<Uint8Array> {
    const data = new Uint8Array(totalBytes)
    let whole = 0
    for (let at = 0; at < totalBytes; ) {
      const reader = new BinaryReader(await this.#frame(stream, snapshotChunkBytes + 4))
      const sum = reader.u32()
      const chunk = reader.raw(reader.remaining)
      if (chunk.length === 0 || at + chunk.length > totalBytes) throw new Malformed('a snapshot chunk has the wrong size')
      if (crc32(chunk) !== sum) throw new Malformed('a snapshot chunk is damaged')
      whole = crc32(chunk, whole)
      data.set(chunk, at)
      at += chunk.length
    }
    const trailer = new BinaryReader(await this.#frame(stream, 4))
    if (trailer.u32() !== whole) throw new Malformed('the snapshot is damaged')
    trailer.end()
    return data
  }

  async #frame(stream: FrameStream, bytesMax: number): Promise<Uint8Array> {
    const deadline = startDeadline(this.#clock, stepMsMax, 'receiving a snapshot')
    deadline.signal.addEventListener('abort', () => stream.abort(deadline.signal.reason as Error), { once: true })
    try {
      const frame = await stream.frame(bytesMax)
      if (frame === null) throw new Malformed('the snapshot ends too early')
      return frame
    } finally {
      deadline.cancel()
    }
  }
}

function decodeHeader(frame: Uint8Array): { message: SnapshotMessage; totalBytes: number } {
  const reader = new BinaryReader(frame)
  const totalBytes = reader.varint()
  if (totalBytes > snapshotBytesMax) throw new Malformed(`a snapshot has ${totalBytes} bytes, at most ${snapshotBytesMax} are allowed`)
  const message = decodeMessage(reader.raw(reader.remaining))
  if (message.kind !== 'snapshot') throw new Malformed('the header is of no snapshot')
  return { message, totalBytes }
}
