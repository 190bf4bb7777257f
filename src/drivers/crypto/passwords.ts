// Password hashes by argon2id (RFC 9106), with a bound on how many are computed at once so that a flood of sign-ins costs no memory.
import { argon2, timingSafeEqual } from 'node:crypto'
import { OperationalError } from '../../model/error.ts'
import type { Random } from '../../ports/clock.ts'
import { systemRandom } from './random.ts'

/** About 70 ms and 32 MiB on the reference machine; above OWASP's least (19 MiB, 2 passes). */
export const passwordParameters = { memoryKib: 32 * 1024, passes: 3, parallelism: 1, saltBytes: 16, hashBytes: 32 } as const
/** At once: 2 × 32 MiB, and no more than half of libuv's four threads. */
const runningMax = 2
const waitingMax = 32
const retryAfterSeconds = 2
/** What a stored hash may ask of us. */
const limits = { memoryKib: 256 * 1024, passes: 16, parallelism: 4 } as const

export type PasswordHasher = {
  /** A PHC string `$argon2id$v=19$m=…,t=…,p=…$salt$hash`. @throws OVERLOADED */
  hash(password: string): Promise<string>
  /**
   * Null stands for a user who does not exist: it takes the same time and is false.
   * @throws OVERLOADED
   */
  verify(password: string, phc: string | null): Promise<boolean>
}

export function createPasswordHasher(random: Random = systemRandom): PasswordHasher {
  const turn = createTurnstile()
  const parameters: Parameters = { memoryKib: passwordParameters.memoryKib, passes: passwordParameters.passes, parallelism: passwordParameters.parallelism }
  return {
    async hash(password) {
      const salt = random.bytes(passwordParameters.saltBytes)
      const hash = await turn(() => derive(password, salt, passwordParameters.hashBytes, parameters))
      return renderPhc({ ...parameters, salt, hash })
    },
    async verify(password, phc) {
      const stored = phc === null ? null : parsePhc(phc)
      const salt = stored?.salt ?? new Uint8Array(passwordParameters.saltBytes)
      const expected = stored?.hash ?? new Uint8Array(passwordParameters.hashBytes)
      const actual = await turn(() => derive(password, salt, expected.length, stored ?? parameters))
      return timingSafeEqual(actual, expected) && stored !== null
    },
  }
}

type Parameters = { readonly memoryKib: number; readonly passes: number; readonly parallelism: number }
type Phc = Parameters & { readonly salt: Uint8Array; readonly hash: Uint8Array }

function derive(password: string, salt: Uint8Array, hashBytes: number, parameters: Parameters): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    argon2(
      'argon2id',
      {
        // NFC: the same password typed on another keyboard or system may come in another form (RFC 8265 §4.2).
        message: Buffer.from(password.normalize('NFC')), nonce: salt, parallelism: parameters.parallelism, tagLength: hashBytes,
        memory: parameters.memoryKib, passes: parameters.passes,
      },
      (error, key) => (error ? reject(error) : resolve(key)),
    )
  })
}

function renderPhc(phc: Phc): string {
  return `$argon2id$v=19$m=${phc.memoryKib},t=${phc.passes},p=${phc.parallelism}$${unpadded(phc.salt)}$${unpadded(phc.hash)}`
}

/** Null where it is none, or asks for more than we would spend. */
function parsePhc(text: string): Phc | null {
  const match = /^\$argon2id\$v=19\$m=(\d{1,9}),t=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/.exec(text)
  if (match === null) return null
  const [, memory, passes, parallelism, salt = '', hash = ''] = match
  const phc = { memoryKib: Number(memory), passes: Number(passes), parallelism: Number(parallelism), salt: Buffer.from(salt, 'base64'), hash: Buffer.from(hash, 'base64') }
  const fits = phc.memoryKib <= limits.memoryKib && phc.passes <= limits.passes && phc.parallelism <= limits.parallelism
  return fits && phc.passes >= 1 && phc.parallelism >= 1 && phc.memoryKib >= 8 * phc.parallelism ? phc : null
}

function unpadded(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64').replace(/=+$/, '')
}

/** Lets so many through at once; others wait in order, up to a bound. */
function createTurnstile(): <T>(work: () => Promise<T>) => Promise<T> {
  let running = 0
  const waiting: (() => void)[] = []
  return async (work) => {
    if (running >= runningMax) {
      if (waiting.length >= waitingMax) throw new OperationalError('OVERLOADED', 'Too many passwords are being checked at once; try again shortly.', { data: { retryAfterSeconds } })
      await new Promise<void>((resolve) => waiting.push(resolve))
    } else running++
    try {
      return await work()
    } finally {
      // The place passes to the next in line, so the count stays as it is.
      const next = waiting.shift()
      if (next === undefined) running--
      else next()
    }
  }
}
