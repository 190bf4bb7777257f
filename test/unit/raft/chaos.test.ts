// Safety and liveness of the core under seeded faults: see network.ts for what is checked after every step.
import { describe, expect, test } from 'vitest'
import { runChaos } from './chaos.ts'

const faultKinds = ['campaign', 'change', 'crash', 'crashLeader', 'cutLink', 'forget', 'isolate', 'late', 'lose', 'regroup', 'reorder', 'repeat', 'transfer']
const firstSeed = Number(process.env['RAFT_SEED'] ?? 1)
const seeds = process.env['RAFT_SEED'] === undefined ? Number(process.env['RAFT_SEEDS'] ?? 150) : 1

describe('chaos', () => {
  test(`seeds ${firstSeed}..${firstSeed + seeds - 1}: election safety, log matching, leader completeness, state machine safety, reads, progress`, () => {
    const totals = { elections: 0, committed: 0, snapshots: 0, reads: 0, dropped: 0 }
    const faults: Record<string, number> = {}
    for (let seed = firstSeed; seed < firstSeed + seeds; seed += 1) {
      try {
        const report = runChaos({ seed, steps: 6000 })
        totals.elections += report.network.elections
        totals.committed += report.network.committedEntries.size
        totals.snapshots += report.network.snapshotsInstalled
        totals.reads += report.network.readsAnswered
        totals.dropped += report.network.readsDropped
        for (const [name, count] of Object.entries(report.faults)) faults[name] = (faults[name] ?? 0) + count
      } catch (error) {
        throw new Error(`RAFT_SEED=${seed}: ${(error as Error).message}`, { cause: error })
      }
    }
    process.stdout.write(`chaos: ${seeds} seeds ${JSON.stringify({ ...totals, faults })}\n`)
    // A run that does too little proves nothing.
    if (seeds >= 100) {
      expect(totals.elections).toBeGreaterThan(seeds * 2)
      expect(totals.committed).toBeGreaterThan(seeds * 20)
      expect(totals.snapshots).toBeGreaterThan(seeds / 10)
      expect(totals.reads).toBeGreaterThan(seeds)
      expect(Object.keys(faults).sort()).toEqual(faultKinds)
    }
  }, 60_000)
})
