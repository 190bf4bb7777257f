// The simulator itself: a seed holds, repeats exactly, and is refused when it did too little.
import { describe, expect, it } from 'vitest'
import { commandsOf, faultsOf, minimum, renderTotals, shortcoming } from './report.ts'
import { runSeed } from './seed.ts'

const seed = 1

describe('a seed', () => {
  it('holds, does enough, and repeats to the last event', async () => {
    const first = await runSeed(seed, { onNote: undefined })
    expect(first.failure).toBeNull()
    expect(commandsOf(first)).toBeGreaterThanOrEqual(minimum.commands)
    expect(faultsOf(first)).toBeGreaterThanOrEqual(minimum.faults)
    const second = await runSeed(seed, { onNote: undefined })
    expect({ ...second, wallMs: 0 }).toEqual({ ...first, wallMs: 0 })
    const other = await runSeed(seed + 1, { onNote: undefined })
    expect(other.failure).toBeNull()
    expect(other.traceHash).not.toBe(first.traceHash)
    for (const [name, least] of Object.entries(minimum)) {
      const less = { ...first, faults: name === 'faults' ? {} : first.faults, commands: name === 'commands' ? { acknowledged: least - 1, refused: 0, notDone: 0, unknown: 0 } : first.commands }
      const poor = name === 'faults' || name === 'commands' ? less : { ...less, [name]: least - 1 }
      expect(shortcoming(poor), name).toContain(name)
    }
    expect(renderTotals([first, { ...other, failure: 'something' }], 1000)).toContain(`failed 1 (${other.seed})`)
  })
})
