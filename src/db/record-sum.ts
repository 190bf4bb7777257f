// A checksum over all records of a database, kept up to date with every write: LevelDB drops damaged parts in silence, this does not.
import { crc32 } from 'node:zlib'

const modulus = 2 ** 48

export type RecordSum = { readonly count: number; readonly sum: number }

/** Order does not matter, so it can be checked against whatever an iterator yields. Holds 4 bytes and the key for each record. */
export class RecordSums {
  readonly #crcs = new Map<string, number>()
  #sum = 0

  set(key: string, value: string): void {
    const former = this.#crcs.get(key) ?? 0
    const crc = crc32(`${key}\0${value}`)
    this.#crcs.set(key, crc)
    this.#sum = (this.#sum - former + crc + modulus) % modulus
  }

  delete(key: string): void {
    const crc = this.#crcs.get(key)
    if (crc === undefined) return
    this.#crcs.delete(key)
    this.#sum = (this.#sum - crc + modulus) % modulus
  }

  get value(): RecordSum {
    return { count: this.#crcs.size, sum: this.#sum }
  }

  equals(other: RecordSum): boolean {
    return other.count === this.#crcs.size && other.sum === this.#sum
  }
}
