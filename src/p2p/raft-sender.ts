// The outgoing half of Raft to one peer: a bounded queue, packed into batches on one long-lived stream.
import type { Message } from '../raft/types.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import { BinaryWriter } from './binary.ts'
import type { FrameStream } from './framing.ts'
import { encodeMessage, messageBytes, messageBytesMax } from './message-codec.ts'

export const queuedMessagesMax = 4096
export const queuedBytesMax = 32 * 1024 * 1024
/** Bytes handed to libp2p in one go; one message always fits. */
const batchBytesMax = 256 * 1024

export class RaftSender {
  readonly #stream: FrameStream
  readonly #clock: Clock
  readonly #log: Log
  #queue: Message[] = []
  #head = 0
  #queuedBytes = 0
  #droppedTotal = 0
  #pumping = false
  #blockedSinceMs: number | null = null

  constructor(stream: FrameStream, options: { readonly clock: Clock; readonly log: Log }) {
    this.#stream = stream
    this.#clock = options.clock
    this.#log = options.log
  }

  get queuedBytes(): number {
    return this.#queuedBytes + this.#stream.stream.writeBufferLength
  }

  get droppedTotal(): number {
    return this.#droppedTotal
  }

  /** Milliseconds for which the peer has taken nothing though there was something for it; 0 while it flows. */
  blockedMs(): number {
    return this.#blockedSinceMs === null ? 0 : this.#clock.monotonicMs() - this.#blockedSinceMs
  }

  /** Never waits; beyond the bounds the oldest messages are dropped, which Raft repairs. */
  push(message: Message): void {
    const bytes = messageBytes(message)
    if (bytes > messageBytesMax) {
      this.#log.error('raft message is too long to send', { kind: message.kind, bytes, to: message.to })
      return
    }
    this.#queue.push(message)
    this.#queuedBytes += bytes
    while (this.#queue.length - this.#head > queuedMessagesMax || this.#queuedBytes > queuedBytesMax) {
      this.#shift()
      this.#droppedTotal++
    }
    if (this.#pumping) return
    this.#pumping = true
    // In a microtask, so that all messages of one Ready leave in one batch.
    queueMicrotask(() => void this.#pump())
  }

  async #pump(): Promise<void> {
    try {
      while (this.#head < this.#queue.length && this.#stream.open) {
        this.#stream.send(this.#nextBatch())
        if (!this.#stream.blocked) continue
        this.#blockedSinceMs = this.#clock.monotonicMs()
        await this.#stream.drained()
        this.#blockedSinceMs = null
      }
    } catch (error) {
      // The session notices the closed stream by itself and starts anew.
      this.#log.debug('raft stream failed', { error: String(error) })
    } finally {
      this.#pumping = false
    }
  }

  #nextBatch(): Uint8Array {
    const writer = new BinaryWriter(4096)
    while (this.#head < this.#queue.length) {
      const lengthAt = writer.length
      writer.u32(0)
      encodeMessage(this.#shift(), writer)
      writer.patchU32(lengthAt, writer.length - lengthAt - 4)
      const next = this.#queue[this.#head]
      if (next !== undefined && writer.length + messageBytes(next) > batchBytesMax) break
    }
    return writer.finish()
  }

  #shift(): Message {
    const message = this.#queue[this.#head++]!
    this.#queuedBytes -= messageBytes(message)
    if (this.#head > 1024 || this.#head === this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head)
      this.#head = 0
    }
    return message
  }
}
