// The intake contract on a real directory, and what only real files can show: a tail that no record vouches for.
import { appendFileSync, mkdtempSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { LocalStorage } from '../../src/drivers/storage/local.ts'
import { imageIntakeContract } from './image-intake.ts'
import { silentLog } from './memory.ts'
import { bootDisk, chunks, hashOf } from './storage.ts'

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

const { signal } = new AbortController()
/** Files below the directory that this process has open. */
const openBelow = (directory: string) => readdirSync('/proc/self/fd').filter((fd) => {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`).startsWith(directory)
  } catch {
    return false
  }
})

test('a reader that leaves in the midst leaves no open file', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'novacron-intake-'))
  try {
    const { intake, sha256 } = await imported(directory)
    for await (const piece of intake.read(sha256, 0, signal)) if (piece.length > 0) break
    const abort = new AbortController()
    const reading = (async () => { for await (const piece of intake.read(sha256, 0, abort.signal)) if (piece.length > 0) abort.abort(new Error('left')) })()
    await expect(reading).rejects.toThrow('left')
    expect(openBelow(directory)).toEqual([])
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})

async function imported(directory: string) {
  const storage = await open(directory)
  const { sha256 } = await storage.importImage(chunks(bootDisk(4 * 1024 * 1024, 'x')), { sha256: null, sizeBytesMax: 2 ** 30 }, signal)
  return { intake: storage.intake, sha256 }
}

test('what could not be written is not in the checksum', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'novacron-intake-'))
  try {
    const { intake } = await open(directory)
    const disk = bootDisk(3_000_000, 'x')
    const data = join(directory, 'partial', 'fetch-1.data')
    await intake.open('fetch-1', { note: '', verified: true })
    rmSync(data)
    // The device that is always full.
    symlinkSync('/dev/full', data)
    await expect(intake.append('fetch-1', chunks(disk), { offset: 0, sizeBytesMax: 2 ** 30, signal })).rejects.toThrow(/storage|write|sync/i)
    rmSync(data)
    writeFileSync(data, '')
    expect(await intake.append('fetch-1', chunks(disk), { offset: 0, sizeBytesMax: 2 ** 30, signal })).toBe(disk.length)
    expect(await intake.finish('fetch-1', { sha256: hashOf(disk), format: 'raw' }, signal)).toMatchObject({ sha256: hashOf(disk) })
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
