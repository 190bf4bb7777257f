// A disk in memory for the log's file operations that loses, tears and reorders what was not synced, as the real ones may at a power cut.
import { strict as assert } from 'node:assert'
import type { LogFile, LogFiles } from '../../../src/db/log-files.ts'

const sectorBytes = 512
type Change = { readonly at: number; readonly bytes: Buffer } | { readonly size: number }
type Inode = { durable: Buffer; current: Buffer; pending: Change[] }
type NameChange = (names: Map<string, Inode>) => void
export type RandomInteger = (boundExclusive: number) => number

export class CrashDisk implements LogFiles {
  readonly #random: RandomInteger
  #durableNames = new Map<string, Inode>()
  #names = new Map<string, Inode>()
  #pendingNames: NameChange[] = []
  #epoch = 0
  #isSpoilt = false
  #operationsLeft = Infinity
  /** Called when the power goes, in the middle of an operation. */
  #onPowerCut: () => void = () => undefined
  /** The sync so many syncs from now fails, as after a write error: its data is gone, though it can still be read. */
  syncsUntilFailure = Infinity
  bytesFree = Infinity
  operations = 0
  /** Every sync fails while it is set. */
  syncsFail = false
  /** What a sync waits for before it is done; what it is to make durable is under way meanwhile. */
  syncing: () => Promise<void> = async () => undefined
  /** The next so many reads return what lies elsewhere. */
  readsMisdirected = 0
  /** Changes that a crash lost, whole or in part. */
  changesLost = 0

  constructor(random: RandomInteger) {
    this.#random = random
  }

  /** The operation so many operations from now never ends. */
  cutPowerAfter(operations: number, onPowerCut: () => void): void {
    this.#operationsLeft = operations
    this.#onPowerCut = onPowerCut
  }

  /** The process dies; the machine goes on, and with it the page cache. */
  kill(): void {
    this.#epoch += 1
    this.#operationsLeft = Infinity
  }

