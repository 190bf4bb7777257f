// The contracts of StateStore and LocalStore, run on the real drivers and on the simulator's.
import { describe, expect, test } from 'vitest'
import type { LocalStore, StateHead, StateStore, StateWrite } from '../../src/ports/state-store.ts'

export type StateStoreFixture = {
  /** A store on the same disk; called again after a close or a crash. */
  make(): Promise<StateStore>
  dispose(): Promise<void>
}
export type ClosableLocalStore = LocalStore & { close(): Promise<void> }
export type LocalStoreFixture = { make(): Promise<ClosableLocalStore>; dispose(): Promise<void> }

export function head(index: number): StateHead {
  return { index, term: 2, timeMs: 1000 + index, hash: `hash-${index}` }
}

export function put(table: string, id: string, value: unknown = { id, nested: [1, 'ü', null] }): StateWrite {
  return { table, id, value }
}

function sorted(records: readonly StateWrite[]): StateWrite[] {
  const keyOf = (record: StateWrite): string => `${record.table}/${record.id}`
  return records.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
}

export function describeStateStore(name: string, createFixture: () => Promise<StateStoreFixture>): void {
  async function withStore(use: (store: StateStore, reopen: () => Promise<StateStore>) => Promise<StateStore>): Promise<void> {
    const fixture = await createFixture()
    let last = await fixture.make()
    try {
      last = await use(last, async () => {
        await last.close()
        last = await fixture.make()
        return last
      })
    } finally {
      await last.close()
      await fixture.dispose()
    }
  }

  describe(`state store: ${name}`, () => {
    test('a new one has nothing', async () => {
      await withStore(async (store) => {
        expect(await store.load()).toBeNull()
        return store
      })
    })

    test('keeps records and the head they belong to; later writes win, null deletes', async () => {
      await withStore(async (store, reopen) => {
        await store.load()
        await store.write({ head: head(1), writes: [put('vm', 'a'), put('vm', 'b'), put('node', 'a/with/slashes')], sync: false })
        await store.write({ head: head(2), writes: [put('vm', 'a', 'changed'), put('vm', 'b', null), put('image', 'c', 0)], sync: true })
        const again = await reopen()
        const loaded = await again.load()
        expect(loaded?.head).toEqual(head(2))
        expect(sorted(loaded?.records ?? [])).toEqual([put('image', 'c', 0), put('node', 'a/with/slashes'), put('vm', 'a', 'changed')])
        return again
      })
    })

    test('a head may move without records', async () => {
      await withStore(async (store, reopen) => {
        await store.load()
        await store.write({ head: head(1), writes: [put('vm', 'a')], sync: false })
        await store.write({ head: head(5), writes: [], sync: true })
        const again = await reopen()
        expect(await again.load()).toEqual({ head: head(5), records: [put('vm', 'a')] })
        return again
      })
    })

    test('replace leaves nothing of what was there, and goes on', async () => {
      await withStore(async (store, reopen) => {
        await store.load()
        await store.write({ head: head(1), writes: [put('vm', 'old'), put('vm', 'kept', 1)], sync: true })
        const image = Array.from({ length: 2500 }, (_, at) => put('vm', `new-${at}`, at))
        await store.replace({ head: head(9), records: [...image, put('vm', 'kept', 2)] })
        await store.write({ head: head(10), writes: [put('vm', 'new-0', null)], sync: true })
        const again = await reopen()
        const loaded = await again.load()
        expect(loaded?.head).toEqual(head(10))
        expect(sorted(loaded?.records ?? [])).toEqual(sorted([...image.slice(1), put('vm', 'kept', 2)]))
        await again.replace({ head: head(11), records: [] })
        const last = await reopen()
        expect(await last.load()).toEqual({ head: head(11), records: [] })
        return last
      })
    })

    test('writes that are not awaited keep their order', async () => {
      await withStore(async (store, reopen) => {
        await store.load()
        await Promise.all(
          Array.from({ length: 200 }, async (_, at) => store.write({ head: head(at), writes: [put('counter', 'one', at)], sync: at % 50 === 0 })),
        )
        const again = await reopen()
        expect(await again.load()).toEqual({ head: head(199), records: [put('counter', 'one', 199)] })
        return again
      })
    })
  })
}

export function describeLocalStore(name: string, createFixture: () => Promise<LocalStoreFixture>): void {
  describe(`local store: ${name}`, () => {
    test('get, put, delete and list, also after opening again', async () => {
      const fixture = await createFixture()
      const store = await fixture.make()
      expect(await store.get('epoch/a')).toBeUndefined()
      await store.put('epoch/a', 1)
      await store.put('epoch/b', { deep: [true] })
      await store.put('epoch/a', 2)
      await store.put('identity', 'me')
      await store.put('gone', 1)
      await store.delete('gone')
      await store.delete('never was')
      await store.close()
      const again = await fixture.make()
      expect(await again.get('epoch/a')).toBe(2)
      expect(await again.get('gone')).toBeUndefined()
      expect(await again.list('epoch/')).toEqual([
        { key: 'epoch/a', value: 2 },
        { key: 'epoch/b', value: { deep: [true] } },
      ])
      expect((await again.list('')).map((item) => item.key)).toEqual(['epoch/a', 'epoch/b', 'identity'])
      await again.close()
      await fixture.dispose()
    })

    test('writes at the same time are all kept', async () => {
      const fixture = await createFixture()
      const store = await fixture.make()
      await Promise.all(Array.from({ length: 50 }, async (_, at) => store.put(`key/${at}`, at)))
      await store.close()
      const again = await fixture.make()
      expect(await again.list('key/')).toHaveLength(50)
      await again.close()
      await fixture.dispose()
    })
  })
}
