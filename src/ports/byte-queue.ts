// What has arrived on a stream of bytes and was not read yet: for one reader, with an end that may be a failure.

export class ByteQueue implements AsyncIterable<Uint8Array> {
  readonly #onTaken: () => void
  readonly #onLeft: () => void
  #chunks: Uint8Array[] = []
  #waitingBytes = 0
  #finished = false
  #failure: Error | null = null
  #reader: PromiseWithResolvers<IteratorResult<Uint8Array, undefined>> | null = null

  /** `onTaken` is called after each chunk that was read: there is more room. `onLeft` when the reader leaves, or has read to the end. */
  constructor(hooks: { readonly onTaken?: () => void; readonly onLeft?: () => void } = {}) {
    this.#onTaken = hooks.onTaken ?? (() => {})
    this.#onLeft = hooks.onLeft ?? (() => {})
  }

  get waitingBytes(): number {
    return this.#waitingBytes
  }

  get finished(): boolean {
    return this.#finished
  }

  /** Ignored once finished. Bounds are the caller's: see `waitingBytes`. */
  push(chunk: Uint8Array): void {
    if (this.#finished) return
    this.#chunks.push(chunk)
    this.#waitingBytes += chunk.length
    this.#serve()
  }

  /** What waits is still read; then the reader sees the end, or the failure. The first end counts. */
  finish(failure: Error | null = null): void {
    if (this.#finished) return
    this.#finished = true
    this.#failure = failure
    this.#serve()
  }

  /** Forgets the oldest chunks until no more than so much waits. */
  dropBeyond(bytesMax: number): void {
    while (this.#waitingBytes > bytesMax) this.#shift()
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    return {
      next: () => {
        this.#reader = Promise.withResolvers()
        const { promise } = this.#reader
        this.#serve()
        return promise
      },
      return: () => {
        this.#onLeft()
        return Promise.resolve({ done: true, value: undefined })
      },
    }
  }

  #serve(): void {
    const reader = this.#reader
    if (reader === null) return
    const chunk = this.#shift()
    if (chunk === undefined && !this.#finished) return
    this.#reader = null
    if (chunk !== undefined) {
      reader.resolve({ done: false, value: chunk })
      this.#onTaken()
      return
    }
    if (this.#failure === null) reader.resolve({ done: true, value: undefined })
    else reader.reject(this.#failure)
    this.#onLeft()
  }

  #shift(): Uint8Array | undefined {
    const chunk = this.#chunks.shift()
    this.#waitingBytes -= chunk?.length ?? 0
    return chunk
  }
}
