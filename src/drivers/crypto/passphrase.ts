// A key from a passphrase that a person keeps, by argon2id (RFC 9106): what a backup is encrypted under.
import { argon2 } from 'node:crypto'
import type { PassphraseParameters } from '../../model/backup.ts'
import type { Random } from '../../ports/clock.ts'
import { systemRandom } from './random.ts'

const keyBytes = 32
const saltBytes = 16

/** RFC 9106 §4, the second recommended: more than for a password, for a file can be tried at leisure and is opened seldom. */
export function passphraseParameters(random: Random = systemRandom): PassphraseParameters {
  return { function: 'argon2id', memoryKib: 64 * 1024, passes: 3, parallelism: 4, salt: Buffer.from(random.bytes(saltBytes)).toString('base64url') }
}

export function passphraseKey(passphrase: string, parameters: PassphraseParameters): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    argon2(
      'argon2id',
      {
        // NFC: the same words typed elsewhere may come in another form (RFC 8265 §4.2).
        message: Buffer.from(passphrase.normalize('NFC')), nonce: Buffer.from(parameters.salt, 'base64url'), tagLength: keyBytes,
        parallelism: parameters.parallelism, memory: parameters.memoryKib, passes: parameters.passes,
      },
      (error, key) => (error ? reject(error) : resolve(new Uint8Array(key))),
    )
  })
}
