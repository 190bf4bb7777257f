// The PeerImages port: an image straight from another node's HTTPS port, over the system's TLS, which is many times as fast as what is written in JavaScript.
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { OperationalError } from '../../model/error.ts'
import type { PeerImages } from '../../ports/image-supply.ts'

const answerMsMax = 5_000
const silenceMsMax = 10_000
/** TLS gives pieces of 16 KiB: they are handed on together, for each step beyond costs as much for a small piece. */
const gatherBytes = 1024 * 1024
const waitingBytesMax = 4 * gatherBytes

export class HttpsPeerImages implements PeerImages {
  readonly #ca: () => string

  /** @param ca PEM of the cluster's authority: nobody else is trusted */
  constructor(ca: () => string) {
    this.#ca = ca
  }

  async open(address: string, ticket: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const url = new URL(`https://${address}/peer/image`)
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = request({ host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port, path: url.pathname, agent: false, ca: this.#ca(), signal, headers: { authorization: `Bearer ${ticket}` } }, resolve)
      outgoing.setTimeout(answerMsMax, () => outgoing.destroy(new Error('no answer in time')))
      outgoing.on('error', (cause) => reject(signal.aborted ? (signal.reason as Error) : unreachable(address, cause)))
      outgoing.end()
    })
    if (response.statusCode !== 200) {
      response.destroy()
      throw unreachable(address, new Error(`it answered ${response.statusCode}`))
    }
    response.setTimeout(silenceMsMax, () => response.destroy(new Error('nothing came for a while')))
    return gathered(response, address, signal)
  }
}

async function* gathered(response: IncomingMessage, address: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  let chunks: Buffer[] = []
  let bytes = 0
  let ended = false
  let failure: Error | null = null
  let wake: () => void = () => {}
  response.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes >= gatherBytes) wake()
    if (bytes >= waitingBytesMax) response.pause()
  })
  response.on('end', () => {
    ended = true
    wake()
  })
  response.on('error', (cause) => {
    failure = cause
    wake()
  })
  response.on('close', () => {
    if (!ended) failure ??= new Error('the connection was closed')
    wake()
  })
  try {
    for (;;) {
      if (bytes < gatherBytes && !ended && failure === null) await new Promise<void>((resolve) => (wake = resolve))
      signal.throwIfAborted()
      if (bytes > 0 && (bytes >= gatherBytes || ended || failure !== null)) {
        const whole = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, bytes)
        chunks = []
        bytes = 0
        response.resume()
        yield whole
      } else if (failure !== null) throw unreachable(address, failure)
      else if (ended) return
    }
  } finally {
    response.destroy()
  }
}

function unreachable(address: string, cause: Error): OperationalError {
  return new OperationalError('PEER_UNREACHABLE', `${address} did not give the image: ${cause.message}.`, { cause })
}
