// The contract of a LogStore, run on the real driver and on the simulator's: whoever passes may hold a Raft log.
import { describe, expect, test } from 'vitest'
import type { LogBatch, LogRecovery, LogStore } from '../../src/ports/log-store.ts'
import type { Entry, HardState, SnapshotMeta } from '../../src/raft/types.ts'

export type LogStoreFixture = {
  /** A store on the same disk; called again after a close or a crash. */
  make(): LogStore
  /** Takes the power away while `unfinished` is under way: what was not durable may be lost. The store is not used again. */
  crash(store: LogStore, unfinished: Promise<void>): Promise<void>
  dispose(): Promise<void>
}

export function entry(index: number, term: number, data: string | Uint8Array = `entry ${index} of term ${term}`): Entry {
  return { index, term, kind: 'normal', data: typeof data === 'string' ? Uint8Array.from(Buffer.from(data)) : data }
}

export function entries(first: number, last: number, term: number): Entry[] {
  return Array.from({ length: last - first + 1 }, (_, offset) => entry(first + offset, term))
}

export function batch(parts: Partial<LogBatch>): LogBatch {
  return { hardState: null, entries: [], base: null, ...parts }
}

export function meta(index: number, term: number): SnapshotMeta {
  return { index, term, configuration: { voters: ['a', 'b', 'c'], votersOutgoing: [], learners: ['d'], learnersNext: [], autoLeave: false } }
}

const hardState: HardState = { term: 3, vote: 'node-ä', commit: 2 }

function intact(recovery: LogRecovery): Extract<LogRecovery, { kind: 'intact' }> {
  if (recovery.kind !== 'intact') throw new Error(`expected an intact log, found ${JSON.stringify(recovery)}`)
  return recovery
}

async function reopen(fixture: LogStoreFixture, store: LogStore): Promise<{ store: LogStore; recovery: LogRecovery }> {
  await store.close()
  const next = fixture.make()
  return { store: next, recovery: await next.open() }
}

