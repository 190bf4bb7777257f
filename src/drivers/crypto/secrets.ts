// Random secrets that people and programs carry: API tokens, join tokens, passwords; their digests and comparison.
import { createHash, timingSafeEqual } from 'node:crypto'
import { OperationalError } from '../../model/error.ts'
import { apiTokenPrefix, joinTokenContentSchema, joinTokenPrefix, type JoinTokenContent } from '../../model/token.ts'
import type { Random } from '../../ports/clock.ts'
import { systemRandom } from './random.ts'

const secretBytes = 32
/** A join token names at most so many addresses; far longer text is not looked at. */
const joinTokenCharactersMax = 8192

/** `nct_` and 256 random bits. */
export function createApiTokenSecret(random: Random = systemRandom): string {
  return apiTokenPrefix + Buffer.from(random.bytes(secretBytes)).toString('base64url')
}

/** 256 random bits, base64url: a join token's secret, a session's CSRF token. */
export function createSecret(random: Random = systemRandom): string {
  return Buffer.from(random.bytes(secretBytes)).toString('base64url')
}

export function encodeJoinToken(content: JoinTokenContent): string {
  return joinTokenPrefix + Buffer.from(JSON.stringify(content)).toString('base64url')
}

/** @throws TOKEN_INVALID where the text is no join token; the message holds no part of it */
export function parseJoinToken(text: string): JoinTokenContent {
  try {
    if (!text.startsWith(joinTokenPrefix) || text.length > joinTokenCharactersMax) throw new TypeError('not shaped like a join token')
    return joinTokenContentSchema.parse(JSON.parse(Buffer.from(text.slice(joinTokenPrefix.length), 'base64url').toString()))
  } catch {
    // No cause: it could quote the secret.
    throw new OperationalError('TOKEN_INVALID', `This is no join token: one begins with ${joinTokenPrefix} and is made by "novacron cluster token create".`)
  }
}

/** Lower-case hex. */
export function sha256Hex(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}

/** Compares without telling by its time where, or whether by length, the texts differ. */
export function equalSecrets(left: string, right: string): boolean {
  return timingSafeEqual(createHash('sha256').update(left).digest(), createHash('sha256').update(right).digest())
}

/** Thirty-two letters and digits that are not mistaken for one another. */
const readableAlphabet = 'abcdefghijkmnpqrstuvwxyz23456789'
const readableGroups = 5
const readableGroupLength = 4

/** A password one can read out: `k7mq-…`, 100 random bits. */
export function createReadablePassword(random: Random = systemRandom): string {
  const groups: string[] = []
  for (let group = 0; group < readableGroups; group++) {
    let text = ''
    for (let at = 0; at < readableGroupLength; at++) text += readableAlphabet[random.integer(readableAlphabet.length)]
    groups.push(text)
  }
  return groups.join('-')
}
