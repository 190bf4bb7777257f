// Quorum arithmetic: tables, and every answer against one found by brute force.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { committedIndex, voteResult } from '../../../src/raft/quorum.ts'
import { configurationOf } from './rig.ts'

const indexes = (text: string): Map<string, number> =>
  new Map(text.split(' ').filter(Boolean).map((pair) => [pair.slice(0, 1), Number(pair.slice(1))]))
const votes = (text: string): Map<string, boolean> =>
  new Map(text.split(' ').filter(Boolean).map((pair) => [pair.slice(0, 1), pair.endsWith('+')]))

describe('committedIndex', () => {
  test.each([
    ['', '', '', Infinity],
    ['a', '', '', 0],
    ['a', '', 'a12', 12],
    ['ab', '', 'a12', 0],
    ['ab', '', 'a12 b5', 5],
    ['abc', '', 'a12', 0],
    ['abc', '', 'a12 b5', 5],
    ['abc', '', 'a12 b5 c6', 6],
    ['abcd', '', 'a10 b10 c5 d5', 5],
    ['abcde', '', 'a5 b4 c3 d2 e1', 3],
    ['abc', 'd', 'a12 b5 c6 d3', 3],
    ['abc', 'cde', 'a9 b9 c1 d8 e7', 7],
    ['a', 'bcd', 'a100 b1 c2 d3', 2],
    ['abc', '', 'a3 b3 x9 y9', 3],
  ])('voters %s outgoing %s acked %s: %d', (voters, outgoing, acked, expected) => {
    const configuration = configurationOf([...voters], { votersOutgoing: [...outgoing] })
    expect(committedIndex(configuration, indexes(acked))).toBe(expected)
  })

  test('equals the highest index that more than half of each half acknowledges', () => {
    const half = fc.uniqueArray(fc.constantFrom(...'abcdefg'), { minLength: 1, maxLength: 7 })
    const acks = fc.dictionary(fc.constantFrom(...'abcdefg'), fc.nat(9))
    fc.assert(
      fc.property(half, fc.oneof(half, fc.constant([])), acks, (voters, votersOutgoing, record) => {
        const acked = new Map(Object.entries(record))
        const holds = (index: number): boolean =>
          [voters, votersOutgoing].every(
            (ids) => ids.length === 0 || ids.filter((id) => (acked.get(id) ?? 0) >= index).length * 2 > ids.length,
          )
        const expected = [9, 8, 7, 6, 5, 4, 3, 2, 1, 0].find(holds)
        expect(committedIndex(configurationOf(voters, { votersOutgoing }), acked)).toBe(expected)
      }),
    )
  })
})

describe('voteResult', () => {
  test.each([
    ['', '', '', 'won'],
    ['a', '', '', 'pending'],
    ['a', '', 'a+', 'won'],
    ['a', '', 'a-', 'lost'],
    ['ab', '', 'a+', 'pending'],
    ['ab', '', 'a-', 'lost'],
    ['abc', '', 'a+ b+', 'won'],
    ['abc', '', 'a+ b-', 'pending'],
    ['abc', '', 'a- b-', 'lost'],
    ['abcd', '', 'a+ b+ c-', 'pending'],
    ['abcd', '', 'a+ b+ c- d-', 'lost'],
    ['abc', 'cde', 'a+ b+', 'pending'],
    ['abc', 'cde', 'a+ b+ d- e-', 'lost'],
    ['abc', 'cde', 'a+ b+ d+ e+', 'won'],
    ['abc', '', 'x+ y+ z+', 'pending'],
  ])('voters %s outgoing %s votes %s: %s', (voters, outgoing, given, expected) => {
    const configuration = configurationOf([...voters], { votersOutgoing: [...outgoing] })
    expect(voteResult(configuration, votes(given))).toBe(expected)
  })
})
