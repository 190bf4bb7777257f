// What a log's watcher lets pass and what not: an opening finds what was acknowledged, or that and what was under way, and damage only where there was harm.
import { describe, expect, it } from 'vitest'
import type { LogBatch, LogRecovery, LogStore } from '../../src/ports/log-store.ts'
import type { Entry } from '../../src/raft/types.ts'
import { addCoverage, linesOf, renderCoverage } from './coverage.ts'
import { LogWatch } from './log-watch.ts'

const base = { index: 0, term: 0, configuration: { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false } }
const entry = (index: number, term = 1): Entry => ({ index, term, kind: 'normal', data: new Uint8Array(3) })
const batch = (...entries: readonly Entry[]): LogBatch => ({ hardState: { term: 1, vote: 'a', commit: 0 }, entries, base: null })
const intact = (...entries: readonly Entry[]): LogRecovery => ({ kind: 'intact', hardState: { term: 1, vote: 'a', commit: 0 }, base, entries })

/** Writes 1 and 2 and leaves 3 under way; then opens and finds `recovery`. */
async function opening(recovery: LogRecovery, options: { readonly isHarmed?: boolean } = {}): Promise<readonly string[]> {
  const broken: string[] = []
  const watch = new LogWatch((what) => broken.push(what))
  const store: LogStore = {
    open: async () => recovery,
    write: ({ entries }) => (entries[0]?.index === 3 ? new Promise(() => undefined) : Promise.resolve()),
    renew: async ({ hardState }) => hardState, watchFailure: () => undefined, close: async () => undefined, sizeBytes: () => 0,
  }
  const watched = watch.around(store, () => true)
  await watched.write(batch(entry(1), entry(2)))
  expect([watch.lastIndex, watch.lastTerm, watch.holds(2, 1), watch.holds(2, 2), watch.holds(3, 1)]).toEqual([2, 1, true, false, false])
  void watched.write(batch(entry(3)))
  watch.isHarmed = options.isHarmed ?? false
  await watched.open()
  return broken
}

describe('log watch', () => {
  it('is content with what was acknowledged, with or without what was under way', async () => {
    expect(await opening(intact(entry(1), entry(2)))).toEqual([])
    expect(await opening(intact(entry(1), entry(2), entry(3)))).toEqual([])
    expect(await opening({ kind: 'damaged', detail: '' }, { isHarmed: true })).toEqual([])
  })

  it.each<readonly [string, LogRecovery]>([
    ['a lost entry', intact(entry(1))],
    ['another term', intact(entry(1), entry(2, 2))],
    ['a log that is gone', { kind: 'fresh' }],
    ['a lost vote', { kind: 'intact', hardState: { term: 1, vote: null, commit: 0 }, base, entries: [entry(1), entry(2)] }],
  ])('finds %s, harmed or not', async (_what, recovery) => {
    expect(await opening(recovery)).toHaveLength(1)
    expect(await opening(recovery, { isHarmed: true })).toHaveLength(1)
  })

  it('finds damage that nobody did', async () => {
    expect(await opening({ kind: 'damaged', detail: 'x' })).toEqual(['finds its log damaged, which nobody harmed: x'])
  })
})

describe('what a write takes off the log', () => {
  const written = async (...batches: readonly LogBatch[]): Promise<{ readonly cut: readonly number[]; readonly broken: readonly string[] }> => {
    const broken: string[] = []
    const cut: number[] = []
    const watch = new LogWatch((what) => broken.push(what))
    watch.onCut = (entries) => cut.push(...entries.map(({ index }) => index))
    const store: LogStore = { open: async () => ({ kind: 'fresh' }), write: async () => undefined, renew: async ({ hardState }) => hardState, watchFailure: () => undefined, close: async () => undefined, sizeBytes: () => 0 }
    const watched = watch.around(store, () => true)
    await watched.write(batch(entry(1), entry(2), entry(3)))
    watch.promise(1, 2)
    for (const each of batches) await watched.write(each)
    return { cut, broken }
  }
  const ofTerm = (term: number, ...entries: readonly Entry[]): LogBatch => ({ ...batch(...entries), hardState: { term, vote: null, commit: 0 } })
  const snapshot = (index: number): LogBatch => ({ ...batch(), base: { meta: { ...base, index, term: 1 }, discardSuffix: true } })

  it('is told, but for what comes again and what a snapshot covers', async () => {
    expect(await written(batch(entry(4)))).toEqual({ cut: [], broken: [] })
    expect(await written(batch(entry(2), entry(3)))).toEqual({ cut: [], broken: [] })
    expect(await written(snapshot(3))).toEqual({ cut: [], broken: [] })
    expect(await written(ofTerm(2, entry(2, 2)))).toEqual({ cut: [2, 3], broken: [] })
    expect((await written(snapshot(2))).cut).toEqual([3])
  })

  it('is nothing that was acknowledged in the same term', async () => {
    expect((await written(batch(entry(3, 2)))).broken).toEqual([])
    expect((await written(batch(entry(1)))).broken).toEqual(['cuts its log at 2, having acknowledged 2 in the same term 1'])
  })
})

describe('coverage', () => {
  const source = 'type A = number\nconst a: A = 1 // one\nfunction f() {\n  return a\n}\n'
  const from = source.indexOf('return')

  it('counts lines of code that ran in any process', () => {
    const all = { startOffset: 0, endOffset: source.length, count: 1 }
    const never = { startOffset: from - 2, endOffset: source.length, count: 0 }
    const one = { 'src/raft/x.ts': linesOf(source, [never, all]) }
    expect(one['src/raft/x.ts']).toEqual([[2, true], [3, true], [4, false]])
    expect(renderCoverage(one)).toContain('src/raft 66.7 % of 3 lines; not run: x.ts:4')
    expect(renderCoverage(addCoverage(one, { 'src/raft/x.ts': linesOf(source, [all]) }))).toContain('src/raft 100.0 % of 3 lines')
  })
})
