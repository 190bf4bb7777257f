// Damage to the log's files, byte by byte: whatever is done to acknowledged data, opening never gives a shorter log that looks intact.
import { cp, mkdtemp, open, readdir, readFile, rename, rm, stat, truncate, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { proofFileName, slotBytes, slotCount, slotOffset } from '../../../src/db/log-proof.ts'
import { chainStart, readRecord } from '../../../src/db/log-record.ts'
import { readSegmentHeader } from '../../../src/db/log-segment.ts'
import { openSegmentLog } from '../../../src/db/segment-log.ts'
import type { LogBatch, LogRecovery } from '../../../src/ports/log-store.ts'
import { batch, entries, entry, meta } from '../../contract/log-store.ts'

const segmentBytesMax = 4096
let root = ''
let copies = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'novacron-damage-'))
})
afterAll(async () => rm(root, { recursive: true }))

/** Small, repeatable randomness (mulberry32). */
function randomOf(seed: number): (bound: number) => number {
  let state = seed
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound
  }
}

type Sample = { readonly directory: string; readonly recovery: LogRecovery }

async function writeLog(name: string, batches: readonly LogBatch[]): Promise<Sample> {
  const directory = join(root, name)
  const store = openSegmentLog({ directory, segmentBytesMax })
  await store.open()
  for (const one of batches) await store.write(one)
  await store.close()
  const probe = await copyOf(directory)
  return { directory, recovery: await recover(probe) }
}

async function recover(directory: string): Promise<LogRecovery> {
  const store = openSegmentLog({ directory, segmentBytesMax })
  try {
    return await store.open()
  } finally {
    await store.close()
  }
}

async function copyOf(directory: string): Promise<string> {
  copies += 1
  const copy = join(root, `copy-${copies}`)
  await cp(directory, copy, { recursive: true })
  return copy
}

/** Damages a copy and opens it: an intact log must be the very one that was acknowledged. */
async function afterDamage(sample: Sample, damage: (directory: string) => Promise<void>): Promise<LogRecovery['kind']> {
  const directory = await copyOf(sample.directory)
  await damage(directory)
  const recovery = await recover(directory)
  if (recovery.kind === 'intact') expect(recovery).toEqual(sample.recovery)
  // Whoever opens it again finds the same.
  expect((await recover(directory)).kind).toBe(recovery.kind)
  await rm(directory, { recursive: true })
  return recovery.kind
}

async function segmentsOf(directory: string): Promise<string[]> {
  return (await readdir(directory)).filter((name) => name.endsWith('.segment')).toSorted()
}

/** Where the header and every record of a segment end. */
function boundaries(file: Buffer): number[] {
  const found = readSegmentHeader(file)
  if (found === null) throw new Error('no header')
  const ends = [found.end]
  let position = found.header.start
  for (let record = readRecord(file, found.end, position); record !== null; record = readRecord(file, record.end, position)) {
    position = record.position
    ends.push(record.end)
  }
  return ends
}

const small = Array.from({ length: 60 }, (_, at) =>
  batch({ hardState: { term: 1 + Math.floor(at / 7), vote: 'a', commit: at }, entries: [entry(at + 1, 1 + Math.floor(at / 7), Buffer.alloc(20 + at * 5, at))] }),
)
const mixed = [
  batch({ hardState: { term: 1, vote: 'a', commit: 0 } }),
  batch({ entries: entries(1, 40, 1) }),
  batch({ entries: entries(30, 50, 2), hardState: { term: 2, vote: null, commit: 20 } }),
  batch({ base: { meta: meta(20, 1), discardSuffix: false } }),
  ...Array.from({ length: 30 }, (_, at) => batch({ entries: entries(51 + at * 3, 53 + at * 3, 2) })),
  batch({ base: { meta: meta(60, 2), discardSuffix: false } }),
  ...Array.from({ length: 20 }, (_, at) => batch({ hardState: { term: 3 + at, vote: 'b', commit: 60 } })),
]
/** The last batch is too large for a copy in the proof. */
const large = [...small.slice(0, 5), batch({ entries: [entry(6, 1, Buffer.alloc(100_000, 1))] })]

