// Bytes between a socket, which gives them in small pieces as they come, and a file, which takes them in large ones: a few buffers that go round, and never more of them.

export type BlockSizes = {
  readonly blocksMax: number
  /** A block is handed on when it has so much. */
  readonly blockBytes: number
  /** What may still come after the giver was told to stop. */
  readonly slackBytes: number
}
type Block = { readonly buffer: Buffer; length: number }

/**
 *   free ──> filling ──> full ──> lent ──> free
 *
 * Nothing is allocated but the blocks, each when it is first needed.
 */
export class BlockQueue {
  readonly #sizes: BlockSizes
  readonly #onRoom: () => void
  readonly #free: Block[] = []
  readonly #full: Block[] = []
  #blocks = 0
  #filling: Block | null
  #lent: Block | null = null
  #end: { readonly fault: Error | null } | null = null
  #wake: (() => void) | null = null

  /** @param onRoom called when bytes may come again after `put` said that there is no room; at least two blocks */
  constructor(sizes: BlockSizes, onRoom: () => void) {
    if (sizes.blocksMax < 2) throw new RangeError('one block is lent, another has to be there for what comes')
    this.#sizes = sizes
    this.#onRoom = onRoom
    this.#filling = this.#another()
  }

  /**
   * Copies the bytes of `source` from `from` up to `to`.
   * @returns whether more may come now
   * @throws RangeError where more came than the slack holds
   */
  put(source: Buffer, from: number, to: number): boolean {
    // Without one to fill, what was under way already goes into the slack of the last.
    const block = this.#filling ?? this.#full.at(-1)!
    if (block.length + to - from > block.buffer.length) throw new RangeError('it did not stop when it was told to')
    source.copy(block.buffer, block.length, from, to)
    block.length += to - from
    if (this.#filling !== null && block.length >= this.#sizes.blockBytes) {
      this.#full.push(block)
      this.#filling = this.#another()
      this.#wake?.()
    }
    return this.#filling !== null
  }

  /** Nothing more comes. The first call counts. @param fault thrown by `next` after what came before it */
  end(fault: Error | null): void {
    this.#end ??= { fault }
    this.#wake?.()
  }

  /** The next bytes, valid until it is called again, which is done by one caller at a time; null at the end. */
  async next(): Promise<Uint8Array | null> {
    this.#takeBack()
    if (this.#full.length === 0 && this.#end === null) {
      await new Promise<void>((resolve) => (this.#wake = resolve))
      this.#wake = null
    }
    const block = this.#full.shift() ?? this.#rest()
    if (block !== null) {
      this.#lent = block
      return block.buffer.subarray(0, block.length)
    }
    const fault = this.#end?.fault ?? null
    if (fault !== null) throw fault
    return null
  }

  #takeBack(): void {
    if (this.#lent === null) return
    this.#lent.length = 0
    this.#free.push(this.#lent)
    this.#lent = null
    if (this.#filling !== null || this.#end !== null) return
    this.#filling = this.#another()
    this.#onRoom()
  }

  /** What is left at the end. */
  #rest(): Block | null {
    const block = this.#filling
    this.#filling = null
    return block === null || block.length === 0 ? null : block
  }

  #another(): Block | null {
    const block = this.#free.pop()
    if (block !== undefined) return block
    if (this.#blocks === this.#sizes.blocksMax) return null
    this.#blocks++
    return { buffer: Buffer.allocUnsafeSlow(this.#sizes.blockBytes + this.#sizes.slackBytes), length: 0 }
  }
}
