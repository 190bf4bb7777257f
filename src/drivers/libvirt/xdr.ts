// XDR (RFC 4506) as libvirt's RPC uses it: big-endian words, strings and opaque data padded to four bytes.

/** libvirt's own bound on strings (capabilities and domain XML are the longest). */
const stringBytesMax = 4 * 1024 * 1024
const arrayLengthMax = 1024 * 1024

export class XdrError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'XdrError'
  }
}

/** Grows as it is written to; `finish` gives the bytes. */
export class XdrWriter {
  #buffer: Buffer
  #length = 0

  constructor(initialBytes = 256) {
    this.#buffer = Buffer.allocUnsafe(initialBytes)
  }

  uint(value: number): void {
    this.#reserve(4)
    this.#buffer.writeUInt32BE(value, this.#length)
    this.#length += 4
  }

  int(value: number): void {
    this.#reserve(4)
    this.#buffer.writeInt32BE(value, this.#length)
    this.#length += 4
  }

  uhyper(value: bigint): void {
    this.#reserve(8)
    this.#buffer.writeBigUInt64BE(value, this.#length)
    this.#length += 8
  }

  hyper(value: bigint): void {
    this.#reserve(8)
    this.#buffer.writeBigInt64BE(value, this.#length)
    this.#length += 8
  }

  double(value: number): void {
    this.#reserve(8)
    this.#buffer.writeDoubleBE(value, this.#length)
    this.#length += 8
  }

  /** Fixed-length opaque data. */
  opaque(bytes: Uint8Array): void {
    const padded = (bytes.length + 3) & ~3
    this.#reserve(padded)
    this.#buffer.set(bytes, this.#length)
    this.#buffer.fill(0, this.#length + bytes.length, this.#length + padded)
    this.#length += padded
  }

  string(text: string): void {
    const bytes = Buffer.from(text, 'utf8')
    if (bytes.length > stringBytesMax) throw new XdrError('a string is too long for libvirt')
    this.uint(bytes.length)
    this.opaque(bytes)
  }

  /** An optional string: libvirt's remote_string. */
  maybeString(text: string | null): void {
    this.uint(text === null ? 0 : 1)
    if (text !== null) this.string(text)
  }

  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes
    if (needed <= this.#buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2))
    this.#buffer.copy(grown, 0, 0, this.#length)
    this.#buffer = grown
  }
}

/** Reads what libvirt sent; every length is checked against what is there. @throws XdrError */
export class XdrReader {
  readonly #buffer: Buffer
  #at = 0

  constructor(buffer: Buffer) {
    this.#buffer = buffer
  }

  uint(): number {
    return this.#buffer.readUInt32BE(this.#take(4))
  }

  int(): number {
    return this.#buffer.readInt32BE(this.#take(4))
  }

  uhyper(): bigint {
    return this.#buffer.readBigUInt64BE(this.#take(8))
  }

  hyper(): bigint {
    return this.#buffer.readBigInt64BE(this.#take(8))
  }

  double(): number {
    return this.#buffer.readDoubleBE(this.#take(8))
  }

  opaque(length: number): Buffer {
    const at = this.#take((length + 3) & ~3)
    return this.#buffer.subarray(at, at + length)
  }

  string(): string {
    const length = this.uint()
    if (length > stringBytesMax) throw new XdrError('a string from libvirt is too long')
    return this.opaque(length).toString('utf8')
  }

  maybeString(): string | null {
    return this.maybe(() => this.string())
  }

  maybe<T>(read: () => T): T | null {
    return this.uint() === 0 ? null : read()
  }

  array<T>(read: () => T): T[] {
    const length = this.uint()
    if (length > arrayLengthMax || length * 4 > this.#buffer.length - this.#at) throw new XdrError('an array from libvirt is too long')
    const items: T[] = []
    for (let index = 0; index < length; index++) items.push(read())
    return items
  }

  get remaining(): number {
    return this.#buffer.length - this.#at
  }

  #take(bytes: number): number {
    const at = this.#at
    if (bytes > this.#buffer.length - at) throw new XdrError('a message from libvirt ends early')
    this.#at = at + bytes
    return at
  }
}
