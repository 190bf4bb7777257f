// A disk that is really full: nothing is lost, nothing is final, and what was refused can be written once there is space.
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openLocalLevel } from '../../../src/db/local-level.ts'
import { guardLog } from '../../../src/db/log-guard.ts'
import { openSegmentLog } from '../../../src/db/segment-log.ts'
import { openStateLevel } from '../../../src/db/state-level.ts'
import { batch, entries } from '../../contract/log-store.ts'

let root = ''
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'novacron-full-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', root])
})
afterEach(async () => {
  execFileSync('umount', [root])
  await rm(root, { recursive: true })
})

const ballast = () => join(root, 'ballast')
async function fill(): Promise<void> {
  await writeFile(ballast(), Buffer.alloc(64 * 1024 * 1024)).catch(() => undefined)
}

test('44: the state store writes again what found no space, and has it after a restart', async () => {
  const directory = join(root, 'state')
  const store = await openStateLevel({ directory })
  await store.load()
  const write = (index: number) => store.write({ head: { index, term: 1, timeMs: 0, hash: '' }, writes: [{ table: 'vm', id: `${index}`, value: 'x'.repeat(50_000) }], sync: index % 3 === 0 })
  for (let index = 1; index <= 5; index += 1) await write(index)
  await fill()
  const refused: number[] = []
  for (let attempt = 0; attempt < 5; attempt += 1) await write(6).catch((error: { code: string }) => refused.push(error.code === 'STORAGE_FULL' ? 1 : 0))
  expect(refused.length).toBeGreaterThan(0)
  expect(refused).not.toContain(0)
  await truncate(ballast(), 0)
  for (let index = 6; index <= 8; index += 1) await write(index)
  await store.close()
  const again = await openStateLevel({ directory, onDamage: ({ detail }) => expect.fail(detail) })
  const loaded = await again.load()
  expect(loaded?.head.index).toBe(8)
  expect(loaded?.records).toHaveLength(8)
  await again.close()
})

test('44: the local store too, with its proof', async () => {
  const directory = join(root, 'local')
  const store = await openLocalLevel({ directory })
  for (let at = 0; at < 5; at += 1) await store.put(`k${at}`, 'x'.repeat(20_000))
  await fill()
  let refused = 0
  for (let at = 5; at < 10; at += 1) await store.put(`k${at}`, 'y'.repeat(20_000)).catch((error: { code: string }) => (refused += error.code === 'STORAGE_FULL' ? 1 : 100))
  expect(refused).toBeGreaterThan(0)
  expect(refused).toBeLessThan(100)
  await truncate(ballast(), 0)
  for (let at = 5; at < 10; at += 1) await store.put(`k${at}`, 'y'.repeat(20_000))
  await store.close()
  const again = await openLocalLevel({ directory })
  expect((await again.list('k')).length).toBe(10)
  await again.close()
})

test('44: the guarded log writes again what found no space', async () => {
  const open = async () => {
    const local = await openLocalLevel({ directory: join(root, 'local') })
    const log = guardLog(openSegmentLog({ directory: join(root, 'log') }), local)
    return { local, log, recovery: await log.open() }
  }
  const { local, log } = await open()
  await log.write(batch({ hardState: { term: 1, vote: 'a', commit: 0 }, entries: entries(1, 3, 1) }))
  await fill()
  // A vote in another term goes to the local store too.
  let index = 4
  let refused = 0
  while (refused < 3) {
    try {
      await log.write(batch({ hardState: { term: index, vote: 'b', commit: 3 }, entries: entries(index, index, index) }))
      index += 1
    } catch (error) {
      expect((error as { code: string }).code).toBe('STORAGE_FULL')
      refused += 1
    }
  }
  await truncate(ballast(), 0)
  await log.write(batch({ hardState: { term: index, vote: 'b', commit: 3 }, entries: entries(index, index, index) }))
  await log.close()
  await local.close()
  const again = await open()
  expect(again.recovery).toMatchObject({ kind: 'intact', hardState: { term: index, vote: 'b' } })
  await again.log.close()
  await again.local.close()
})
