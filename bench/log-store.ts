// Measures forms of the Raft log side by side, in turns on the same disk: segment files with a proof, and LevelDB with one.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { open, mkdtemp, readdir, rm, stat, statfs } from 'node:fs/promises'
import { availableParallelism, cpus, loadavg, release } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Level } from 'level'
import { openSegmentLog } from '../src/db/segment-log.ts'
import { openSequenceProof } from '../src/db/sequence-proof.ts'
import type { LogBatch } from '../src/ports/log-store.ts'
import type { Entry } from '../src/raft/types.ts'

type Form = { readonly name: string; write(batch: LogBatch): Promise<void>; close(): Promise<void> }
type Candidate = { readonly name: string; readonly configuration: string; open(directory: string): Promise<Form>; count(directory: string): Promise<number> }

const { values } = parseArgs({ options: { directory: { type: 'string', default: '.' }, samples: { type: 'string', default: '400' }, raw: { type: 'boolean', default: true } }, allowNegative: true })
const samples = Number(values.samples)
const rounds = 4
/** Random bytes to take data from. */
const poolBytes = 32 * 1024 * 1024
const shapes = [
  { name: '1 entry of 256 B', count: 1, bytes: 256 },
  { name: '10 entries of 256 B', count: 10, bytes: 256 },
  { name: '100 entries of 256 B', count: 100, bytes: 256 },
  { name: '1000 entries of 256 B', count: 1000, bytes: 256 },
  { name: '1 entry of 1 MiB', count: 1, bytes: 1024 * 1024 },
]

function keyOf(index: number): string {
  return `e${String(index).padStart(15, '0')}`
}

function levelOperations(batch: LogBatch): { type: 'put'; key: string; value: Buffer }[] {
  const operations = batch.entries.map((entry) => ({ type: 'put' as const, key: keyOf(entry.index), value: Buffer.concat([Buffer.from([entry.term & 255]), entry.data]) }))
  operations.push({ type: 'put', key: 'h', value: Buffer.from(JSON.stringify(batch.hardState)) })
  return operations
}

async function openLevel(directory: string): Promise<Level<string, Buffer>> {
  const database = new Level<string, Buffer>(join(directory, 'level'), { valueEncoding: 'buffer' })
  await database.open()
  return database
}

async function countLevel(directory: string): Promise<number> {
  const database = await openLevel(directory)
  const found = await database.iterator({ gte: 'e', lt: 'f' }).all()
  await database.close()
  return found.length
}

const candidates: readonly Candidate[] = [
  {
    name: 'segments + proof',
    configuration: 'openSegmentLog, segmentBytesMax 16 MiB; record and proof with a copy synced at once up to 62 KiB, above that in turn',
    open: async (directory) => {
      const store = openSegmentLog({ directory: join(directory, 'segments') })
      await store.open()
      return { name: 'segments', write: async (batch) => store.write(batch), close: async () => store.close() }
    },
    count: async (directory) => {
      const store = openSegmentLog({ directory: join(directory, 'segments') })
      const recovery = await store.open()
      await store.close()
      return recovery.kind === 'intact' ? recovery.entries.length : -1
    },
  },
  {
    name: 'LevelDB, then proof',
    configuration: 'level 10, one batch {sync: true} of entries and hard state, then a two-slot proof with its own fdatasync',
    open: async (directory) => {
      const database = await openLevel(directory)
      const proof = await openSequenceProof(join(directory, 'proof'))
      let sequence = 0
      return {
        name: 'level',
        write: async (batch) => {
          await database.batch(levelOperations(batch), { sync: true })
          await proof.prove((sequence += 1))
        },
        close: async () => {
          await database.close()
          await proof.close()
        },
      }
    },
    count: countLevel,
  },
  {
    name: 'LevelDB + copy at once',
    configuration: 'as before, but a copy of the batch (up to 62 KiB) is synced in two slots at the same time, the copy being the proof',
    open: async (directory) => {
      const database = await openLevel(directory)
      const copy = await open(join(directory, 'copy'), 'w+')
      await copy.writeFile(Buffer.alloc(131_072))
      await copy.sync()
      let sequence = 0
      const prove = async (bytes: Buffer): Promise<void> => {
        sequence += 1
        await copy.write(bytes, 0, bytes.length, (sequence % 2) * 65_536)
        await copy.datasync()
      }
      return {
        name: 'level-copy',
        write: async (batch) => {
          const operations = levelOperations(batch)
          const bytes = Buffer.concat(operations.map((operation) => operation.value))
          if (bytes.length < 62 * 1024) await Promise.all([database.batch(operations, { sync: true }), prove(bytes)])
          else {
            await database.batch(operations, { sync: true })
            await prove(bytes.subarray(0, 64))
          }
        },
        close: async () => {
          await database.close()
          await copy.close()
        },
      }
    },
    count: countLevel,
  },
  {
    name: 'LevelDB without proof (unsafe)',
    configuration: 'level 10, one batch {sync: true}; loses acknowledged votes and entries in silence: the floor, no candidate',
    open: async (directory) => {
      const database = await openLevel(directory)
      return { name: 'bare', write: async (batch) => database.batch(levelOperations(batch), { sync: true }), close: async () => database.close() }
    },
    count: countLevel,
  },
]

