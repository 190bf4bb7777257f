// Chance from a seed: the same seed gives the same numbers (sfc32, after Chris Doty-Humphrey's PractRand).
import type { Random } from '../../src/ports/clock.ts'

export class SimRandom implements Random {
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: number, stream = 0) {
    this.#a = 0
    this.#b = seed | 0
    this.#c = stream | 0
    for (let round = 0; round < 15; round += 1) this.#next()
  }

  integer(boundExclusive: number): number {
    return Math.floor(this.real() * boundExclusive)
  }

  /** In [0, 1), of 53 bits. */
  real(): number {
    return ((this.#next() >>> 5) * 67_108_864 + (this.#next() >>> 6)) / 9_007_199_254_740_992
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    for (let at = 0; at < length; at += 1) bytes[at] = this.#next() & 0xff
    return bytes
  }

  chance(probability: number): boolean {
    return this.real() < probability
  }

  /** An integer in [from, to]. */
  between(from: number, to: number): number {
    return from + this.integer(to - from + 1)
  }

  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError('nothing to pick from')
    return items[this.integer(items.length)] as T
  }

  shuffle<T>(items: readonly T[]): T[] {
    const shuffled = [...items]
    for (let at = shuffled.length - 1; at > 0; at -= 1) {
      const other = this.integer(at + 1)
      const held = shuffled[at] as T
      shuffled[at] = shuffled[other] as T
      shuffled[other] = held
    }
    return shuffled
  }

  /** Numbers of its own, which do not depend on how often this one is asked later. */
  fork(): SimRandom {
    return new SimRandom(this.#next(), this.#next())
  }

  #next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum | 0
    return sum >>> 0
  }
}
