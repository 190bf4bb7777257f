// Files that are either whole or not there: synced, then given their name.
import { constants } from 'node:fs'
import { access, link, open, rename, statfs, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { OperationalError } from '../../model/error.ts'

/** Gives a finished file its name, durable when it resolves. */
export async function publish(temporary: string, path: string): Promise<void> {
  await syncPath(temporary)
  await rename(temporary, path)
  await syncPath(dirname(path))
}

/** The same, but leaves what has the name already. The temporary file is gone either way. @returns whether it got the name */
export async function publishNew(temporary: string, path: string): Promise<boolean> {
  await syncPath(temporary)
  let published = true
  try {
    await link(temporary, path)
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
    published = false
  }
  await unlink(temporary)
  await syncPath(dirname(path))
  return published
}

export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

export async function exists(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return false
    throw error
  }
}

/** The file's first bytes, fewer where it is shorter. */
export async function readStart(path: string, bytes: number): Promise<Uint8Array> {
  const handle = await open(path, constants.O_RDONLY)
  try {
    const buffer = Buffer.alloc(bytes)
    let read = 0
    while (read < bytes) {
      const { bytesRead } = await handle.read(buffer, read, bytes - read, read)
      if (bytesRead === 0) break
      read += bytesRead
    }
    return buffer.subarray(0, read)
  } finally {
    await handle.close()
  }
}

export type Space = { readonly usedBytes: number; readonly totalBytes: number; readonly availableBytes: number }

export async function readSpace(directory: string): Promise<Space> {
  const { bsize, blocks, bfree, bavail } = await statfs(directory)
  return { usedBytes: (blocks - bfree) * bsize, totalBytes: blocks * bsize, availableBytes: bavail * bsize }
}

/** The system's error in our words; OperationalErrors pass. */
export function storageError(error: unknown, doing: string): unknown {
  if (error instanceof OperationalError || !(error instanceof Error) || !('code' in error)) return error
  if (hasCode(error, 'ENOSPC', 'EDQUOT')) return new OperationalError('STORAGE_FULL', `The storage is full: ${doing} was undone.`, { cause: error })
  return new OperationalError('STORAGE_FAILED', `${doing} failed: ${error.message}`, { cause: error })
}

export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}
