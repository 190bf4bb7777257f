// The intake contract on a real directory, and what only real files can show: a tail that no record vouches for.
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { LocalStorage } from '../../src/drivers/storage/local.ts'
import { imageIntakeContract } from './image-intake.ts'
import { silentLog } from './memory.ts'
import { bootDisk, chunks } from './storage.ts'

const open = async (directory: string): Promise<LocalStorage> => {
  const storage = new LocalStorage({ directory, freeBytesReserve: 0 }, { log: silentLog })
  await storage.start()
  return storage
}

imageIntakeContract('a local directory', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'novacron-intake-'))
  return {
    storage: await open(directory), restart: () => open(directory), inventory: async () => '',
    withRoom: async () => ({ storage: await open(directory), inventory: async () => '', close: async () => {} }),
    close: async () => rmSync(directory, { recursive: true, force: true }),
  }
})

test('a tail that was not synced is trusted only where a checksum will tell', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'novacron-intake-'))
  try {
    for (const verified of [false, true]) {
      const id = `upload-${verified ? 'a' : 'b'}`
      const before = await open(directory)
      await before.intake.open(id, { note: '', verified })
      await before.intake.append(id, chunks(bootDisk(4096, 'x')), { offset: 0, sizeBytesMax: 8192, signal: new AbortController().signal })
      appendFileSync(join(directory, 'partial', `${id}.data`), Buffer.alloc(1000))
      const after = await open(directory)
      expect((await after.intake.open(id, { note: '', verified })).sizeBytes).toBe(verified ? 5096 : 4096)
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
