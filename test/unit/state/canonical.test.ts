// The digest of values: members in any order, and the same figures for ever, as nodes compare and store them.
import { expect, test } from 'vitest'
import { digestOf, digestText, digestVersion } from '../../../src/state/canonical.ts'

const told: readonly (readonly [unknown, string])[] = [
  [null, '36deb503566e3e91'],
  [true, '96a0f96b9e3a3033'],
  [false, 'b4421bbbd71d92ed'],
  [0, '774f5f4f973cf0cf'],
  [-0, '774f5f4f973cf0cf'],
  [1.5, '3b9c296bf4a6351c'],
  [-7, 'e6426de6e18bcb36'],
  [2 ** 60, 'e4b5415d9abf39fa'],
  ['', 'ed81ded3c814eb9a'],
  ['ü€😀', '2364d0689094551e'],
  [[], '7aae1acea118f1d9'],
  [{}, '582531c13a2bd004'],
  [[[], [1, [2]]], '8f3649d64a9de3f7'],
  [{ a: undefined, b: { c: [] } }, '2416d6821755a677'],
  [{ b: 1, a: 2 }, '3c941beda6da9cae'],
  [{ a: 2, b: 1 }, '3c941beda6da9cae'],
]

test('is what it was with the first release of its version', () => {
  expect(digestVersion).toBe(1)
  expect(told.map(([value]) => digestText(digestOf(value)))).toEqual(told.map(([, text]) => text))
})
