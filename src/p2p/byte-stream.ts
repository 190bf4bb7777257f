// A libp2p stream as the port's ByteStream: back-pressure both ways, half-close, abort.
import type { Clock } from '../ports/clock.ts'
import type { ByteStream } from '../ports/transport.ts'
import { startDeadline } from './deadline.ts'
import type { FrameStream } from './framing.ts'

const endMsMax = 10_000
/** One write is handed on in pieces of this size, so that one big buffer cannot pass back-pressure by. */
const pieceBytesMax = 128 * 1024

/** Wraps the stream; what was framed before stays read. Chunks written must not be changed afterwards. */
export function byteStreamOf(stream: FrameStream, clock: Clock): ByteStream {
  let ended = false
  return {
    readable: {
      async *[Symbol.asyncIterator]() {
        for (;;) {
          const chunk = await stream.chunk()
          if (chunk === null) return
          yield chunk
        }
      },
    },
    async write(chunk) {
      for (let at = 0; at < chunk.length; at += pieceBytesMax) {
        await stream.drained()
        stream.send(chunk.subarray(at, at + pieceBytesMax))
      }
      await stream.drained()
    },
    async end() {
      if (ended) return
      ended = true
      const deadline = startDeadline(clock, endMsMax, 'ending a stream')
      try {
        await stream.close(deadline.signal)
      } finally {
        deadline.cancel()
      }
    },
    abort(reason) {
      stream.abort(reason ?? new Error('aborted'))
    },
  }
}
