// Opens a LevelDB and tells apart what can go wrong with it: used by another process, damaged, or a failing disk.
import { mkdir, open, readdir, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Level } from 'level'
import { OperationalError } from '../model/error.ts'

export type Database = Level

/** @throws OperationalError STORAGE_FULL, or STORAGE_FAILED; `data.damaged` says that the files contradict each other and opening again will not help. */
export async function openDatabase(directory: string): Promise<Database> {
  await mkdir(dirname(directory), { recursive: true, mode: 0o700 })
  const database: Database = new Level(directory)
  try {
    await database.open()
    return database
  } catch (error) {
    await database.close()
    const code = levelCode(error)
    if (code === 'LEVEL_LOCKED') {
      throw new OperationalError('STORAGE_FAILED', `The database ${directory} is in use by another process. Stop it first.`, { cause: error })
    }
    if (isFull(error)) throw writeFailure(directory, error)
    const damaged = code === 'LEVEL_CORRUPTION' || code === 'LEVEL_NOT_FOUND' || code === 'LEVEL_INVALID_ARGUMENT' || isContradiction(error)
    throw new OperationalError('STORAGE_FAILED', `The database ${directory} could not be opened.`, { cause: error, data: { damaged } })
  }
}

/** A failed write as an operating fault. LevelDB itself refuses later writes after a failed sync. */
export function writeFailure(directory: string, error: unknown): OperationalError {
  if (isFull(error)) return new OperationalError('STORAGE_FULL', `The disk of the database ${directory} is full. Free some space and restart the node.`, { cause: error })
  return new OperationalError('STORAGE_FAILED', `The database ${directory} could not be written; it accepts nothing more until the node is restarted.`, { cause: error })
}

/**
 * Makes all earlier writes durable. A synced batch alone does not: when LevelDB goes on to a new log file, it closes the former one
 * unsynced, and only its later compaction into a table makes that one's end durable.
 */
export async function syncDatabaseLogs(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!/^\d+\.log$/.test(name)) continue
    const handle = await open(join(directory, name), 'r').catch((error: unknown) => {
      // Gone since: compacted into a table, which LevelDB syncs.
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
      throw error
    })
    if (handle === null) continue
    try {
      await handle.datasync()
    } finally {
      await handle.close()
    }
  }
}

/** Puts a directory aside, for a person to look at: renamed to `<directory>.damaged-1`, `-2`… Returns the new name. */
export async function quarantineDirectory(directory: string): Promise<string> {
  const parent = dirname(directory)
  const taken = new Set(await readdir(parent))
  let number = 1
  while (taken.has(`${directory.slice(parent.length + 1)}.damaged-${number}`)) number += 1
  const aside = `${directory}.damaged-${number}`
  await rename(directory, aside)
  const handle = await open(parent, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
  return aside
}

function levelCode(error: unknown): string | undefined {
  const cause = error instanceof Error ? error.cause : undefined
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined
}

function isContradiction(error: unknown): boolean {
  return /corruption|missing files|does not end with newline|no such file|not an sstable/i.test(messages(error))
}

function isFull(error: unknown): boolean {
  return /no space left|quota exceeded/i.test(messages(error))
}

function messages(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause === undefined ? error.message : `${error.message}: ${messages(error.cause)}`
}
