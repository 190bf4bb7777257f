// The guard over the log: removed logs and logs set back as a whole, seen from the local store.
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openLocalLevel } from '../../../src/db/local-level.ts'
import { forgetLog, guardLog } from '../../../src/db/log-guard.ts'
import { openSegmentLog } from '../../../src/db/segment-log.ts'
import type { LogBatch, LogRecovery } from '../../../src/ports/log-store.ts'
import { batch, entries } from '../../contract/log-store.ts'

let root = ''
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'novacron-guard-'))
})
afterAll(async () => rm(root, { recursive: true }))

/** One life of a node: opens, writes if it may, closes. */
async function live(name: string, batches: readonly LogBatch[] = [], before?: 'forget'): Promise<LogRecovery> {
  const local = await openLocalLevel({ directory: join(root, name, 'local') })
  if (before === 'forget') await forgetLog(local)
  const store = guardLog(openSegmentLog({ directory: join(root, name, 'log') }), local)
  const recovery = await store.open()
  for (const one of batches) await store.write(one)
  await store.close()
  await local.close()
  return recovery
}

const term1 = batch({ hardState: { term: 1, vote: null, commit: 0 }, entries: entries(1, 3, 1) })
const vote1 = batch({ hardState: { term: 1, vote: 'b', commit: 0 } })
const term2 = batch({ hardState: { term: 2, vote: null, commit: 0 }, entries: entries(4, 5, 2) })

test('a new log is fresh, an old one intact, a removed one damaged until it is forgotten', async () => {
  expect(await live('removed', [term1])).toEqual({ kind: 'fresh' })
  expect((await live('removed')).kind).toBe('intact')
  await rm(join(root, 'removed', 'log'), { recursive: true })
  expect((await live('removed')).kind).toBe('damaged')
  expect(await live('removed', [], 'forget')).toEqual({ kind: 'fresh' })
})

test.each([
  { missing: 'a vote', later: vote1 },
  { missing: 'a term', later: term2 },
])('a log set back to a copy that lacks $missing is damaged', async ({ missing, later }) => {
  const directory = join(root, missing, 'log')
  await live(missing, [term1])
  await cp(directory, `${directory}-older`, { recursive: true })
  await live(missing, [later])
  expect((await live(missing)).kind).toBe('intact')
  await rm(directory, { recursive: true })
  await cp(`${directory}-older`, directory, { recursive: true })
  expect((await live(missing)).kind).toBe('damaged')
})

test('statement 43: a log that others know to lack something is damaged at every start until it is renewed', async () => {
  const local = await openLocalLevel({ directory: join(root, 'distrusted', 'local') })
  const opened = () => guardLog(openSegmentLog({ directory: join(root, 'distrusted', 'log') }), local)
  const store = opened()
  await store.open()
  await store.write(term1)
  await store.distrust?.(7)
  await store.close()
  for (let start = 0; start < 2; start += 1) {
    const again = opened()
    expect(await again.open()).toEqual({ kind: 'damaged', detail: 'the log ends at entry 3, this node had held entry 7' })
    await again.close()
  }
  const renewed = opened()
  await renewed.open()
  await renewed.renew({ hardState: { term: 2, vote: null, commit: 0 }, base: null })
  await renewed.close()
  const after = opened()
  expect((await after.open()).kind).toBe('intact')
  await after.close()
  await local.close()
})

test('a crash between log and local store is no damage', async () => {
  const directory = join(root, 'between')
  await live('between', [term1])
  await cp(join(directory, 'local'), join(directory, 'local-older'), { recursive: true })
  await live('between', [vote1, term2])
  await rm(join(directory, 'local'), { recursive: true })
  await cp(join(directory, 'local-older'), join(directory, 'local'), { recursive: true })
  expect((await live('between')).kind).toBe('intact')
})

