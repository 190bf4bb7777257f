// Writing and reading of the primitive values in our binary frames: bytes, varints up to 2^53 - 1, short strings, blobs.
import { Malformed } from './malformed.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

/** Grows as needed; `finish` hands the bytes out without copying. */
export class BinaryWriter {
  #bytes: Buffer
  #at = 0

  constructor(capacityBytes = 256) {
    this.#bytes = Buffer.allocUnsafeSlow(capacityBytes)
  }

  get length(): number {
    return this.#at
  }

  byte(value: number): void {
    this.#reserve(1)
    this.#bytes[this.#at++] = value
  }

  boolean(value: boolean): void {
    this.byte(value ? 1 : 0)
  }

  u32(value: number): void {
    this.#reserve(4)
    this.#at = this.#bytes.writeUInt32LE(value, this.#at)
  }

  /** Overwrites four bytes written before; used for lengths known only afterwards. */
  patchU32(at: number, value: number): void {
    this.#bytes.writeUInt32LE(value, at)
  }

  /** LEB128 of a safe non-negative integer, at most 8 bytes. */
  varint(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not a safe non-negative integer: ${value}`)
    this.#reserve(8)
    let rest = value
    while (rest >= 128) {
      this.#bytes[this.#at++] = (rest % 128) | 128
      rest = Math.floor(rest / 128)
    }
    this.#bytes[this.#at++] = rest
  }

  text(value: string): void {
    this.blob(encoder.encode(value))
  }

  blob(value: Uint8Array): void {
    this.varint(value.length)
    this.raw(value)
  }

  raw(value: Uint8Array): void {
    this.#reserve(value.length)
    this.#bytes.set(value, this.#at)
    this.#at += value.length
  }

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#at)
  }

  #reserve(count: number): void {
    if (this.#at + count <= this.#bytes.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#at + count))
    this.#bytes.copy(grown, 0, 0, this.#at)
    this.#bytes = grown
  }
}

/** Reads what BinaryWriter wrote; every method throws Malformed instead of reading past the end. */
export class BinaryReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get remaining(): number {
    return this.#bytes.length - this.#at
  }

  byte(): number {
    if (this.remaining < 1) throw new Malformed('the frame ends too early')
    return this.#bytes[this.#at++]!
  }

  boolean(): boolean {
    const value = this.byte()
    if (value > 1) throw new Malformed('a boolean is neither 0 nor 1')
    return value === 1
  }

  u32(): number {
    const bytes = this.raw(4)
    return (bytes[0]! | (bytes[1]! << 8) | (bytes[2]! << 16) | (bytes[3]! << 24)) >>> 0
  }

  varint(): number {
    let value = 0
    let factor = 1
    for (let count = 0; count < 8; count++) {
      const byte = this.byte()
      value += (byte & 127) * factor
      if (byte < 128) {
        if (!Number.isSafeInteger(value)) break
        return value
      }
      factor *= 128
    }
    throw new Malformed('a number is too big')
  }

  text(bytesMax: number): string {
    const bytes = this.#view(bytesMax)
    try {
      return decoder.decode(bytes)
    } catch {
      throw new Malformed('a text is not UTF-8')
    }
  }

  /** A copy, so that a small value does not keep the network's big buffer alive. */
  blob(bytesMax: number): Uint8Array {
    return new Uint8Array(this.#view(bytesMax))
  }

  /** A view of the next bytes. */
  raw(count: number): Uint8Array {
    if (count > this.remaining) throw new Malformed('the frame ends too early')
    const bytes = this.#bytes.subarray(this.#at, this.#at + count)
    this.#at += count
    return bytes
  }

  /** All that is left, copied. */
  rest(): Uint8Array {
    return new Uint8Array(this.raw(this.remaining))
  }

  end(): void {
    if (this.remaining !== 0) throw new Malformed('the frame has bytes left over')
  }

  #view(bytesMax: number): Uint8Array {
    const length = this.varint()
    if (length > bytesMax) throw new Malformed(`a value has ${length} bytes, at most ${bytesMax} are allowed`)
    return this.raw(length)
  }
}