function batchAt(shape: (typeof shapes)[number], number: number): LogBatch {
  const entries: Entry[] = Array.from({ length: shape.count }, (_, at) => ({
    index: number * shape.count + at + 1,
    term: 1,
    kind: 'normal',
    data: noiseAt((number * shape.count + at) * 257, shape.bytes),
  }))
  return { hardState: { term: 1, vote: 'node', commit: number * shape.count }, entries, base: null }
}

/** Not compressible, so that snappy plays no part. */
function noiseAt(position: number, bytes: number): Uint8Array {
  const from = position % poolBytes
  return noise.subarray(from, from + bytes)
}

function percentile(sorted: readonly number[], share: number): string {
  return ((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0) / 1000).toFixed(3)
}

async function sizeOf(directory: string): Promise<number> {
  const sizes = await Promise.all((await readdir(directory, { recursive: true })).map(async (name) => (await stat(join(directory, name))).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}

const noise = randomBytes(poolBytes + 1024 * 1024)
const root = await mkdtemp(join(resolve(values.directory), 'bench-log-'))
try {
  const fileSystem = await statfs(root)
  console.log(`commit ${execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()}, node ${process.version}, kernel ${release()}, ${availableParallelism()} × ${cpus()[0]?.model ?? '?'}`)
  console.log(`file system type 0x${fileSystem.type.toString(16)}, load ${loadavg().map((load) => load.toFixed(2)).join(' ')}, ${samples} samples each in ${rounds} rounds in turn`)
  for (const candidate of candidates) console.log(`- ${candidate.name}: ${candidate.configuration}`)
  for (const shape of shapes) {
    const perRound = Math.ceil((shape.bytes > 100_000 || shape.count >= 1000 ? samples / 4 : samples) / rounds)
    const forms = []
    for (const [number, candidate] of candidates.entries()) {
      const directory = await mkdtemp(join(root, `${number}-`))
      forms.push({ candidate, directory, form: await candidate.open(directory), times: [] as number[] })
    }
    for (let round = 0; round < rounds; round += 1) {
      for (const one of forms) {
        for (let at = 0; at < perRound; at += 1) {
          const batch = batchAt(shape, round * perRound + at)
          const start = performance.now()
          await one.form.write(batch)
          one.times.push(Math.round((performance.now() - start) * 1000))
        }
      }
    }
    console.log(`\n${shape.name}: milliseconds a batch`)
    for (const { candidate, directory, form, times } of forms) {
      await form.close()
      const start = performance.now()
      const count = await candidate.count(directory)
      const openMs = performance.now() - start
      if (count !== rounds * perRound * shape.count) throw new Error(`${candidate.name} has ${count} entries`)
      const sorted = times.toSorted((a, b) => a - b)
      const mean = times.reduce((sum, time) => sum + time, 0) / times.length
      const figures = [0.5, 0.9, 0.99].map((share) => `p${share * 100} ${percentile(sorted, share)}`).join('  ')
      const size = (await sizeOf(directory)) / (rounds * perRound * shape.count * shape.bytes)
      console.log(`${candidate.name.padEnd(32)} ${figures}  mean ${(mean / 1000).toFixed(3)}  ${Math.round((1e6 / mean) * shape.count)} entries/s  open ${openMs.toFixed(0)} ms  ${size.toFixed(2)} × data on disk`)
    }
    if (values.raw) for (const { candidate, times } of forms) console.log(`raw µs, ${candidate.name}: ${times.join(' ')}`)
  }
} finally {
  await rm(root, { recursive: true })
}
