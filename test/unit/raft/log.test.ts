// The log: appending, truncating, finding where two logs part, pages, compaction.
import { describe, expect, test } from 'vitest'
import { RaftAssertion } from '../../../src/raft/assertion.ts'
import { RaftLog, entryBytes } from '../../../src/raft/log.ts'
import { configurationOf, entriesOf } from './rig.ts'

const termsOf = (log: RaftLog): (number | null)[] => {
  const terms: (number | null)[] = []
  for (let index = log.firstIndex; index <= log.lastIndex; index += 1) terms.push(log.termAt(index))
  return terms
}

describe('maybeAppend', () => {
  test.each([
    { name: 'a gap is refused', prev: [4, 3], terms: [3], match: null, after: [1, 2, 3] },
    { name: 'another term is refused', prev: [3, 2], terms: [4], match: null, after: [1, 2, 3] },
    { name: 'new entries are appended', prev: [3, 3], terms: [4, 4], match: 5, after: [1, 2, 3, 4, 4] },
    { name: 'the beginning of the log matches always', prev: [0, 0], terms: [1], match: 1, after: [1, 2, 3] },
    { name: 'statement 14: a shorter append never shortens a matching log', prev: [1, 1], terms: [2], match: 2, after: [1, 2, 3] },
    { name: 'statement 14: an empty append never shortens', prev: [1, 1], terms: [], match: 1, after: [1, 2, 3] },
    { name: 'a conflict truncates from there on', prev: [1, 1], terms: [4], match: 2, after: [1, 4] },
    { name: 'a conflict behind matching entries', prev: [1, 1], terms: [2, 4, 4], match: 4, after: [1, 2, 4, 4] },
  ])('$name', ({ prev, terms, match, after }) => {
    const log = new RaftLog(null, entriesOf([1, 2, 3]))
    expect(log.maybeAppend(prev[0] as number, prev[1] as number, entriesOf(terms, (prev[0] as number) + 1))).toBe(match)
    expect(termsOf(log)).toEqual(after)
  })

  test('a committed entry is never truncated: an assertion stops the node', () => {
    const log = new RaftLog(null, entriesOf([1, 2, 3]))
    log.commitTo(2)
    expect(() => log.maybeAppend(1, 1, entriesOf([3], 2))).toThrow(RaftAssertion)
    expect(termsOf(log)).toEqual([1, 2, 3])
  })

  test('gaps and falling terms are refused by assertion', () => {
    const log = new RaftLog(null, entriesOf([1, 3]))
    expect(() => log.append(entriesOf([3], 4))).toThrow(RaftAssertion)
    expect(() => log.append(entriesOf([2], 3))).toThrow(RaftAssertion)
  })
})

describe('isUpToDate: statement 4, §5.4.1', () => {
  test.each([
    [4, 1, true], [4, 9, true], [3, 3, true], [3, 4, true], [3, 2, false], [2, 9, false],
  ])('against (3,3): (%d,%d) %s', (term, index, expected) => {
    expect(new RaftLog(null, entriesOf([1, 2, 3])).isUpToDate(term, index)).toBe(expected)
  })
})

describe('findConflictByTerm', () => {
  test.each([
    [[2, 2, 5, 5, 5], 100, 2, 2, 2], [[2, 2, 5, 5, 5], 5, 6, 5, 5], [[2, 2, 5, 5, 5], 5, 4, 2, 2],
    [[2, 2, 5, 5, 5], 4, 5, 4, 5], [[2, 2, 5, 5, 5], 5, 1, 0, 0],
  ])('%j index %d term %d: %d of term %d', (terms, index, term, expectedIndex, expectedTerm) => {
    expect(new RaftLog(null, entriesOf(terms)).findConflictByTerm(index, term)).toEqual({ index: expectedIndex, term: expectedTerm })
  })
})

describe('stability', () => {
  test('statement 16: an ack for entries overwritten meanwhile makes nothing stable', () => {
    const log = new RaftLog(null, [])
    log.append(entriesOf([1, 1, 1]))
    const handedOut = log.unstableEntries()
    log.maybeAppend(1, 1, entriesOf([2, 2], 2))
    const last = handedOut.at(-1)
    log.stableTo(last?.index ?? 0, last?.term ?? 0)
    expect(log.stable).toBe(0)
    expect(log.unstableEntries().map((entry) => entry.term)).toEqual([1, 2, 2])
  })
})

describe('pages and compaction', () => {
  test('a slice holds at least one entry and stays within the bytes', () => {
    const log = new RaftLog(null, entriesOf([1, 1, 1, 1]))
    const bytes = entryBytes(log.entryAt(1))
    expect(log.slice(1, 4, 1)).toHaveLength(1)
    expect(log.slice(1, 4, 2 * bytes)).toHaveLength(2)
    expect(log.slice(1, 4, Infinity)).toHaveLength(4)
    expect(log.bytes).toBe(4 * bytes)
  })

  test('compaction keeps the term at its index and the configuration as of it', () => {
    const log = new RaftLog({ index: 0, term: 0, configuration: configurationOf(['a']) }, entriesOf([1, 1, 2, 3]))
    log.commitTo(4)
    log.appliedTo(4)
    log.applyConfiguration(2, configurationOf(['a', 'b']))
    log.applyConfiguration(4, configurationOf(['a', 'b', 'c']))
    log.compact(3)
    expect(log.snapshot).toEqual({ index: 3, term: 2, configuration: configurationOf(['a', 'b']) })
    expect(log.configuration.voters).toEqual(['a', 'b', 'c'])
    expect([log.firstIndex, log.termAt(3), log.termAt(2)]).toEqual([4, 2, null])
    log.compact(1)
    expect(log.firstIndex).toBe(4)
    log.compact(4)
    expect([log.firstIndex, log.lastIndex, log.lastTerm, log.bytes]).toEqual([5, 4, 3, 0])
  })

  test('what is not applied cannot be compacted', () => {
    expect(() => new RaftLog(null, entriesOf([1, 1])).compact(1)).toThrow(RaftAssertion)
  })
})
