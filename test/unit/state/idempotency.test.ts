// Statement 25: keys of requests are remembered by state time alone, the same on every node, whatever it learnt its state from.
import { describe, expect, test } from 'vitest'
import { makeCommand, type Command } from '../../../src/model/command.ts'
import { applyCommand, findReplay, idempotencyLifeMs, idempotencyRecordsMax } from '../../../src/state/apply.ts'
import { emptyState, exportState, importState, stateHash, type State } from '../../../src/state/state.ts'
import { World, admin, startMs } from './world.ts'

type Entry = { readonly timeMs: number; readonly command: Command }

const world = new World()
const keyed = (key: string, bodyHash = 'h'): Command => makeCommand('session.revoke', { id: world.newId(), actor: admin, idempotency: { key, bodyHash } }, { id: `session of ${key.slice(0, 3)}`, expiresMs: startMs * 2 })
const apply = (state: State, { timeMs, command }: Entry) => applyCommand(state, { index: state.index + 1, term: 1, timeMs, command }).result
const again = (state: State): State => importState(JSON.parse(JSON.stringify(exportState(state))) as ReturnType<typeof exportState>)

/** Two days of requests, each sent once more some time later; clocks of leaders differ and one goes back. */
function history(): readonly Entry[] {
  const entries: Entry[] = []
  const stepMs = idempotencyLifeMs / 20
  for (let at = 0; at < 40; at += 1) {
    const skewMs = at % 7 === 3 ? -3 * stepMs : 0
    entries.push({ timeMs: startMs + at * stepMs + skewMs, command: keyed(`k${at}`) })
    for (const backMs of [1, 10, 19, 20, 21, 22]) if (at >= backMs) entries.push({ timeMs: startMs + at * stepMs, command: keyed(`k${at - backMs}`) })
  }
  return entries
}

describe('25: a key', () => {
  test('is forgotten at the same entry by who applied all and by who began with a snapshot of any index', () => {
    const entries = history()
    const whole = emptyState()
    const snapshots: State[] = []
    const results = entries.map((entry) => {
      snapshots.push(again(whole))
      return apply(whole, entry)
    })
    expect(new Set(results.map((result) => (result.kind === 'done' ? result.replayed === true : null)))).toEqual(new Set([true, false]))
    for (const [from, state] of snapshots.entries()) {
      const rest = entries.slice(from).map((entry) => apply(state, entry))
      expect(rest).toEqual(results.slice(from))
      expect(stateHash(state)).toBe(stateHash(whole))
    }
  })

  test('lives 24 hours of state time to the millisecond, and a clock that was set back makes it no younger', () => {
    const state = emptyState()
    const first = apply(state, { timeMs: startMs, command: keyed('a') })
    expect(apply(state, { timeMs: startMs + idempotencyLifeMs, command: keyed('a') })).toEqual({ ...first, replayed: true })
    expect(apply(state, { timeMs: startMs + 5, command: keyed('a') })).toEqual({ ...first, replayed: true })
    const later = apply(state, { timeMs: startMs + idempotencyLifeMs + 1, command: keyed('a') })
    expect(later).toMatchObject({ kind: 'done', index: 4 })
    expect(later.kind === 'done' && later.replayed === true).toBe(false)
  })

  test('with another body is refused, and does not take the place of the first', () => {
    const state = emptyState()
    const first = apply(state, { timeMs: startMs, command: keyed('a') })
    expect(apply(state, { timeMs: startMs, command: keyed('a', 'other') })).toMatchObject({ kind: 'refused', code: 'IDEMPOTENCY_MISMATCH' })
    expect(findReplay(state, keyed('a'))).toEqual({ ...first, replayed: true })
  })

  test('beyond the bound pushes out the oldest, by order of application', () => {
    const state = emptyState()
    for (let at = 0; at <= idempotencyRecordsMax; at += 1) apply(state, { timeMs: startMs, command: keyed(`k${at}`) })
    expect(state.tables.idempotency.size).toBe(idempotencyRecordsMax)
    expect(findReplay(state, keyed('k0'))).toBeNull()
    expect(findReplay(state, keyed('k1'))).not.toBeNull()
    const copy = again(state)
    apply(copy, { timeMs: startMs, command: keyed('one more') })
    expect(findReplay(copy, keyed('k1'))).toBeNull()
    expect(findReplay(copy, keyed('k2'))).not.toBeNull()
  })
})