describe.each([
  { name: 'small', batches: small },
  { name: 'mixed', batches: mixed },
  { name: 'large', batches: large },
])('damage to a log: $name batches', ({ name, batches }) => {
  let sample: Sample
  beforeAll(async () => {
    sample = await writeLog(name, batches)
    expect(sample.recovery.kind).toBe('intact')
  })

  test('every segment cut at every record boundary and around it', async () => {
    const names = await segmentsOf(sample.directory)
    for (const segment of names) {
      const ends = boundaries(await readFile(join(sample.directory, segment)))
      // The proof makes up for the last 16 records, if they are small; for no others.
      const spared = segment !== names.at(-1) ? null : name === 'large' ? 0 : slotCount
      for (const end of ends.flatMap((at) => [at - 1, at, at + 1])) {
        const kind = await afterDamage(sample, async (directory) => truncate(join(directory, segment), end))
        const lost = ends.slice(1).filter((at) => at > end).length
        const isDamage = spared === null ? end < (ends.at(-1) as number) : lost > spared
        expect(kind, `${segment} cut at ${end}`).toBe(isDamage ? 'damaged' : 'intact')
      }
    }
  })

  test('statement 42: cut, flipped, zeroed and overwritten at random', async () => {
    const random = randomOf(7)
    const seen = { fresh: 0, intact: 0, damaged: 0 }
    for (let round = 0; round < 250; round += 1) {
      const kind = await afterDamage(sample, async (directory) => {
        const names = [...(await segmentsOf(directory)), proofFileName]
        await damageFile(join(directory, names[random(names.length)] as string), random)
      })
      seen[kind] += 1
    }
    expect(seen.fresh).toBe(0)
    expect(seen.damaged).toBeGreaterThan(60)
    expect(seen.intact).toBeGreaterThan(10)
  })

  test('each single file removed, emptied or filled with zeros', async () => {
    for (const file of [...(await segmentsOf(sample.directory)), proofFileName]) {
      const { size } = await stat(join(sample.directory, file))
      // The last segment may hold nothing or one record that the proof has a copy of; then nothing is lost with it.
      for (const damage of [unlink, async (path: string) => truncate(path, 0), async (path: string) => writeFile(path, Buffer.alloc(size))]) {
        const kind = await afterDamage(sample, async (directory) => damage(join(directory, file)))
        if (file !== (await segmentsOf(sample.directory)).at(-1)) expect(kind, file).toBe('damaged')
        expect(kind).not.toBe('fresh')
      }
    }
  })

  test('statement 43: all segments removed: damaged; the whole directory removed: fresh, which the guard knows better', async () => {
    const kind = await afterDamage(sample, async (directory) => {
      for (const segment of await segmentsOf(directory)) await unlink(join(directory, segment))
    })
    expect(kind).toBe('damaged')
    expect(await recover(join(root, 'nothing here'))).toEqual({ kind: 'fresh' })
  })

  test('an older proof, one segment of an older copy, one of another log', async () => {
    const older = await writeLog(`${name}-older`, batches.slice(0, -3))
    const setBack = await afterDamage(sample, async (directory) => cp(join(older.directory, proofFileName), join(directory, proofFileName)))
    expect(setBack).toBe('damaged')
    for (const segment of await segmentsOf(sample.directory)) {
      const foreign = join(older.directory, segment)
      const isForeign = (await readdir(older.directory)).includes(segment)
      const kind = await afterDamage(sample, async (directory) => (isForeign ? cp(foreign, join(directory, segment)) : unlink(join(directory, segment))))
      // Where the last one is missing, the copies make up for it.
      expect(kind, segment).toBe(isForeign || name === 'large' ? 'damaged' : 'intact')
    }
  })

  test('statement 42: a tail that nobody was told of is cut in silence, and the log goes on', async () => {
    const random = randomOf(3)
    const segment = (await segmentsOf(sample.directory)).at(-1) as string
    const end = boundaries(await readFile(join(sample.directory, segment))).at(-1) as number
    for (let round = 0; round < 30; round += 1) {
      const directory = await copyOf(sample.directory)
      const handle = await open(join(directory, segment), 'r+')
      await handle.truncate(end)
      await handle.write(Buffer.from(Array.from({ length: 1 + random(300) }, () => random(256))), 0, null, end)
      await handle.close()
      const store = openSegmentLog({ directory, segmentBytesMax })
      expect(await store.open()).toEqual(sample.recovery)
      const last = sample.recovery.kind === 'intact' ? (sample.recovery.entries.at(-1)?.index ?? sample.recovery.base.index) : 0
      await store.write(batch({ entries: entries(last + 1, last + 1, 90) }))
      await store.close()
      const after = await recover(directory)
      expect(after.kind === 'intact' && after.entries.at(-1)).toEqual(entry(last + 1, 90))
      await rm(directory, { recursive: true })
    }
  })
})

