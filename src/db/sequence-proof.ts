// A synced number outside a LevelDB, in two alternating slots: says how far the database must reach, since LevelDB itself forgets in silence.
import { strict as assert } from 'node:assert'
import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'

const slotBytes = 4096
const recordBytes = 16

export type SequenceProof = {
  /** The highest number that was proven; null if the file did not exist. 'unreadable' if neither slot makes sense. */
  readonly found: number | null | 'unreadable'
  /** Durable when it resolves. Numbers rise by one, so that a torn write leaves the former one. */
  prove(sequence: number): Promise<void>
  close(): Promise<void>
}

export async function openSequenceProof(path: string): Promise<SequenceProof> {
  const existing = await open(path, 'r+').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  })
  const handle = existing ?? (await createFile(path))
  const file = await handle.readFile()
  const found = existing === null ? null : newest(file)
  return {
    found,
    prove: async (sequence) => {
      const record = Buffer.alloc(recordBytes)
      record.writeUIntLE(sequence, 4, 6)
      record.writeUInt32LE(crc32(record.subarray(4)), 0)
      const { bytesWritten } = await handle.write(record, 0, recordBytes, (sequence % 2) * slotBytes)
      assert.equal(bytesWritten, recordBytes)
      await handle.datasync()
    },
    close: async () => handle.close(),
  }
}

/** Space for both slots is taken at once, so that later syncs need no metadata. */
async function createFile(path: string): Promise<FileHandle> {
  const handle = await open(path, 'w+', 0o600)
  await handle.writeFile(Buffer.alloc(2 * slotBytes))
  await handle.sync()
  const directory = await open(dirname(path), 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
  return handle
}

function newest(file: Buffer): number | 'unreadable' {
  const numbers = [file.subarray(0, recordBytes), file.subarray(slotBytes, slotBytes + recordBytes)]
    .filter((slot) => slot.length === recordBytes && slot.readUInt32LE(0) === crc32(slot.subarray(4)))
    .map((slot) => slot.readUIntLE(4, 6))
  return numbers.length === 0 ? 'unreadable' : Math.max(...numbers)
}
