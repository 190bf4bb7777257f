// The head of an HTTP/1.1 answer (RFC 9112), read strictly: what is not exactly as another NovaCron node writes it is refused rather than guessed at.

export type ResponseHead = {
  readonly status: number
  /** Content-Length; null where there is none, which only an answer other than 200 may have. */
  readonly bodyBytes: number | null
}

export const headBytesMax = 8 * 1024
const statusPattern = /^HTTP\/1\.1 ([2-5]\d\d) [\t\x20-\x7e\x80-\xff]*$/
const fieldPattern = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t ]*([\t\x20-\x7e\x80-\xff]*)$/
const lengthPattern = /^(?:0|[1-9]\d{0,14})$/
/** With one of these the body would not be the bytes themselves. */
const encodings = new Set(['transfer-encoding', 'content-encoding', 'content-range'])
const lineFeed = 0x0a
const carriageReturn = 0x0d

/** Takes a head as it comes in, in pieces of any size. */
export class HeadReader {
  readonly #bytes = Buffer.alloc(headBytesMax)
  #length = 0

  /**
   * @returns the head once it is whole, and where in these bytes the body begins; null before
   * @throws Error where it is none, is too long, or does not say how long the body is
   */
  take(bytes: Uint8Array): { readonly head: ResponseHead; readonly bodyAt: number } | null {
    for (let at = 0; at < bytes.length; at++) {
      if (this.#length === headBytesMax) throw new Error('the head of its answer is too long')
      this.#bytes[this.#length++] = bytes[at]!
      if (bytes[at] === lineFeed && this.#atEnd()) return { head: parseHead(this.#bytes.toString('latin1', 0, this.#length - 4)), bodyAt: at + 1 }
    }
    return null
  }

  #atEnd(): boolean {
    const end = this.#length
    return end >= 4 && this.#bytes[end - 2] === carriageReturn && this.#bytes[end - 3] === lineFeed && this.#bytes[end - 4] === carriageReturn
  }
}

/** @param text without the empty line at its end */
function parseHead(text: string): ResponseHead {
  const [first = '', ...lines] = text.split('\r\n')
  const status = statusPattern.exec(first)?.[1]
  if (status === undefined) throw new Error('its answer does not begin as HTTP/1.1 does')
  let bodyBytes: number | null = null
  for (const line of lines) {
    const [, name, value] = fieldPattern.exec(line) ?? []
    if (name === undefined || value === undefined) throw new Error('its answer has a header that is none')
    if (encodings.has(name.toLowerCase())) throw new Error(`its answer has ${name}, which is not understood`)
    if (name.toLowerCase() !== 'content-length') continue
    const length = value.trimEnd()
    if (bodyBytes !== null || !lengthPattern.test(length)) throw new Error('the length of its answer is not clear')
    bodyBytes = Number(length)
  }
  if (status === '200' && bodyBytes === null) throw new Error('it does not say how long its answer is')
  return { status: Number(status), bodyBytes }
}