async function damageFile(path: string, random: (bound: number) => number): Promise<void> {
  const file = await readFile(path)
  const size = file.length
  // Not in the zeros behind a segment's records, which mean nothing.
  const from = random(path.endsWith(proofFileName) ? size : (boundaries(file).at(-1) as number))
  const how = random(4)
  if (how === 0) return truncate(path, from)
  if (how === 1) file.writeUInt8(file.readUInt8(from) ^ (1 << random(8)), from)
  if (how === 2) file.fill(0, from, from + 1 + random(512))
  if (how === 3) for (let at = from; at < Math.min(size, from + 64); at += 1) file.writeUInt8(random(256), at)
  return writeFile(path, file)
}

test('the last record alone, lost or damaged, is made up for by its copy in the proof', async () => {
  const { directory, recovery } = await writeLog('copy', small.slice(0, 10))
  const segment = (await segmentsOf(directory)).at(-1) as string
  const ends = boundaries(await readFile(join(directory, segment)))
  await truncate(join(directory, segment), (ends.at(-2) as number) + 3)
  expect(await recover(directory)).toEqual(recovery)
})

test('while records are in the proof alone, no damage to a single place of it loses one', async () => {
  const directory = join(root, 'owed')
  const written = small.slice(0, 12)
  const store = openSegmentLog({ directory, segmentBytesMax, later: () => () => undefined })
  await store.open()
  for (const one of written) await store.write(one)
  const sample = { directory: await copyOf(directory), recovery: (await writeLog('settled', written)).recovery }
  await store.close()
  const inSegment = boundaries(await readFile(join(sample.directory, (await segmentsOf(sample.directory)).at(-1) as string))).length - 1
  expect(inSegment).toBeLessThan(written.length)
  const path = (copy: string): string => join(copy, proofFileName)
  for (let sequence = inSegment + 1; sequence <= written.length; sequence += 1) {
    for (let at = 0; at < 1200; at += 13) {
      const kind = await afterDamage(sample, async (copy) => {
        const file = await open(path(copy), 'r+')
        await file.write(Buffer.alloc(1, 0xa5), 0, 1, slotOffset(sequence) + at)
        await file.close()
      })
      expect(kind, `slot of ${sequence} at ${at}`).toBe('intact')
    }
  }
  // A slot lost as a whole is told, unless nobody can have been told of its batch.
  for (let sequence = inSegment + 1; sequence < written.length; sequence += 1) {
    const kind = await afterDamage(sample, async (copy) => {
      const file = await open(path(copy), 'r+')
      await file.write(Buffer.alloc(slotBytes), 0, slotBytes, slotOffset(sequence))
      await file.close()
    })
    expect(kind).toBe('damaged')
  }
})

test('a damaged log is left as it is, and refuses to be written', async () => {
  const { directory } = await writeLog('refused', small)
  await rename(join(directory, proofFileName), join(directory, 'gone'))
  const before = await Promise.all((await segmentsOf(directory)).map(async (name) => readFile(join(directory, name))))
  const store = openSegmentLog({ directory, segmentBytesMax })
  expect((await store.open()).kind).toBe('damaged')
  await expect(store.write(batch({ entries: entries(1, 1, 1) }))).rejects.toMatchObject({ code: 'LOG_DAMAGED' })
  await store.close()
  expect(await Promise.all((await segmentsOf(directory)).map(async (name) => readFile(join(directory, name))))).toEqual(before)
})

test('a record is read only behind the one it was chained to', () => {
  expect(readRecord(Buffer.alloc(slotBytes), 0, chainStart)).toBeNull()
})
