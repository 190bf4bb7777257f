// Reads with an index are judged: each rule is kept once and broken once.
import { expect, test } from 'vitest'
import { checkIndexedReads, type IndexedRead } from '../../history/indexed-reads.ts'
import type { RegisterOperation } from '../../history/register.ts'

const wrote = (value: string, revision: number, end: number): RegisterOperation => ({
  client: 'a', input: { kind: 'write', register: 'x', value, ifMatch: null }, call: end - 1, return: end, output: { kind: 'done', revision },
})
const history = [wrote('v1', 11, 10), wrote('v2', 15, 20)]
const read = (changed: Partial<IndexedRead>): IndexedRead => ({
  node: 'node1', life: 'node1 7', register: 'x', call: 30, return: 31, index: 12, found: { value: 'v1', revision: 11 }, consistent: false, minIndex: null, ...changed,
})

test.each<readonly [string, readonly IndexedRead[]]>([
  ['old, and says so', [read({})]],
  ['newer than it says', [read({ found: { value: 'v2', revision: 15 } })]],
  ['before anything was there', [read({ index: 10, found: null })]],
  ['consistent', [read({ index: 15, found: { value: 'v2', revision: 15 }, consistent: true })]],
  ['consistent, beside the write', [read({ call: 20, consistent: true })]],
  ['another process is further', [read({ index: 20, found: { value: 'v2', revision: 15 } }), read({ life: 'node2 8', call: 40, return: 41 })]],
  ['two at once', [read({ index: 13 }), read({ call: 31, return: 32 })]],
])('good: %s', (_, reads) => expect(checkIndexedReads(history, reads)).toEqual([]))

test.each<readonly [string, readonly IndexedRead[], RegExp]>([
  ['older than it says', [read({ index: 15 })], /it was v2 at revision 15/],
  ['gone though it is there', [read({ index: 11, found: null })], /it was v1 at revision 11/],
  ['a value of another revision', [read({ found: { value: 'v9', revision: 11 } })], /others saw v1/],
  ['two values of one revision', [read({ index: 16, found: { value: 'v3', revision: 16 } }), read({ index: 16, found: { value: 'v4', revision: 16 } })], /others saw v3/],
  ['before the index that was asked for', [read({ minIndex: 13 })], /index 13 was asked for/],
  ['an index that falls', [read({ index: 13 }), read({ call: 40, return: 41 })], /had answered from 13/],
  ['consistent, but late', [read({ consistent: true })], /a write at 15 had been acknowledged/],
])('bad: %s', (_, reads, fault) => expect(checkIndexedReads(history, reads)).toEqual([expect.stringMatching(fault)]))
