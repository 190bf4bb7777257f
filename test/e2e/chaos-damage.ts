// What can befall a node's directories between two runs of its daemon: cut short, a bit turned, filled up, wiped. Byte by byte, knowing nothing of the forms.
import { closeSync, cpSync, fstatSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, renameSync, rmSync, statfsSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './lab-runner.ts'

export type Damage = {
  readonly name: string
  /** Done while the host is off. */
  readonly apply: (dataDir: string) => void
  /** What the node has to say of it in its log; null where it may not even notice, as the damaged part may be one that it does not need. */
  readonly says: RegExp | null
}

export const damages: readonly Damage[] = [
  { name: 'the newest log segment cut to a half', apply: (dir) => eachNewest(join(dir, 'raft'), '.segment', cutToHalf), says: /damaged/ },
  { name: 'a bit turned in the log', apply: (dir) => eachNewest(join(dir, 'raft'), '.segment', turnBit), says: /damaged/ },
  { name: 'the log emptied', apply: (dir) => eachNewest(join(dir, 'raft'), '.segment', (path) => truncateSync(path, 0)), says: /damaged/ },
  { name: 'the log wiped', apply: (dir) => rmSync(join(dir, 'raft'), { recursive: true }), says: /damaged/ },
  { name: 'the state wiped', apply: (dir) => rmSync(join(dir, 'state'), { recursive: true }), says: null },
  { name: 'bits turned in the state', apply: (dir) => filesOf(join(dir, 'state')).forEach(turnBit), says: null },
  { name: 'the state cut to a half', apply: (dir) => filesOf(join(dir, 'state')).forEach(cutToHalf), says: null },
  { name: 'log and state wiped', apply: (dir) => ['raft', 'state'].forEach((name) => rmSync(join(dir, name), { recursive: true })), says: /damaged/ },
]

/** A small file system of its own in place of a directory, so that it can be full. For a host that is off. */
export class SmallDisk {
  readonly #directory: string
  #isMounted = false

  constructor(directory: string) {
    this.#directory = directory
  }

  /** @param spareBytes beyond what is there */
  async mount(spareBytes: number): Promise<void> {
    const aside = `${this.#directory}.aside`
    const usedBytes = filesOf(this.#directory).reduce((sum, path) => sum + statSync(path).size, 0)
    renameSync(this.#directory, aside)
    mkdirSync(this.#directory, { mode: 0o700 })
    await must('mount', '-t', 'tmpfs', '-o', `mode=700,size=${usedBytes + spareBytes}`, 'small', this.#directory)
    this.#isMounted = true
    cpSync(aside, this.#directory, { recursive: true })
    rmSync(aside, { recursive: true })
  }

  /** Not a byte is left. */
  fill(): void {
    const { bavail, bsize } = statfsSync(this.#directory)
    writeFileSync(join(this.#directory, 'filler'), Buffer.alloc(bavail * bsize))
  }

  free(): void {
    rmSync(join(this.#directory, 'filler'), { force: true })
  }

  /** Back to a plain directory, with all that is in it. */
  async unmount(): Promise<void> {
    if (!this.#isMounted) return
    const aside = `${this.#directory}.aside`
    cpSync(this.#directory, aside, { recursive: true })
    await must('umount', this.#directory)
    this.#isMounted = false
    rmSync(this.#directory, { recursive: true })
    renameSync(aside, this.#directory)
  }
}

function filesOf(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)).toSorted()
}

function eachNewest(directory: string, ending: string, change: (path: string) => void): void {
  const newest = filesOf(directory).findLast((path) => path.endsWith(ending))
  if (newest === undefined) throw new Error(`nothing in ${directory} ends in ${ending}`)
  change(newest)
}

/** Of what was written: the rest may be space that was taken in advance. */
function cutToHalf(path: string): void {
  truncateSync(path, Math.floor(writtenBytes(path) / 2))
}

function turnBit(path: string): void {
  const at = Math.floor(writtenBytes(path) / 2)
  const file = openSync(path, 'r+')
  try {
    if (fstatSync(file).size === 0) return
    const byte = Buffer.alloc(1)
    readSync(file, byte, 0, 1, at)
    writeSync(file, Buffer.from([(byte[0] ?? 0) ^ 4]), 0, 1, at)
  } finally {
    closeSync(file)
  }
}

function writtenBytes(path: string): number {
  const bytes = readFileSync(path)
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0) end -= 1
  return end
}

async function must(...command: readonly string[]): Promise<void> {
  const ran = await run(command)
  if (ran.code !== 0) throw new Error(`${command.join(' ')}: ${ran.stderr}`)
}
