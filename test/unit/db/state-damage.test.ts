// Damage to the LevelDB directories of state and local store: an older state or none, never a mixture; a local store never forgets in silence.
import { cp, mkdtemp, readdir, readFile, rm, truncate, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Level } from 'level'
import { openLocalLevel } from '../../../src/db/local-level.ts'
import { openStateLevel } from '../../../src/db/state-level.ts'
import type { StateStore } from '../../../src/ports/state-store.ts'
import { head, put } from '../../contract/state-store.ts'

let root = ''
let copies = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'novacron-state-damage-'))
})
afterAll(async () => rm(root, { recursive: true }))

function randomOf(seed: number): (bound: number) => number {
  let state = seed
  return (bound) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return (state >>> 8) % bound
  }
}

async function copyOf(directory: string): Promise<string> {
  copies += 1
  const copy = join(root, `copy-${copies}`, 'db')
  await cp(directory, copy, { recursive: true })
  return copy
}

async function damageOne(directory: string, random: (bound: number) => number): Promise<string> {
  const names = (await readdir(directory)).filter((name) => name !== 'LOCK' && !name.startsWith('LOG'))
  const name = names[random(names.length)] as string
  const path = join(directory, name)
  const file = await readFile(path)
  const from = random(file.length + 1)
  const how = random(4)
  if (how === 0) await unlink(path)
  else if (how === 1) await truncate(path, from)
  else if (how === 2) {
    file.subarray(from, from + 200).fill(0)
    await writeFile(path, file)
  } else if (from < file.length) {
    file.writeUInt8(file.readUInt8(from) ^ (1 << random(8)), from)
    await writeFile(path, file)
  }
  return `${name} (${how} at ${from} of ${file.length})`
}

describe('damage to the state', () => {
  const batches = 60

  /** What the state is after `index` batches. */
  function stateAt(index: number): Map<string, unknown> {
    const records = new Map<string, unknown>()
    for (let at = 1; at <= index; at += 1) {
      records.set(`vm/${at % 20}`, { at, filler: 'x'.repeat(200) })
      records.set('counter/one', at)
      if (at % 7 === 0) records.delete(`vm/${(at - 3) % 20}`)
    }
    return records
  }

  async function writeState(store: StateStore): Promise<void> {
    await store.load()
    for (let at = 1; at <= batches; at += 1) {
      const writes = [put('vm', String(at % 20), { at, filler: 'x'.repeat(200) }), put('counter', 'one', at)]
      if (at % 7 === 0) writes.push(put('vm', String((at - 3) % 20), null))
      await store.write({ head: head(at), writes, sync: at % 10 === 0 })
    }
    await store.close()
  }

  test('150 damages: what is loaded is a state that once was, whole, or nothing and told so', { timeout: 60_000 }, async () => {
    const directory = join(root, 'state')
    await writeState(await openStateLevel({ directory }))
    // Opened once more, so that tables exist beside the log.
    const reopened = await openStateLevel({ directory })
    await reopened.load()
    await reopened.close()
    const random = randomOf(11)
    const seen = { newest: 0, older: 0, nothing: 0 }
    for (let round = 0; round < 150; round += 1) {
      const copy = await copyOf(directory)
      const what = await damageOne(copy, random)
      const told: string[] = []
      const store = await openStateLevel({ directory: copy, onDamage: ({ detail }) => told.push(detail) })
      const loaded = await store.load()
      if (loaded === null) seen.nothing += 1
      else {
        const found = new Map(loaded.records.map((record) => [`${record.table}/${record.id}`, record.value]))
        expect(found, what).toEqual(stateAt(loaded.head.index))
        seen[loaded.head.index === batches ? 'newest' : 'older'] += 1
      }
      if (told.length > 0) expect(loaded).toBeNull()
      // Whatever was found, it goes on.
      await store.write({ head: head(500), writes: [put('vm', 'after')], sync: true })
      await store.close()
      const again = await openStateLevel({ directory: copy })
      expect((await again.load())?.head.index).toBe(500)
      await again.close()
      await rm(join(copy, '..'), { recursive: true })
    }
    expect(seen.nothing).toBeGreaterThan(20)
    expect(seen.newest + seen.older).toBeGreaterThan(20)
  })

  test('a record lost in the middle is noticed, which LevelDB does not', async () => {
    const directory = join(root, 'hole')
    await writeState(await openStateLevel({ directory }))
    const database = new Level(directory)
    const [key] = await database.keys({ gte: '01', limit: 1 }).all()
    await database.del(key as string)
    await database.close()
    const told: string[] = []
    const store = await openStateLevel({ directory, onDamage: ({ detail }) => told.push(detail) })
    expect(await store.load()).toBeNull()
    expect(told).toHaveLength(1)
    await store.close()
    expect(await readdir(root)).toContain('hole.damaged-1')
  })

  test('a replacement that was cut short never happened', async () => {
    const directory = join(root, 'replacement')
    await writeState(await openStateLevel({ directory }))
    const database = new Level(directory)
    // What `replace` writes before it changes the head.
    await database.batch([{ type: 'put', key: '010000000001/vm/new', value: '1' }])
    await database.close()
    const store = await openStateLevel({ directory })
    const loaded = await store.load()
    expect(loaded?.head).toEqual(head(batches))
    expect(loaded?.records.some((record) => record.id === 'new')).toBe(false)
    await store.replace({ head: head(900), records: [put('vm', 'only', 1)] })
    await store.close()
    const again = await openStateLevel({ directory })
    expect(await again.load()).toEqual({ head: head(900), records: [put('vm', 'only', 1)] })
    await again.close()
  })

  test('a database in use by another process is not taken for a damaged one', async () => {
    const directory = join(root, 'busy')
    const store = await openStateLevel({ directory })
    await expect(openStateLevel({ directory })).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
    await store.load()
    await store.close()
    expect((await readdir(root)).filter((name) => name.startsWith('busy'))).toEqual(['busy'])
  })
})

describe('damage to the local store', () => {
  test('150 damages: everything is there, or it says so', { timeout: 60_000 }, async () => {
    const directory = join(root, 'local')
    const store = await openLocalLevel({ directory })
    for (let at = 0; at < 40; at += 1) await store.put(`epoch/${at % 9}`, at)
    const whole = await store.list('')
    await store.close()
    const random = randomOf(5)
    const seen = { whole: 0, damaged: 0 }
    for (let round = 0; round < 150; round += 1) {
      const copy = await copyOf(directory)
      const what = await damageLocal(copy, random)
      try {
        const opened = await openLocalLevel({ directory: copy })
        expect(await opened.list(''), what).toEqual(whole)
        await opened.close()
        seen.whole += 1
      } catch (error) {
        expect(error, what).toMatchObject({ code: 'STORAGE_FAILED', data: { damaged: true } })
        seen.damaged += 1
      }
      await rm(join(copy, '..'), { recursive: true })
    }
    expect(seen.damaged).toBeGreaterThan(30)
    expect(seen.whole).toBeGreaterThan(10)
  })
})

async function damageLocal(directory: string, random: (bound: number) => number): Promise<string> {
  const how = random(6)
  if (how > 1) return damageOne(join(directory, 'level'), random)
  if (how === 0) {
    await rm(join(directory, 'level'), { recursive: true })
    return 'level removed'
  }
  const proof = await readFile(join(directory, 'proof'))
  const from = random(2) * 4096 + random(16)
  proof.writeUInt8(proof.readUInt8(from) ^ (1 << random(8)), from)
  if (random(2) === 0) await unlink(join(directory, 'proof'))
  else await writeFile(join(directory, 'proof'), proof)
  return `proof changed at ${from}`
}
