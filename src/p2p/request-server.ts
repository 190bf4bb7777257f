// The answering side of a request stream that a peer opened.
import { OperationalError } from '../model/error.ts'
import type { Log } from '../ports/log.ts'
import type { FrameStream } from './framing.ts'
import { decodeRequestFrame, encodeRequestFrame, errorFrame, requestBodyBytesMax, requestFrameBytesMax, type RequestFrame } from './request-codec.ts'

/** Requests of one peer worked on at the same time; the next is answered OVERLOADED. */
export const servedRequestsMax = 256
/** Answers waiting for a peer that does not read them. */
const unsentBytesMax = 64 * 1024 * 1024

type Answerer = (method: string, body: Uint8Array) => Promise<Uint8Array>

/** Serves until the stream ends. @throws Malformed, StreamClosed */
export async function serveRequests(stream: FrameStream, answer: Answerer, log: Log): Promise<void> {
  let active = 0
  const reply = (frame: RequestFrame) => {
    if (!stream.open) return
    if (stream.stream.writeBufferLength > unsentBytesMax) return stream.abort(new Error('the peer does not read its answers'))
    try {
      stream.sendFrame(encodeRequestFrame(frame))
    } catch {
      // The stream closed under us: the asker is told so by its own side.
    }
  }
  const work = async (id: number, method: string, body: Uint8Array) => {
    active++
    try {
      const result = await answer(method, body)
      if (result.length > requestBodyBytesMax) throw new OperationalError('BODY_TOO_LARGE', 'The answer is too long to be sent between nodes.')
      reply({ kind: 'answer', id, body: result })
    } catch (error) {
      if (!(error instanceof OperationalError)) log.error('request handler failed', { method, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
      reply(errorFrame(id, error instanceof OperationalError ? error : new OperationalError('OUTCOME_UNKNOWN', 'The other node failed while it worked on the request; its log says why.')))
    } finally {
      active--
    }
  }
  for (;;) {
    const bytes = await stream.frame(requestFrameBytesMax)
    if (bytes === null) return
    const frame = decodeRequestFrame(bytes)
    if (frame.kind === 'ping') reply({ kind: 'pong', id: frame.id })
    else if (frame.kind === 'request') {
      if (active >= servedRequestsMax) reply(errorFrame(frame.id, new OperationalError('OVERLOADED', 'The other node has too many requests at once. Nothing was done; try again.')))
      else void work(frame.id, frame.method, frame.body)
    }
  }
}
