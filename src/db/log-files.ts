// The few file operations that the log uses, in one place: so that errors are sorted once and a test can record or break them.
import type { FileHandle } from 'node:fs/promises'
import { constants, mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { quarantineDirectory } from './level-open.ts'

/** An open file. Positions are explicit: nothing depends on a shared offset. */
export interface LogFile {
  /** Writes all of it or throws; durable only after `sync`. */
  write(bytes: readonly Buffer[], position: number): Promise<void>
  /** Writes over what is there and is durable when it resolves. A fault is that of a failed sync: nobody knows what became of the bytes. */
  writeSynced(bytes: readonly Buffer[], position: number): Promise<void>
  truncate(bytes: number): Promise<void>
  /** fdatasync: contents and size are durable when it resolves. */
  sync(): Promise<void>
  close(): Promise<void>
}

export interface LogFiles {
  /** Creates the directory, durably, where it is missing. */
  makeDirectory(directory: string): Promise<void>
  list(directory: string): Promise<readonly string[]>
  read(directory: string, name: string): Promise<Buffer>
  /** Creates it empty where `create`; else it must exist. */
  open(directory: string, name: string, options: { readonly create: boolean }): Promise<LogFile>
  rename(directory: string, from: string, to: string): Promise<void>
  remove(directory: string, name: string): Promise<void>
  /** Takes the directory away with all that is in it, for a person to look at, durably; nothing where it holds nothing. */
  putAside(directory: string): Promise<void>
  /** Names created, renamed and removed are durable when it resolves. */
  syncDirectory(directory: string): Promise<void>
}

/** With O_DSYNC a write is durable when it returns (open(2)): a trip to the disk's thread and a wake-up less than by fdatasync afterwards. */
const syncedFlags = constants.O_WRONLY | constants.O_DSYNC

export const diskFiles: LogFiles = {
  async makeDirectory(directory) {
    const first = await mkdir(directory, { recursive: true, mode: 0o700 })
    if (first === undefined) return
    // Each new directory is a name in its parent, up to the one that was there already.
    for (let made = directory; made.length >= first.length; made = dirname(made)) await syncDirectory(dirname(made))
  },
  list: async (directory) => readdir(directory),
  read: async (directory, name) => readFile(join(directory, name)),
  open: async (directory, name, { create }) => openTwice(join(directory, name), create ? 'w+' : 'r+'),
  rename: async (directory, from, to) => rename(join(directory, from), join(directory, to)),
  remove: async (directory, name) => unlink(join(directory, name)),
  putAside: async (directory) => {
    if ((await readdir(directory)).length > 0) await quarantineDirectory(directory)
  },
  syncDirectory,
}

async function openTwice(path: string, flags: 'w+' | 'r+'): Promise<LogFile> {
  const handle = await open(path, flags, 0o600)
  try {
    return diskFile(handle, await open(path, syncedFlags))
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** Two views of one file: which fault is which can be told only where writing and syncing are apart. */
function diskFile(handle: FileHandle, syncing: FileHandle): LogFile {
  return {
    write: async (bytes, position) => writeAll(handle, bytes, position),
    writeSynced: async (bytes, position) => writeAll(syncing, bytes, position),
    truncate: async (bytes) => handle.truncate(bytes),
    sync: async () => handle.datasync(),
    close: async () => {
      await syncing.close()
      await handle.close()
    },
  }
}

async function writeAll(handle: FileHandle, bytes: readonly Buffer[], position: number): Promise<void> {
  let rest = bytes.filter((part) => part.length > 0)
  let at = position
  while (rest.length > 0) {
    const { bytesWritten } = await handle.writev(rest, at)
    at += bytesWritten
    rest = skipBytes(rest, bytesWritten)
  }
}

/** A write may be short, e.g. just before the disk is full. */
function skipBytes(parts: readonly Buffer[], count: number): Buffer[] {
  let left = count
  const rest: Buffer[] = []
  for (const part of parts) {
    if (left < part.length) rest.push(part.subarray(left))
    left = Math.max(0, left - part.length)
  }
  return rest
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
