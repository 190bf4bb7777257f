// The operating system's random source.
import { randomFillSync, randomInt } from 'node:crypto'
import type { Random } from '../../ports/clock.ts'

/** Asked for at once: a call costs as much as a thousand bytes. */
const pool = new Uint8Array(4096)
let taken = pool.length

export const systemRandom: Random = {
  integer: (boundExclusive) => randomInt(boundExclusive),
  bytes: (length) => {
    if (length > pool.length) return randomFillSync(new Uint8Array(length))
    if (taken + length > pool.length) {
      randomFillSync(pool)
      taken = 0
    }
    const bytes = pool.slice(taken, taken + length)
    // What was given out stays with the asker alone.
    pool.fill(0, taken, taken + length)
    taken += length
    return bytes
  },
}
