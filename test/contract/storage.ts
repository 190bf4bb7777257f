// The contract of the StorageDriver port: one suite for the simulator and the local directory.
import { createHash, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { StorageDriver } from '../../src/ports/storage.ts'
import { expectCode } from './expect-code.ts'

const mib = 1024 * 1024

export type StorageSubject = {
  readonly storage: StorageDriver
  /** The daemon starts again over the same disk. */
  restart(): Promise<StorageDriver>
  /** Everything there is, as text that changes when anything does. */
  inventory(): Promise<string>
  /** A small storage with about this much room. */
  withRoom(bytes: number): Promise<{ readonly storage: StorageDriver; inventory(): Promise<string>; close(): Promise<void> }>
  close(): Promise<void>
}

export function storageContract(name: string, open: () => Promise<StorageSubject>): void {
  describe(name, () => {
    let subject: StorageSubject
    let storage: StorageDriver
    beforeAll(async () => {
      subject = await open()
      storage = subject.storage
    })
    afterAll(async () => subject.close())

    const importBytes = (bytes: Uint8Array, sha256: string | null = null, sizeBytesMax = 64 * mib, into = storage) =>
      into.importImage(chunks(bytes), { sha256, sizeBytesMax }, new AbortController().signal)

    /** The failed call must leave nothing, not even a temporary file. */
    const refused = async (promise: () => Promise<unknown>, code: Parameters<typeof expectCode>[1]): Promise<void> => {
      const before = await subject.inventory()
      await expectCode(promise(), code)
      expect(await subject.inventory()).toBe(before)
    }

    it('keeps an image under its hash', async () => {
      const disk = bootDisk(2 * mib, 'a')
      const sha256 = hashOf(disk)
      expect(await importBytes(disk, sha256.toUpperCase())).toEqual({ sha256, format: 'raw', sizeBytes: disk.length, virtualSizeBytes: disk.length })
      expect(await storage.hasImage(sha256)).toBe(true)
      expect(await storage.images()).toContain(sha256)
      expect(await importBytes(disk)).toMatchObject({ sha256 })
      await storage.deleteImage(sha256)
      await storage.deleteImage(sha256)
      expect(await storage.hasImage(sha256)).toBe(false)
    })

    it('refuses what is no image, and keeps nothing of it', async () => {
      await refused(() => importBytes(new Uint8Array(0)), 'IMAGE_UNREADABLE')
      await refused(() => importBytes(new TextEncoder().encode('I am a poem, not a disk.\n'.repeat(512))), 'IMAGE_UNREADABLE')
      await refused(() => importBytes(bootDisk(mib + 1, 'odd')), 'IMAGE_UNREADABLE')
      await refused(() => importBytes(new Uint8Array(mib)), 'IMAGE_UNREADABLE')
    })

    it('refuses another checksum, and more than the limit', async () => {
      const disk = bootDisk(mib, 'b')
      await refused(() => importBytes(disk, '0'.repeat(64)), 'IMAGE_CHECKSUM')
      await refused(() => importBytes(disk, null, mib - 1), 'BODY_TOO_LARGE')
    })

    it('undoes an import whose source fails, or that is given up', async () => {
      const before = await subject.inventory()
      const broken = new Error('the upload broke')
      const source = async function* (): AsyncGenerator<Uint8Array> {
        yield bootDisk(mib, 'c')
        throw broken
      }
      await expect(storage.importImage(source(), { sha256: null, sizeBytesMax: 64 * mib }, new AbortController().signal)).rejects.toBe(broken)
      const abort = new AbortController()
      const hanging = async function* (): AsyncGenerator<Uint8Array> {
        yield bootDisk(mib, 'd')
        abort.abort(broken)
        await new Promise(() => {})
      }
      await expect(storage.importImage(hanging(), { sha256: null, sizeBytesMax: 64 * mib }, abort.signal)).rejects.toBe(broken)
      expect(await subject.inventory()).toBe(before)
    })

    it('makes volumes of an image, as large or larger, and finds them again', async () => {
      const disk = bootDisk(2 * mib, 'e')
      const { sha256, format } = await importBytes(disk)
      const vmId = randomUUID()
      const same = await storage.createVolume({ vmId, name: 'root', sizeBytes: null, image: { sha256, format } })
      expect(same).toMatchObject({ vmId, name: 'root', sizeBytes: 2 * mib })
      const larger = await storage.createVolume({ vmId, name: 'big', sizeBytes: 64 * mib, image: { sha256, format } })
      expect(larger.sizeBytes).toBe(64 * mib)
      await refused(() => storage.createVolume({ vmId, name: 'small', sizeBytes: mib, image: { sha256, format } }), 'INVALID')
      expect(await storage.createVolume({ vmId, name: 'root', sizeBytes: null, image: { sha256, format } })).toEqual(same)
      expect(await storage.volumes(vmId)).toEqual([larger, same])
      storage = await subject.restart()
      expect(await storage.volumes(vmId)).toEqual([larger, same])
      await refused(() => storage.deleteImage(sha256), 'IN_USE')
      await storage.deleteVolumes(vmId)
      await storage.deleteImage(sha256)
      expect(await storage.volumes(vmId)).toEqual([])
    })

    it('makes blank volumes and grows them, never shrinks them', async () => {
      const vmId = randomUUID()
      await storage.createVolume({ vmId, name: 'data', sizeBytes: 8 * mib, image: null })
      await storage.resizeVolume(vmId, 'data', 16 * mib)
      await storage.resizeVolume(vmId, 'data', 16 * mib)
      await refused(() => storage.resizeVolume(vmId, 'data', 8 * mib), 'INVALID')
      await refused(() => storage.resizeVolume(vmId, 'none', 8 * mib), 'NOT_FOUND')
      expect(await storage.volumes(vmId)).toMatchObject([{ name: 'data', sizeBytes: 16 * mib }])
      await storage.deleteVolume(vmId, 'data')
      await storage.deleteVolume(vmId, 'data')
      expect(await storage.volumes(vmId)).toEqual([])
      await storage.deleteVolumes(vmId)
    })

    it('refuses volumes that make no sense', async () => {
      const vmId = randomUUID()
      await refused(() => storage.createVolume({ vmId, name: 'data', sizeBytes: null, image: null }), 'INVALID')
      await refused(() => storage.createVolume({ vmId, name: 'data', sizeBytes: -1, image: null }), 'INVALID')
      await refused(() => storage.createVolume({ vmId, name: '../data', sizeBytes: mib, image: null }), 'INVALID')
      await refused(() => storage.createVolume({ vmId: '../../etc', name: 'data', sizeBytes: mib, image: null }), 'INVALID')
      await refused(() => storage.createVolume({ vmId, name: 'data', sizeBytes: mib, image: { sha256: '0'.repeat(64), format: 'raw' } }), 'REFERENCE_MISSING')
      await refused(() => storage.deleteVolumes('..'), 'INVALID')
    })

    it('makes one volume though asked twice at once', async () => {
      const vmId = randomUUID()
      const [one, two] = await Promise.all([1, 2].map(() => storage.createVolume({ vmId, name: 'data', sizeBytes: 8 * mib, image: null })))
      expect(one).toEqual(two)
      await storage.deleteVolumes(vmId)
    })

    it('hands a volume over to another VM as to another host, once, whole or not at all', async () => {
      const { sha256 } = await importBytes(bootDisk(2 * mib, 'travel'))
      const image = { sha256, format: 'raw' as const }
      const [from, to] = [randomUUID(), randomUUID()]
      const made = await storage.createVolume({ vmId: from, name: 'root', sizeBytes: 4 * mib, image })
      const { signal } = new AbortController()
      const read = () => storage.readVolume(from, 'root', signal)
      const request = { vmId: to, name: 'root', sizeBytes: 4 * mib, image }
      await refused(() => storage.takeVolume({ ...request, image: { ...image, sha256: '0'.repeat(64) } }, read(), signal), 'REFERENCE_MISSING')
      await refused(() => storage.takeVolume(request, storage.readVolume(from, 'none', signal), signal), 'NOT_FOUND')
      const before = await subject.inventory()
      await expect(storage.takeVolume(request, broken(read()), signal)).rejects.toThrow('the line is dead')
      await expect(storage.takeVolume(request, read(), AbortSignal.abort(new Error('given up')))).rejects.toThrow('given up')
      expect(await subject.inventory()).toBe(before)
      expect(await storage.takeVolume(request, read(), signal)).toMatchObject({ vmId: to, name: 'root', sizeBytes: made.sizeBytes })
      expect(await storage.volumes(to)).toHaveLength(1)
      await refused(() => storage.takeVolume(request, read(), signal), 'STATE_CONFLICT')
      await storage.deleteVolumes(from)
      await refused(() => storage.deleteImage(sha256), 'IN_USE')
      await storage.deleteVolumes(to)
      await storage.deleteImage(sha256)
    })

    it('writes seeds, again and again', async () => {
      const vmId = randomUUID()
      const path = await storage.writeSeed(vmId, { hostname: 'web', userData: '#cloud-config\nhostname: x\n' })
      expect(await storage.writeSeed(vmId, { hostname: 'web', networkConfig: 'version: 2\n' })).toBe(path)
      expect(await storage.volumes(vmId)).toEqual([])
      await storage.deleteVolumes(vmId)
    })

    it('tells how full it is', async () => {
      const { usedBytes, totalBytes } = await storage.usage()
      expect(usedBytes).toBeGreaterThanOrEqual(0)
      expect(totalBytes).toBeGreaterThan(usedBytes)
    })

    it('says when it is full, and leaves nothing behind', async () => {
      const small = await subject.withRoom(8 * mib)
      try {
        const before = await small.inventory()
        await expectCode(importBytes(bootDisk(32 * mib, 'f'), null, 64 * mib, small.storage), 'STORAGE_FULL')
        expect(await small.inventory()).toBe(before)
        const disk = bootDisk(2 * mib, 'g')
        expect(await importBytes(disk, hashOf(disk), 64 * mib, small.storage)).toMatchObject({ sizeBytes: 2 * mib })
      } finally {
        await small.close()
      }
    })
  })
}

/** Bytes that differ by name, with a boot sector's mark. */
export function bootDisk(bytes: number, name: string): Uint8Array {
  const disk = Buffer.alloc(bytes)
  disk.write(name, 0)
  disk.set([0x55, 0xaa], 510)
  return disk
}

export function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Ends with a fault after the first piece. */
async function* broken(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of source) {
    yield piece
    throw new Error('the line is dead')
  }
}

export async function* chunks(bytes: Uint8Array, size = 64 * 1024): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}
