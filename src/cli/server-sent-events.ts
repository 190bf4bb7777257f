// Parses a stream of server-sent events (WHATWG HTML §9.2), as far as ours go.

export type SentEvent = { readonly id: string | null; readonly event: string; readonly data: string }

const lineCharactersMax = 1024 * 1024

/** @throws an Error for a line beyond a mebibyte */
export async function* parseSentEvents(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<SentEvent> {
  const decoder = new TextDecoder()
  let rest = ''
  let fields: { id: string | null; event: string; data: string[] } = { id: null, event: 'message', data: [] }
  for await (const chunk of chunks) {
    rest += decoder.decode(chunk, { stream: true })
    const lines = rest.split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > lineCharactersMax) throw new Error('a line of the event stream is too long')
    for (const line of lines.map((each) => each.replace(/\r$/, ''))) {
      if (line === '') {
        if (fields.data.length > 0) yield { ...fields, data: fields.data.join('\n') }
        fields = { id: null, event: 'message', data: [] }
        continue
      }
      const colon = line.indexOf(':')
      const name = colon === -1 ? line : line.slice(0, colon)
      const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
      if (name === 'id') fields.id = value
      else if (name === 'event') fields.event = value
      else if (name === 'data') fields.data.push(value)
    }
  }
}