export function describeLogStore(name: string, createFixture: () => Promise<LogStoreFixture>): void {
  async function withStore(use: (fixture: LogStoreFixture) => Promise<void>): Promise<void> {
    const fixture = await createFixture()
    try {
      await use(fixture)
    } finally {
      await fixture.dispose()
    }
  }
  async function writeAll(fixture: LogStoreFixture, batches: readonly LogBatch[]): Promise<{ store: LogStore; recovery: LogRecovery }> {
    const store = fixture.make()
    await store.open()
    for (const one of batches) await store.write(one)
    return reopen(fixture, store)
  }

  describe(`log store: ${name}`, () => {
    test('a new one is fresh, and stays so until something is written', async () => {
      await withStore(async (fixture) => {
        const store = fixture.make()
        expect(await store.open()).toEqual({ kind: 'fresh' })
        const again = await reopen(fixture, store)
        expect(again.recovery).toEqual({ kind: 'fresh' })
        await again.store.write(batch({ hardState }))
        const last = await reopen(fixture, again.store)
        expect(last.recovery).toMatchObject({ kind: 'intact', hardState, entries: [] })
        await last.store.close()
      })
    })

    test('keeps hard state and entries of both kinds as they were', async () => {
      await withStore(async (fixture) => {
        const written = [entry(1, 1, new Uint8Array()), { ...entry(2, 1), kind: 'config' as const }, entry(3, 3, Uint8Array.of(0, 255, 1))]
        const { store, recovery } = await writeAll(fixture, [batch({ hardState, entries: written })])
        expect(intact(recovery)).toEqual({ kind: 'intact', hardState, base: { ...meta(0, 0), configuration: emptyConfiguration }, entries: written })
        expect(store.sizeBytes()).toBeGreaterThan(0)
        await store.close()
      })
    })

    test('hard state alone: the newest counts, and a vote can be taken back by a higher term', async () => {
      await withStore(async (fixture) => {
        const states = [
          { term: 1, vote: 'a', commit: 0 },
          { term: 2, vote: null, commit: 0 },
          { term: 2, vote: 'b', commit: 0 },
        ]
        const { store, recovery } = await writeAll(fixture, states.map((state) => batch({ hardState: state })))
        expect(intact(recovery).hardState).toEqual(states[2])
        await store.close()
      })
    })

    test('a batch may overwrite an uncommitted suffix, shortening the log', async () => {
      await withStore(async (fixture) => {
        const { store, recovery } = await writeAll(fixture, [batch({ entries: entries(1, 10, 1) }), batch({ entries: entries(4, 5, 2) })])
        expect(intact(recovery).entries).toEqual([...entries(1, 3, 1), ...entries(4, 5, 2)])
        await store.write(batch({ entries: entries(6, 6, 2) }))
        const again = await reopen(fixture, store)
        expect(intact(again.recovery).entries).toEqual([...entries(1, 3, 1), ...entries(4, 6, 2)])
        await again.store.close()
      })
    })

    test('a base drops what it covers and keeps the rest', async () => {
      await withStore(async (fixture) => {
        const { store, recovery } = await writeAll(fixture, [
          batch({ hardState, entries: entries(1, 10, 1) }),
          batch({ base: { meta: meta(7, 1), discardSuffix: false } }),
          batch({ entries: entries(11, 12, 3) }),
        ])
        expect(intact(recovery)).toEqual({ kind: 'intact', hardState, base: meta(7, 1), entries: [...entries(8, 10, 1), ...entries(11, 12, 3)] })
        await store.close()
      })
    })

    test('a base beyond the log leaves it empty and the log goes on behind it', async () => {
      await withStore(async (fixture) => {
        const { store, recovery } = await writeAll(fixture, [
          batch({ entries: entries(1, 3, 1) }),
          batch({ hardState, base: { meta: meta(20, 2), discardSuffix: false } }),
        ])
        expect(intact(recovery)).toEqual({ kind: 'intact', hardState, base: meta(20, 2), entries: [] })
        await store.write(batch({ entries: entries(21, 21, 3) }))
        const again = await reopen(fixture, store)
        expect(intact(again.recovery).entries).toEqual(entries(21, 21, 3))
        await again.store.close()
      })
    })

    test('discardSuffix drops a conflicting log in the same atomic step as the hard state changes', async () => {
      await withStore(async (fixture) => {
        const { store, recovery } = await writeAll(fixture, [
          batch({ hardState: { term: 1, vote: 'a', commit: 1 }, entries: entries(1, 10, 1) }),
          batch({ hardState, base: { meta: meta(5, 2), discardSuffix: true }, entries: entries(6, 7, 3) }),
        ])
        expect(intact(recovery)).toEqual({ kind: 'intact', hardState, base: meta(5, 2), entries: entries(6, 7, 3) })
        await store.close()
      })
    })

    test('entries of a MiB', async () => {
      await withStore(async (fixture) => {
        const large = [entry(1, 1, Buffer.alloc(1024 * 1024, 1)), entry(2, 1, Buffer.alloc(1024 * 1024 - 17, 2)), entry(3, 1)]
        const { store, recovery } = await writeAll(fixture, large.map((one) => batch({ entries: [one] })))
        const found = intact(recovery).entries
        expect(found.map((one) => [one.index, one.data.length])).toEqual(large.map((one) => [one.index, one.data.length]))
        expect(found.every((one, at) => Buffer.from(one.data).equals((large[at] as Entry).data))).toBe(true)
        await store.close()
      })
    })

    test('many batches with compaction: the log stays whole and the disk is given back', async () => {
      await withStore(async (fixture) => {
        const store = fixture.make()
        await store.open()
        let sizeMax = 0
        for (let index = 1; index <= 600; index += 1) {
          await store.write(batch({ hardState: { term: 1, vote: 'a', commit: index - 1 }, entries: [entry(index, 1, Buffer.alloc(500, index))] }))
          if (index % 50 === 0) await store.write(batch({ base: { meta: meta(index - 10, 1), discardSuffix: false } }))
          sizeMax = Math.max(sizeMax, store.sizeBytes())
        }
        const last = await reopen(fixture, store)
        const found = intact(last.recovery)
        expect(found.base.index).toBe(590)
        expect(found.entries.map((one) => one.index)).toEqual([591, 592, 593, 594, 595, 596, 597, 598, 599, 600])
        expect(found.entries.every((one) => Buffer.from(one.data).equals(Buffer.alloc(500, one.index)))).toBe(true)
        expect(sizeMax).toBeLessThan(2_000_000)
        await last.store.close()
      })
    })

    test('an empty batch is nothing', async () => {
      await withStore(async (fixture) => {
        const { store, recovery } = await writeAll(fixture, [batch({})])
        expect(recovery.kind).toBe('fresh')
        await store.close()
      })
    })

    test('what resolved survives a crash, again and again; what did not is there whole or not at all', async () => {
      await withStore(async (fixture) => {
        let last = 0
        for (let round = 1; round <= 12; round += 1) {
          const store = fixture.make()
          const recovery = await store.open()
          const found = recovery.kind === 'fresh' ? [] : intact(recovery).entries
          expect(found.length === last || found.length === last + 2, `${found.length} entries, ${last} were acknowledged`).toBe(true)
          expect(found.map((one) => one.index)).toEqual(found.map((_, at) => at + 1))
          last = found.length
          for (let count = 0; count < round % 4; count += 1) {
            await store.write(batch({ hardState: { term: round, vote: null, commit: last }, entries: entries(last + 1, last + 3, round) }))
            last += 3
          }
          // Not awaited: the power goes while it is under way.
          await fixture.crash(store, store.write(batch({ entries: entries(last + 1, last + 2, round) })))
        }
      })
    })

    test('42: a renewed log begins anew, with nothing of what was there but a vote, and survives a crash', async () => {
      await withStore(async (fixture) => {
        for (const base of [meta(40, 2), null]) {
          const store = fixture.make()
          await store.open()
          await store.write(batch({ hardState, base: { meta: meta(60, 2), discardSuffix: true }, entries: entries(61, 63, 3) }))
          const begun = await store.renew({ hardState: { term: 7, vote: 'b', commit: base?.index ?? 0 }, base })
          expect(begun).toEqual({ term: 7, vote: 'b', commit: base?.index ?? 0 })
          const first = (base?.index ?? 0) + 1
          await store.write(batch({ entries: entries(first, first + 1, 7) }))
          await fixture.crash(store, store.write(batch({ entries: entries(first + 2, first + 2, 7) })))
          const again = fixture.make()
          const recovery = intact(await again.open())
          expect(recovery.hardState).toEqual(begun)
          expect(recovery.base).toEqual(base ?? { index: 0, term: 0, configuration: emptyConfiguration })
          expect(recovery.entries.slice(0, 2)).toEqual(entries(first, first + 1, 7))
          await again.close()
        }
      })
    })

    test('gaps and a base that moves back are bugs of the caller', async () => {
      await withStore(async (fixture) => {
        const store = fixture.make()
        await store.open()
        await store.write(batch({ entries: entries(1, 3, 1) }))
        await expect(store.write(batch({ entries: entries(5, 5, 1) }))).rejects.toThrow(/does not follow/)
        await store.write(batch({ base: { meta: meta(2, 1), discardSuffix: false } }))
        await expect(store.write(batch({ entries: entries(2, 2, 1) }))).rejects.toThrow(/does not follow/)
        await expect(store.write(batch({ base: { meta: meta(1, 1), discardSuffix: false } }))).rejects.toThrow(/moves back/)
        await store.close()
      })
    })
  })
}

const emptyConfiguration = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false }
