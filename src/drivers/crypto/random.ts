// The operating system's random source.
import { randomBytes, randomInt } from 'node:crypto'
import type { Random } from '../../ports/clock.ts'

export const systemRandom: Random = {
  integer: (boundExclusive) => randomInt(boundExclusive),
  bytes: (length) => new Uint8Array(randomBytes(length)),
}
