// The trail of hashes: what it remembers, and what it has forgotten.
import { describe, expect, it } from 'vitest'
import { HashTrail, trailEntriesMax } from '../../../src/cluster/hash-trail.ts'
import { digestOf, digestText } from '../../../src/state/canonical.ts'

const digest = (index: number) => digestOf(`state ${index}`)

describe('hash trail', () => {
  it('begins where it was reset', () => {
    const trail = new HashTrail()
    expect(trail.at(0)).toBeNull()
    trail.reset(7, digest(7))
    trail.note(8, digest(8))
    expect([trail.at(6), trail.at(7), trail.at(8), trail.at(9)]).toEqual([null, digestText(digest(7)), digestText(digest(8)), null])
    trail.reset(3, digest(3))
    expect([trail.at(3), trail.at(7), trail.at(8)]).toEqual([digestText(digest(3)), null, null])
  })

  it('forgets the oldest beyond its bound', () => {
    const trail = new HashTrail()
    trail.reset(1, digest(1))
    const last = trailEntriesMax + 10
    for (let index = 2; index <= last; index += 1) trail.note(index, digest(index))
    expect(trail.firstIndex).toBe(11)
    expect([trail.at(10), trail.at(11), trail.at(last)]).toEqual([null, digestText(digest(11)), digestText(digest(last))])
  })
})
