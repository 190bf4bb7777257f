// gzip for answers that are worth it.
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'

const bytesMin = 1024
/** Level 4 costs a third of the default's time for a few per cent more bytes. */
const level = 4
const compressible = /^(?:text\/html|text\/plain|application\/(?:problem\+)?json)/
const compress = promisify(gzip)

/** The answer, compressed where the client reads gzip and the body is long; streams are left alone. */
export async function compressed(response: Response, acceptEncoding: string | null): Promise<Response> {
  if (response.headers.has('Content-Encoding') || !compressible.test(response.headers.get('Content-Type') ?? '')) return response
  response.headers.append('Vary', 'Accept-Encoding')
  // Asked last: an answer whose body nobody looks at is written as it is, without a stream.
  if (!acceptsGzip(acceptEncoding) || response.body === null) return response
  const bytes = new Uint8Array(await response.arrayBuffer())
  const { status, headers } = response
  if (bytes.length < bytesMin) return new Response(bytes, { status, headers })
  const short = new Uint8Array(await compress(bytes, { level }))
  headers.set('Content-Encoding', 'gzip')
  headers.set('Content-Length', String(short.length))
  return new Response(short, { status, headers })
}

/** The bytes of a text of JSON, where the client reads gzip and they are worth it; else the text. */
export async function compressedText(text: string, acceptEncoding: string | null): Promise<string | Uint8Array<ArrayBuffer>> {
  if (acceptEncoding === null || !acceptsGzip(acceptEncoding) || Buffer.byteLength(text) < bytesMin) return text
  return new Uint8Array(await compress(text, { level }))
}

/** RFC 9110 §12.5.3; `gzip;q=0` is a refusal. */
export function acceptsGzip(header: string | null): boolean {
  return (header ?? '').split(',').some((part) => /^\s*(?:gzip|\*)\s*(?:;\s*q=(?!0(?:\.0*)?\s*$).*)?$/i.test(part))
}