  /** The machine dies: of what was not synced, any part may have reached the disk. */
  crash(): void {
    this.kill()
    for (const change of this.#pendingNames) if (this.#random(2) === 0) change(this.#durableNames)
    this.#pendingNames = []
    for (const inode of this.#durableNames.values()) {
      const mood = this.#random(3)
      if (mood !== 0) this.changesLost += inode.pending.length
      for (const change of inode.pending) {
        if (mood === 0) inode.durable = applied(inode.durable, change)
        if (mood === 1) inode.durable = this.#tornApplied(inode.durable, change)
      }
      inode.pending = []
      inode.current = Buffer.from(inode.durable)
    }
    this.#names = new Map(this.#durableNames)
  }

  async makeDirectory(): Promise<void> {
    await this.#operation()
  }

  async list(): Promise<readonly string[]> {
    return [...this.#names.keys()]
  }

  async read(_directory: string, name: string): Promise<Buffer> {
    const bytes = Buffer.from(this.#inode(name).current)
    if (this.readsMisdirected <= 0 || bytes.length === 0) return bytes
    this.readsMisdirected -= 1
    // One block comes from another place of the same file or of its neighbour.
    const others = [...this.#names.values()].map((inode) => inode.current).filter((content) => content.length > 0)
    const source = others[this.#random(others.length)] ?? bytes
    const blockBytes = 4096
    const block = (content: Buffer): number => blockBytes * this.#random(Math.ceil(content.length / blockBytes))
    const from = block(source)
    source.copy(bytes, block(bytes), from, from + blockBytes)
    return bytes
  }

  /** Something at rest goes bad; false where there is nothing. The process has to be dead. */
  spoil(how: 'flip' | 'truncate' | 'remove' | 'wipe'): boolean {
    const names = [...this.#names.keys()].filter((name) => (this.#names.get(name)?.current.length ?? 0) > 0)
    const name = names[this.#random(names.length)]
    if (name === undefined) return false
    const inode = this.#inode(name)
    const used = lastUsedByte(inode.current)
    const at = this.#random(used + 1)
    if (how === 'wipe') this.#names.clear()
    else if (how === 'remove') this.#names.delete(name)
    else if (how === 'truncate') inode.current = Buffer.from(inode.current.subarray(0, at))
    else inode.current.writeUInt8(inode.current.readUInt8(at) ^ (1 << this.#random(8)), at)
    this.#isSpoilt = true
    inode.durable = Buffer.from(inode.current)
    inode.pending = []
    this.#durableNames = new Map(this.#names)
    this.#pendingNames = []
    return true
  }

  async open(_directory: string, name: string, { create }: { readonly create: boolean }): Promise<LogFile> {
    await this.#operation()
    if (create) {
      const inode: Inode = { durable: Buffer.alloc(0), current: Buffer.alloc(0), pending: [] }
      this.#rename((names) => names.set(name, inode))
    }
    return this.#file(this.#inode(name))
  }

  async rename(_directory: string, from: string, to: string): Promise<void> {
    await this.#operation()
    const inode = this.#inode(from)
    this.#rename((names) => {
      names.delete(from)
      names.set(to, inode)
    })
  }

  async remove(_directory: string, name: string): Promise<void> {
    await this.#operation()
    this.#inode(name)
    this.#rename((names) => names.delete(name))
  }

  async putAside(): Promise<void> {
    await this.#operation()
    this.#pendingNames = []
    this.#durableNames.clear()
    this.#names.clear()
  }

  async syncDirectory(): Promise<void> {
    const epoch = this.#epoch
    await this.#operation(epoch)
    await this.#synced(epoch)
    for (const change of this.#pendingNames) change(this.#durableNames)
    this.#pendingNames = []
  }

  #file(inode: Inode): LogFile {
    // What a dead process had in mind with its file does not happen in the next one's life.
    const epoch = this.#epoch
    const sync = async (): Promise<void> => {
      await this.#operation(epoch)
      await this.#synced(epoch)
      this.syncsUntilFailure -= 1
      if (this.syncsUntilFailure === 0 || this.syncsFail) {
        inode.pending = []
        throw Object.assign(new Error('input/output error'), { code: 'EIO' })
      }
      for (const change of inode.pending) inode.durable = applied(inode.durable, change)
      inode.pending = []
    }
    return {
      writeSynced: async (bytes, position) => {
        await this.#operation(epoch)
        const whole = Buffer.concat(bytes)
        assert(position + whole.length <= inode.current.length || this.#isSpoilt, 'written over what is there')
        this.#change(inode, { at: position, bytes: whole })
        await sync()
      },
      write: async (bytes, position) => {
        await this.#operation(epoch)
        const whole = Buffer.concat(bytes)
        const grows = Math.max(0, position + whole.length - inode.current.length)
        const fits = grows <= this.bytesFree
        this.#change(inode, { at: position, bytes: Buffer.from(fits ? whole : whole.subarray(0, Math.floor(whole.length / 2))) })
        if (!fits) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
        this.bytesFree -= grows
      },
      truncate: async (size) => {
        await this.#operation(epoch)
        this.#change(inode, { size })
      },
      sync,
      close: async () => undefined,
    }
  }

  #change(inode: Inode, change: Change): void {
    inode.current = applied(inode.current, change)
    inode.pending.push(change)
  }

  #rename(change: NameChange): void {
    change(this.#names)
    this.#pendingNames.push(change)
  }

  #tornApplied(content: Buffer, change: Change): Buffer {
    if ('size' in change) return this.#random(2) === 0 ? applied(content, change) : content
    let result = content
    let from = 0
    while (from < change.bytes.length) {
      const to = Math.min(change.bytes.length, from + sectorBytes - ((change.at + from) % sectorBytes))
      if (this.#random(2) === 0) result = applied(result, { at: change.at + from, bytes: change.bytes.subarray(from, to) })
      from = to
    }
    return result
  }

  #inode(name: string): Inode {
    const inode = this.#names.get(name)
    assert(inode !== undefined, `no file ${name}`)
    return inode
  }

  async #synced(epoch: number): Promise<void> {
    await this.syncing()
    if (epoch !== this.#epoch) await new Promise(() => undefined)
  }

  /** Yields, so that operations begun together overlap; never ends for a process that is dead. */
  async #operation(epoch = this.#epoch): Promise<void> {
    this.operations += 1
    await Promise.resolve()
    if (epoch === this.#epoch) {
      this.#operationsLeft -= 1
      if (this.#operationsLeft > 0) return
      this.#onPowerCut()
    }
    await new Promise(() => undefined)
  }
}

function lastUsedByte(content: Buffer): number {
  let at = content.length - 1
  while (at > 0 && content[at] === 0) at -= 1
  return at
}

function applied(content: Buffer, change: Change): Buffer {
  if ('size' in change) return Buffer.concat([content.subarray(0, change.size), Buffer.alloc(Math.max(0, change.size - content.length))])
  const end = change.at + change.bytes.length
  const result = end > content.length ? Buffer.concat([content, Buffer.alloc(end - content.length)]) : content
  change.bytes.copy(result, change.at)
  return result
}
