// The binary form of Raft messages: what is written is read back, and no bytes whatsoever do more than be refused.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BinaryReader, BinaryWriter } from '../../../src/p2p/binary.ts'
import { Malformed } from '../../../src/p2p/malformed.ts'
import { decodeMessage, encodeMessage, messageBytes } from '../../../src/p2p/message-codec.ts'
import type { Message } from '../../../src/raft/types.ts'

const ordinalMax = 2 ** 48 - 1
const number = fc.integer({ min: 0, max: ordinalMax })
const small = fc.integer({ min: 0, max: 1_000_000 })
const id = fc.string({ unit: 'grapheme', maxLength: 20 })
const bytes = fc.uint8Array({ maxLength: 300 })
const ids = fc.array(id, { maxLength: 5 })
const envelope = { from: id, to: id, term: number }
const entries = fc.array(fc.record({ kind: fc.constantFrom('normal' as const, 'config' as const), data: bytes }), { maxLength: 6 })

const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ ...envelope, kind: fc.constantFrom('vote' as const, 'preVote' as const), lastIndex: number, lastTerm: number, transfer: fc.boolean() }),
  fc.record({ ...envelope, kind: fc.constantFrom('voteResponse' as const, 'preVoteResponse' as const), reject: fc.boolean() }),
  fc
    .record({ ...envelope, prevIndex: small, commit: number, entries, terms: fc.array(number, { minLength: 8, maxLength: 8 }) })
    .map(({ terms, entries, ...parts }) => {
      const [prevTerm = 0, ...rest] = terms.toSorted((left, right) => left - right)
      const term = rest.at(-1) ?? 0
      return { ...parts, term, prevTerm, kind: 'append' as const, entries: entries.map((entry, at) => ({ index: parts.prevIndex + 1 + at, term: rest[at] ?? term, ...entry })) }
    }),
  fc.record({ ...envelope, kind: fc.constant('appendResponse' as const), index: number, reject: fc.boolean(), hintIndex: number, hintTerm: number }),
  fc.record({ ...envelope, kind: fc.constant('heartbeat' as const), commit: number, context: id }),
  fc.record({ ...envelope, kind: fc.constant('heartbeat' as const), commit: number, context: id, leaseMs: fc.integer({ min: 1, max: 600_000 }) }),
  fc.record({ ...envelope, kind: fc.constant('heartbeatResponse' as const), context: id, promise: fc.boolean() }),
  fc.record({ ...envelope, kind: fc.constant('readIndex' as const), context: id }),
  fc.record({ ...envelope, kind: fc.constantFrom('timeoutNow' as const, 'forget' as const) }),
  fc.record({ ...envelope, kind: fc.constant('transferLeader' as const), transferee: id }),
  fc.record({ ...envelope, kind: fc.constant('readIndexResponse' as const), context: id, index: number, reject: fc.boolean() }),
  fc
    .record({ ...envelope, index: number, snapshotTerm: number, voters: ids, votersOutgoing: ids, learners: ids, learnersNext: ids, autoLeave: fc.boolean() })
    .map(({ from, to, term, index, snapshotTerm, ...configuration }) => ({ kind: 'snapshot' as const, from, to, term, snapshot: { index, term: snapshotTerm, configuration, data: new Uint8Array(0) } })),
)

function encoded(value: Message): Uint8Array {
  const writer = new BinaryWriter(16)
  encodeMessage(value, writer)
  return new Uint8Array(writer.finish())
}

function refusedOrRead(input: Uint8Array): void {
  try {
    decodeMessage(input)
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
  }
}

