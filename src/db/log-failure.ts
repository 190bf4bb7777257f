// How failures of the log's files are told apart: no space (nothing happened), a failed sync (nobody knows), and the rest.

/** A sync that failed. After it nobody knows what is on the disk, and trying again would succeed without having written (fsyncgate, 2018). */
export class SyncError extends Error {
  constructor(cause: unknown) {
    super('sync failed', { cause })
    this.name = 'SyncError'
  }
}

/** @throws SyncError */
export async function synced(sync: Promise<void>): Promise<void> {
  try {
    await sync
  } catch (error) {
    throw new SyncError(error)
  }
}

/** Both at once; nothing is left running when it rejects, and the graver error wins. */
export async function bothSettled(first: Promise<void>, second: Promise<void>): Promise<void> {
  const results = await Promise.allSettled([first, second])
  const errors = results.filter((result) => result.status === 'rejected').map((result): unknown => result.reason)
  if (errors.length > 0) throw errors.find((error) => error instanceof SyncError) ?? errors.find((error) => !isFull(error)) ?? errors[0]
}

/** True for a write that found no space; never for a sync. */
export function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')
}