test('43: a log set back to a copy of the same term that lacks entries is damaged, where the commit had been remembered', async () => {
  const directory = join(root, 'entries', 'log')
  const at = (commit: number) => batch({ hardState: { term: 1, vote: null, commit }, entries: entries(commit + 1, commit + 1, 1) })
  await live('entries', [at(0), at(1)])
  await cp(directory, `${directory}-older`, { recursive: true })
  await live('entries', [at(2), at(3), at(4)])
  expect((await live('entries')).kind).toBe('intact')
  await rm(directory, { recursive: true })
  await cp(`${directory}-older`, directory, { recursive: true })
  expect(await live('entries')).toEqual({ kind: 'damaged', detail: 'the log ends at entry 2, this node had held entry 4' })
})

test.each([
  { what: 'an older term', grant: 1, begun: { term: 2, vote: 'c', commit: 0 } },
  { what: 'the same term', grant: 2, begun: { term: 2, vote: 'c', commit: 0 } },
  { what: 'a newer term', grant: 3, begun: { term: 3, vote: 'leader', commit: 0 } },
])('3: a log that was wiped and renewed in $what keeps the vote that the node had given', async ({ what, grant, begun }) => {
  await live(what, [term1, batch({ hardState: { term: 2, vote: 'c', commit: 0 } })])
  await rm(join(root, what, 'log'), { recursive: true })
  const local = await openLocalLevel({ directory: join(root, what, 'local') })
  const store = guardLog(openSegmentLog({ directory: join(root, what, 'log') }), local)
  expect((await store.open()).kind).toBe('damaged')
  expect(await store.renew({ hardState: { term: grant, vote: 'leader', commit: 0 }, base: null })).toEqual(begun)
  await store.close()
  await local.close()
  expect(await live(what)).toMatchObject({ kind: 'intact', hardState: begun, entries: [] })
})

test('42: what is renewed is put aside, not deleted', async () => {
  await live('aside', [term1])
  const local = await openLocalLevel({ directory: join(root, 'aside', 'local') })
  const store = guardLog(openSegmentLog({ directory: join(root, 'aside', 'log') }), local)
  await store.open()
  await store.renew({ hardState: { term: 5, vote: null, commit: 0 }, base: null })
  await store.close()
  await local.close()
  expect(await openSegmentLog({ directory: join(root, 'aside', 'log.damaged-1') }).open()).toMatchObject({ kind: 'intact', entries: entries(1, 3, 1) })
})

test('42: that a renewed log has yet to catch up is remembered over restarts, until it is committed so far', async () => {
  await live('behind', [term1])
  await rm(join(root, 'behind', 'log'), { recursive: true })
  const local = await openLocalLevel({ directory: join(root, 'behind', 'local') })
  const store = guardLog(openSegmentLog({ directory: join(root, 'behind', 'log') }), local)
  await store.open()
  await store.renew({ hardState: { term: 5, vote: null, commit: 0 }, base: null, renewedTo: 600 })
  await store.close()
  await local.close()
  expect(await live('behind', [batch({ hardState: { term: 6, vote: null, commit: 0 } })])).toMatchObject({ kind: 'intact', renewedTo: 600 })
  expect(await live('behind', [batch({ hardState: { term: 6, vote: null, commit: 600 }, entries: entries(1, 600, 6) })])).toMatchObject({ renewedTo: 600 })
  expect((await live('behind') as { readonly renewedTo?: number }).renewedTo).toBeUndefined()
})

test('42: a crash between the new log and the word of it does not make the node one that is whole', async () => {
  await live('cut', [term1])
  await rm(join(root, 'cut', 'log'), { recursive: true })
  const local = await openLocalLevel({ directory: join(root, 'cut', 'local') })
  const log = openSegmentLog({ directory: join(root, 'cut', 'log') })
  const renew = log.renew.bind(log)
  log.renew = async (beginning) => {
    await renew(beginning)
    throw new Error('power cut')
  }
  const store = guardLog(log, local)
  await store.open()
  await expect(store.renew({ hardState: { term: 5, vote: null, commit: 0 }, base: null, renewedTo: 600 })).rejects.toThrow('power cut')
  await log.close()
  await local.close()
  expect(await live('cut')).toMatchObject({ kind: 'intact', renewedTo: 600 })
})
