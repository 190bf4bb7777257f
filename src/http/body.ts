// Request bodies, bounded in size, depth and time before anything else looks at them.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { OperationalError } from '../model/error.ts'
import type { Clock } from '../ports/clock.ts'

export const bodyBytesMax = 1024 * 1024
/** Of a body that comes before any credential was checked: what strangers can make us hold is this times the connections. */
export const openBodyBytesMax = 16 * 1024
export const jsonDepthMax = 64
/** A body of at most 1 MiB must have come by then. */
const bodyTimeoutMs = 20_000
const streamIdleMsMax = 60_000
const lingerMs = 2_000

/** The media type of a request, without parameters, in lower case; empty without one. */
export function mediaTypeOf(headers: Headers): string {
  return (headers.get('Content-Type') ?? '').split(';', 1)[0]!.trim().toLowerCase()
}

export function hasBody(incoming: IncomingMessage): boolean {
  return incoming.headers['transfer-encoding'] !== undefined || (incoming.headers['content-length'] ?? '0') !== '0'
}

/** Says "100 Continue" to a client that waits for it: only now is its body wanted. */
export function invite(incoming: IncomingMessage, outgoing: ServerResponse): void {
  if (incoming.headers.expect?.toLowerCase() === '100-continue' && !outgoing.headersSent) outgoing.writeContinue()
}

/**
 * Reads a whole body.
 * @throws BODY_TOO_LARGE before more than the bound is kept, at once where Content-Length tells; REQUEST_TIMEOUT; MALFORMED where it broke off
 */
export async function readBody(incoming: IncomingMessage, outgoing: ServerResponse, clock: Clock, bytesMax = bodyBytesMax): Promise<Uint8Array> {
  if (Number(incoming.headers['content-length'] ?? 0) > bytesMax) {
    lingerAtClose(incoming, clock)
    throw tooLarge(bytesMax)
  }
  if (incoming.headers['content-encoding'] !== undefined) throw new OperationalError('UNSUPPORTED_MEDIA_TYPE', 'Compressed request bodies are not read; send it without Content-Encoding.')
  invite(incoming, outgoing)
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = []
    let bytes = 0
    const settle = (finish: () => void) => {
      cancel()
      incoming.off('data', onData).off('end', onEnd).off('close', onBroken).off('error', onBroken)
      finish()
    }
    const fail = (error: OperationalError) => settle(() => {
      incoming.pause()
      lingerAtClose(incoming, clock)
      reject(error)
    })
    const onData = (chunk: Uint8Array) => {
      bytes += chunk.length
      if (bytes > bytesMax) fail(tooLarge(bytesMax))
      else chunks.push(chunk)
    }
    const onEnd = () => settle(() => resolve(Buffer.concat(chunks)))
    const onBroken = () => fail(new OperationalError('MALFORMED', 'The request body broke off.'))
    const cancel = clock.after(bodyTimeoutMs, () => fail(new OperationalError('REQUEST_TIMEOUT', `The request body did not arrive within ${bodyTimeoutMs / 1000} seconds.`)))
    incoming.on('data', onData).on('end', onEnd).on('close', onBroken).on('error', onBroken)
  })
}

/**
 * Where the connection ends with the answer, what still comes is dropped for a moment first: closing on a client that is still sending resets the
 * connection, and the client may never see the answer (RFC 9112 §9.6).
 */
function lingerAtClose(incoming: IncomingMessage, clock: Clock): void {
  const { socket } = incoming
  socket.destroySoon = () => {
    if (socket.destroyed) return
    socket.end()
    incoming.resume()
    const cancel = clock.after(lingerMs, () => socket.destroy())
    socket.once('close', cancel)
  }
}

/**
 * A long body piece by piece, with the back-pressure of the connection. A reader that stops early leaves the connection whole, so that it can be answered.
 * @throws MALFORMED where it broke off, REQUEST_TIMEOUT where nothing came for a while
 */
export async function* streamBody(incoming: IncomingMessage, clock: Clock): AsyncGenerator<Uint8Array> {
  const chunks = incoming.iterator({ destroyOnReturn: false })
  try {
    for (;;) {
      // The time that the consumer takes does not count.
      const step = await nextWithin(chunks, clock)
      if (step.done === true) return
      yield step.value
    }
  } finally {
    // Lets go of the body, so that what still comes can be dropped; not awaited, for it would wait for a chunk that never comes.
    chunks.return?.().catch(() => undefined)
  }
}

async function nextWithin(chunks: AsyncIterator<Uint8Array>, clock: Clock): Promise<IteratorResult<Uint8Array>> {
  const idle = Promise.withResolvers<never>()
  const cancel = clock.after(streamIdleMsMax, () => idle.reject(new OperationalError('REQUEST_TIMEOUT', `Nothing more of the body came for ${streamIdleMsMax / 1000} seconds.`)))
  try {
    return await Promise.race([chunks.next(), idle.promise])
  } catch (cause) {
    if (cause instanceof OperationalError) throw cause
    throw new OperationalError('MALFORMED', 'The request body broke off.', { cause })
  } finally {
    cancel()
  }
}

/**
 * Parses JSON text.
 * @throws MALFORMED for bytes that are no UTF-8, text that is no JSON, and nesting beyond the bound
 */
export function parseJson(bytes: Uint8Array): unknown {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new OperationalError('MALFORMED', 'The body is not valid UTF-8.')
  }
  checkDepth(text)
  try {
    return JSON.parse(text)
  } catch (error) {
    // The parser's message quotes the text, which may hold a password: only the place is passed on.
    const place = error instanceof SyntaxError ? /at position \d+(?: \(line \d+ column \d+\))?/.exec(error.message)?.[0] : undefined
    throw new OperationalError('MALFORMED', `The body is not valid JSON${place === undefined ? '' : ` ${place}`}.`)
  }
}

/** One pass that follows only strings and brackets; `JSON.parse` and everything behind it may recurse on what passes. */
function checkDepth(text: string): void {
  let depth = 0
  let inString = false
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (inString) {
      if (code === 0x5c) at++
      else if (code === 0x22) inString = false
    } else if (code === 0x22) inString = true
    else if (code === 0x7b || code === 0x5b) {
      if (++depth > jsonDepthMax) throw new OperationalError('MALFORMED', `The body is nested deeper than ${jsonDepthMax} levels.`)
    } else if (code === 0x7d || code === 0x5d) depth--
  }
}

/** @throws MALFORMED where the bytes are no UTF-8 */
export function parseForm(bytes: Uint8Array): URLSearchParams {
  try {
    return new URLSearchParams(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw new OperationalError('MALFORMED', 'The form is not valid UTF-8.')
  }
}

function tooLarge(bytesMax: number): OperationalError {
  return new OperationalError('BODY_TOO_LARGE', `The body may have at most ${bytesMax} bytes.`)
}
