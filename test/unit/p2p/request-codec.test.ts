// Frames of the request stream: round trips, garbage, and faults that survive the way.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { OperationalError } from '../../../src/model/error.ts'
import { Malformed } from '../../../src/p2p/malformed.ts'
import { decodeRequestFrame, encodeRequestFrame, errorFrame, errorOfFrame, type RequestFrame } from '../../../src/p2p/request-codec.ts'

const id = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const frame: fc.Arbitrary<RequestFrame> = fc.oneof(
  fc.record({ kind: fc.constant('request' as const), id, method: fc.string({ maxLength: 30 }), body: fc.uint8Array() }),
  fc.record({ kind: fc.constant('answer' as const), id, body: fc.uint8Array() }),
  fc.record({ kind: fc.constant('error' as const), id, code: fc.string({ maxLength: 20 }), message: fc.string(), dataJson: fc.json() }),
  fc.record({ kind: fc.constantFrom('ping' as const, 'pong' as const), id }),
)

describe('request frames', () => {
  test('are read back as written', () => {
    fc.assert(
      fc.property(frame, (value) => {
        expect(decodeRequestFrame(new Uint8Array(encodeRequestFrame(value)))).toEqual(value)
      }),
    )
  })

  test('garbage is refused as malformed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        try {
          decodeRequestFrame(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(Malformed)
        }
      }),
      { numRuns: 3000 },
    )
  })
})

describe('faults', () => {
  const there = (error: OperationalError) => {
    const decoded = decodeRequestFrame(encodeRequestFrame(errorFrame(1, error)))
    if (decoded.kind !== 'error') throw new Error('not an error frame')
    return errorOfFrame(decoded)
  }

  test('keep code, message and data', () => {
    const error = there(new OperationalError('LIMIT_REACHED', 'No more.', { data: { retryAfterSeconds: 3, limit: 10 } }))
    expect([error.code, error.message, error.data]).toEqual(['LIMIT_REACHED', 'No more.', { retryAfterSeconds: 3, limit: 10 }])
  })

  test('lose data that is too long, and the end of a message that is too long', () => {
    const error = there(new OperationalError('INVALID', 'x'.repeat(50_000), { data: { blob: 'y'.repeat(100_000) } }))
    expect([error.message.length, error.data]).toEqual([1001, {}])
  })

  test('of an unknown code are OUTCOME_UNKNOWN, and data of another shape is dropped', () => {
    const error = errorOfFrame({ code: 'FROM_THE_FUTURE', message: 'm', dataJson: '{"fields": "no list"}' })
    expect([error.code, error.data]).toEqual(['OUTCOME_UNKNOWN', {}])
    expect(errorOfFrame({ code: 'INVALID', message: 'm', dataJson: '{' }).data).toEqual({})
  })
})
