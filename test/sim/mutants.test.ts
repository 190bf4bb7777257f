// The simulator finds what it is there to find: every patch still fits the sources, and the bugs that show early are found by a few seeds.
import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { hunt, mutants } from './mutants.ts'

const seedsMax = 6
/** Found by one of the first seeds; `make mutants` hunts them all. */
const early: readonly string[] = ['words-before-sync', 'retry-applied-twice', 'old-term-committed', 'two-votes']

describe('planted bugs', () => {
  it('are at least twelve of the 44 statements, and each fits the sources', () => {
    expect(new Set(mutants().map(({ statement }) => statement)).size).toBeGreaterThan(12)
    for (const { name, path, statement, bug } of mutants()) {
      expect({ name, statement, bug }).toEqual({ name, statement: expect.stringMatching(/./) as unknown, bug: expect.stringMatching(/./) as unknown })
      const checked = spawnSync('git', ['apply', '--check', '--unsafe-paths', path], { cwd: new URL('../..', import.meta.url), encoding: 'utf8' })
      expect(checked.stderr, name).toBe('')
    }
  })

  it.each(mutants().filter(({ name }) => early.includes(name)))('$name is found', { timeout: 180_000 }, (mutant) => {
    const { seed, output } = hunt(mutant, { seeds: seedsMax, jobs: 2, limitMs: 170_000 })
    expect(seed, output).not.toBeNull()
  })
})