describe('message codec', () => {
  test('an answer to a heartbeat without a promise is what peers of before lease reads know', () => {
    const answer = { kind: 'heartbeatResponse' as const, from: 'a', to: 'b', term: 3, context: 'c' }
    const before = Uint8Array.of(7, 1, 97, 1, 98, 3, 1, 99)
    expect(encoded({ ...answer, promise: false })).toEqual(before)
    expect(decodeMessage(before)).toEqual({ ...answer, promise: false })
    expect(encoded({ ...answer, promise: true })).toEqual(Uint8Array.of(...before, 1))
    expect(() => decodeMessage(Uint8Array.of(...before, 0))).toThrow(Malformed)
  })

  test('reads back what it wrote, in no more bytes than estimated', () => {
    fc.assert(
      fc.property(message, (value) => {
        const bytesWritten = encoded(value)
        expect(decodeMessage(bytesWritten)).toEqual(value)
        if (value.kind === 'append') expect(bytesWritten.length).toBeLessThanOrEqual(messageBytes(value) + 2 * 80)
      }),
      { numRuns: 2000 },
    )
  })

  test('refuses every prefix and every longer form', () => {
    fc.assert(
      fc.property(message, fc.nat(), (value, cut) => {
        const whole = encoded(value)
        // A lease's length and a promise are what may be left out.
        const shorter = value.kind === 'heartbeatResponse' ? { ...value, promise: false } : value.kind === 'heartbeat' ? { ...value, leaseMs: 0 } : value
        const least = encoded(shorter).length
        if (least < whole.length && cut % whole.length === least) expect(encoded(decodeMessage(whole.subarray(0, least)))).toEqual(encoded(shorter))
        else expect(() => decodeMessage(whole.subarray(0, cut % whole.length))).toThrow(Malformed)
        expect(() => decodeMessage(Uint8Array.from([...whole, 0]))).toThrow(Malformed)
      }),
      { numRuns: 500 },
    )
  })

  test('no damage and no garbage does more than be refused', () => {
    fc.assert(
      fc.property(message, fc.nat(), fc.integer({ min: 0, max: 255 }), (value, at, byte) => {
        const damaged = encoded(value)
        damaged[at % damaged.length] = byte
        refusedOrRead(damaged)
      }),
      { numRuns: 5000 },
    )
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), refusedOrRead), { numRuns: 5000 })
  })

  test('a count that promises more than there is allocates nothing of that size', () => {
    const writer = new BinaryWriter()
    encodeMessage({ kind: 'append', from: 'a', to: 'b', term: 1, prevIndex: 0, prevTerm: 0, commit: 0, entries: [] }, writer)
    const promising = Uint8Array.from([...writer.finish().subarray(0, -1), 0xff, 0xff, 0x05])
    expect(() => decodeMessage(promising)).toThrow(Malformed)
    const tooMany = Uint8Array.from([...writer.finish().subarray(0, -1), 0xff, 0xff, 0xff, 0x7f])
    expect(() => decodeMessage(tooMany)).toThrow('too many entries')
  })

  test('what would break the log of whoever takes it in is refused', () => {
    const append = (term: number, prevTerm: number, terms: readonly number[]): Message => ({
      kind: 'append', from: 'a', to: 'b', term, prevIndex: 4, prevTerm, commit: 0, entries: terms.map((each, at) => ({ index: 5 + at, term: each, kind: 'normal', data: new Uint8Array(0) })),
    })
    expect(decodeMessage(encoded(append(3, 1, [1, 2, 2, 3]))).kind).toBe('append')
    for (const wrong of [append(3, 1, [1, 2, 1]), append(3, 2, [1]), append(3, 1, [4])]) expect(() => decodeMessage(encoded(wrong))).toThrow('the terms of an append are in no order')
    const heartbeat = { kind: 'heartbeat', from: 'a', to: 'b', commit: 0, context: '' } as const
    expect(decodeMessage(encoded({ ...heartbeat, term: ordinalMax })).term).toBe(ordinalMax)
    expect(() => decodeMessage(encoded({ ...heartbeat, term: ordinalMax + 1 }))).toThrow('too big')
    expect(() => decodeMessage(encoded({ ...heartbeat, term: 1, commit: ordinalMax + 1 }))).toThrow('too big')
  })

  test('entry data is a copy: it does not keep the frame alive', () => {
    const frame = encoded({ kind: 'append', from: 'a', to: 'b', term: 1, prevIndex: 0, prevTerm: 0, commit: 0, entries: [{ index: 1, term: 1, kind: 'normal', data: Uint8Array.of(1, 2, 3) }] })
    const read = decodeMessage(frame)
    frame.fill(0)
    expect(read.kind === 'append' && read.entries[0]?.data).toEqual(Uint8Array.of(1, 2, 3))
    expect(read.kind === 'append' && read.entries[0]?.data.buffer.byteLength).toBe(3)
  })
})

describe('varint', () => {
  test.each([0, 1, 127, 128, 16_383, 16_384, 2 ** 32, Number.MAX_SAFE_INTEGER])('%d', (value) => {
    const writer = new BinaryWriter(1)
    writer.varint(value)
    expect(new BinaryReader(writer.finish()).varint()).toBe(value)
  })

  test('beyond 2^53 - 1 is refused both ways', () => {
    expect(() => new BinaryWriter().varint(2 ** 53)).toThrow(RangeError)
    expect(() => new BinaryWriter().varint(-1)).toThrow(RangeError)
    expect(() => new BinaryReader(Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 127)).varint()).toThrow(Malformed)
    expect(() => new BinaryReader(new Uint8Array(9).fill(255)).varint()).toThrow(Malformed)
  })
})
