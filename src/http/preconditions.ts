// Request headers that say how a write is to be done: Idempotency-Key, If-Match, Prefer.
import { createHash } from 'node:crypto'
import type { WriteOptions } from '../app/face.ts'
import { OperationalError } from '../model/error.ts'

export const waitSecondsMax = 300

/** @throws INVALID, MALFORMED where a header does not fit */
export function writeOptionsOf(request: { readonly method: string; readonly url: () => URL; readonly headers: Headers; readonly signal: () => AbortSignal; readonly dryRun: boolean }, body: Uint8Array): WriteOptions {
  const idempotencyKey = idempotencyKeyOf(request.headers)
  // Only a key is compared with what it came with.
  const bodyHash = idempotencyKey === null ? '' : hashOf(request.method, request.url(), body)
  return {
    idempotencyKey, bodyHash, ifMatch: ifMatchOf(request.headers), dryRun: request.dryRun,
    waitSeconds: waitSecondsOf(request.headers),
    get signal() {
      return request.signal()
    },
  }
}

function hashOf(method: string, { pathname, search }: URL, body: Uint8Array): string {
  return createHash('sha256').update(`${method} ${pathname}${search}\n`).update(body).digest('hex')
}

function idempotencyKeyOf(headers: Headers): string | null {
  const key = headers.get('Idempotency-Key')
  if (key === null) return null
  if (!/^[\x21-\x7e]{1,255}$/.test(key)) {
    throw new OperationalError('INVALID', 'Idempotency-Key must be 1 to 255 visible ASCII characters.', { data: { fields: [{ path: 'Idempotency-Key', message: 'must be 1 to 255 visible ASCII characters' }] } })
  }
  return key
}

/** `*` asks only that the resource exists, which every update does anyway. */
function ifMatchOf(headers: Headers): number | null {
  const header = headers.get('If-Match')?.trim()
  if (header === undefined || header === '*') return null
  const revision = /^"(\d{1,15})"$/.exec(header)?.[1]
  if (revision === undefined) throw new OperationalError('MALFORMED', 'If-Match must be one ETag as an answer of ours gave it ("123"), or *.')
  return Number(revision)
}

/** RFC 7240: what is not understood is ignored. */
function waitSecondsOf(headers: Headers): number {
  const wait = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:[,;]|$)/i.exec(headers.get('Prefer') ?? '')?.[1]
  return wait === undefined ? 0 : Math.min(Number(wait), waitSecondsMax)
}
