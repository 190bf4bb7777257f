// JSON merge patch: the examples of RFC 7386, and members that are special to JavaScript only.
import { expect, test } from 'vitest'
import { mergePatch } from '../../../src/state/merge-patch.ts'

test.each<[unknown, unknown, unknown]>([
  [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
  [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
  [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
  [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
  [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
  [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
  [['a', 'b'], ['c', 'd'], ['c', 'd']],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [[1, 2], { a: 'b', c: null }, { a: 'b' }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
])('%j with %j', (target, patch, merged) => {
  expect(mergePatch(target, patch)).toEqual(merged)
})

test('a member named __proto__ stays a member, so that it is refused as unknown', () => {
  const merged = mergePatch({ spec: { cpus: 1 } }, JSON.parse('{"spec": {"__proto__": {"memoryMiB": 4096}}}')) as { readonly spec: object }
  expect(Object.getPrototypeOf(merged.spec)).toBe(Object.prototype)
  expect(Object.keys(merged.spec)).toEqual(['cpus', '__proto__'])
})
