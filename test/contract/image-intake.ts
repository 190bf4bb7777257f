// The contract of the ImageIntake port: what comes in pieces, survives breaks and restarts, and is an image only when it is whole.
import { randomFillSync } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { StorageDriver } from '../../src/ports/storage.ts'
import { expectCode } from './expect-code.ts'
import { bootDisk, chunks, hashOf, type StorageSubject } from './storage.ts'

const mib = 1024 * 1024
const { signal } = new AbortController()

function randomBootDisk(bytes: number): Buffer {
  const disk = randomFillSync(Buffer.alloc(bytes))
  disk.set([0x55, 0xaa], 510)
  return disk
}

export function imageIntakeContract(name: string, open: () => Promise<StorageSubject>): void {
  describe(`intake: ${name}`, () => {
    let subject: StorageSubject
    let storage: StorageDriver
    beforeAll(async () => {
      subject = await open()
      storage = subject.storage
    })
    afterAll(async () => subject.close())

    const begin = (id: string, verified = false) => storage.intake.open(id, { note: `of ${id}`, verified })
    const append = (id: string, bytes: Uint8Array, offset: number, sizeBytesMax = 64 * mib) => storage.intake.append(id, chunks(bytes), { offset, sizeBytesMax, signal })
    const collect = async (source: AsyncIterable<Uint8Array>) => {
      const parts: Uint8Array[] = []
      for await (const part of source) parts.push(Buffer.from(part))
      return Buffer.concat(parts)
    }

    it('takes a file in parts, over a restart, and gives it out again', async () => {
      const disk = bootDisk(3 * mib, 'parts')
      expect(await begin('upload-1')).toMatchObject({ id: 'upload-1', sizeBytes: 0, note: 'of upload-1' })
      expect(await append('upload-1', disk.subarray(0, mib), 0)).toBe(mib)
      storage = await subject.restart()
      expect(await storage.intake.list()).toMatchObject([{ id: 'upload-1', sizeBytes: mib, note: 'of upload-1' }])
      expect(await begin('upload-1')).toMatchObject({ sizeBytes: mib })
      expect(await append('upload-1', disk.subarray(mib), mib)).toBe(3 * mib)
      const image = await storage.intake.finish('upload-1', { sha256: null }, signal)
      expect(image).toEqual({ sha256: hashOf(disk), format: 'raw', sizeBytes: 3 * mib, virtualSizeBytes: 3 * mib })
      expect(await storage.hasImage(image.sha256)).toBe(true)
      expect(await storage.intake.list()).toEqual([])
      expect((await collect(storage.intake.read(image.sha256, 2 * mib, signal))).equals(disk.subarray(2 * mib))).toBe(true)
      await storage.deleteImage(image.sha256)
    })

    it('takes parts only where the last one ended', async () => {
      const disk = bootDisk(mib, 'order')
      await begin('upload-2')
      await append('upload-2', disk.subarray(0, 1000), 0)
      await expect(append('upload-2', disk, 0)).rejects.toMatchObject({ code: 'STATE_CONFLICT', data: { offset: 1000 } })
      await expect(append('upload-2', disk, 2000)).rejects.toMatchObject({ code: 'STATE_CONFLICT', data: { offset: 1000 } })
      await expectCode(append('upload-2', disk, 1000, mib), 'BODY_TOO_LARGE')
      await storage.intake.discard('upload-2')
      await storage.intake.discard('upload-2')
      await expectCode(append('upload-2', disk, 0), 'NOT_FOUND')
    })

    it('keeps what came before a break', async () => {
      const disk = bootDisk(2 * mib, 'break')
      const broken = new Error('the line broke')
      await begin('upload-3')
      const source = async function* (): AsyncGenerator<Uint8Array> {
        yield disk.subarray(0, mib)
        throw broken
      }
      await expect(storage.intake.append('upload-3', source(), { offset: 0, sizeBytesMax: 4 * mib, signal })).rejects.toBe(broken)
      expect(await storage.intake.list()).toMatchObject([{ sizeBytes: mib }])
      await append('upload-3', disk.subarray(mib), mib)
      const { sha256 } = await storage.intake.finish('upload-3', { sha256: hashOf(disk) }, signal)
      await storage.deleteImage(sha256)
    })

    it('keeps nothing that is not what was promised, or no image', async () => {
      const disk = bootDisk(mib, 'other')
      await begin('fetch-1', true)
      await append('fetch-1', disk, 0)
      await expectCode(storage.intake.finish('fetch-1', { sha256: '0'.repeat(64), format: 'raw' }, signal), 'IMAGE_CHECKSUM')
      expect(await storage.intake.list()).toEqual([])
      await begin('upload-4')
      await append('upload-4', new Uint8Array(mib), 0)
      await expectCode(storage.intake.finish('upload-4', { sha256: null }, signal), 'IMAGE_UNREADABLE')
      expect(await storage.intake.list()).toEqual([])
      await expectCode(storage.intake.finish('upload-4', { sha256: null }, signal), 'NOT_FOUND')
      await expect(collect(storage.intake.read('0'.repeat(64), 0, signal))).rejects.toMatchObject({ code: 'NOT_FOUND' })
    })

    it('needs a piece no longer than until the next one is asked for', async () => {
      const disk = randomBootDisk(2 * mib + 1536)
      await begin('upload-6')
      const source = async function* (): AsyncGenerator<Uint8Array> {
        const lent = Buffer.alloc(100_000)
        for (let at = 0; at < disk.length; at += lent.length) {
          const bytes = disk.copy(lent, 0, at)
          yield lent.subarray(0, bytes)
          lent.fill(0)
        }
      }
      await storage.intake.append('upload-6', source(), { offset: 0, sizeBytesMax: 4 * mib, signal })
      const image = await storage.intake.finish('upload-6', { sha256: hashOf(disk) }, signal)
      expect(image.sizeBytes).toBe(disk.length)
      expect((await collect(storage.intake.read(image.sha256, 0, signal))).equals(disk)).toBe(true)
      await storage.deleteImage(image.sha256)
    })

    it('gives pieces that stay as they are until the next one is asked for, and knows the size beforehand', async () => {
      const disk = randomBootDisk(3 * mib + 1536)
      const { sha256 } = await storage.importImage(chunks(disk), { sha256: null, sizeBytesMax: 4 * mib }, signal)
      expect(await storage.intake.sizeOf(sha256)).toBe(disk.length)
      const parts: Buffer[] = []
      for await (const piece of storage.intake.read(sha256, 5, signal)) {
        const before = hashOf(piece)
        await delay(5)
        expect(hashOf(piece)).toBe(before)
        parts.push(Buffer.from(piece))
      }
      expect(Buffer.concat(parts).equals(disk.subarray(5))).toBe(true)
      expect(await collect(storage.intake.read(sha256, disk.length, signal))).toHaveLength(0)
      for await (const piece of storage.intake.read(sha256, 0, signal)) if (piece.length > 0) break
      const [abort, reason] = [new AbortController(), new Error('no longer wanted')]
      const reading = (async () => { for await (const piece of storage.intake.read(sha256, 0, abort.signal)) if (piece.length > 0) abort.abort(reason) })()
      await expect(reading).rejects.toBe(reason)
      await expectCode(storage.intake.sizeOf('0'.repeat(64)), 'NOT_FOUND')
      await storage.deleteImage(sha256)
    })

    it('takes one part at a time', async () => {
      await begin('upload-5')
      const gate = Promise.withResolvers<void>()
      const slow = async function* (): AsyncGenerator<Uint8Array> {
        yield bootDisk(1000, 'slow')
        await gate.promise
      }
      const first = storage.intake.append('upload-5', slow(), { offset: 0, sizeBytesMax: mib, signal })
      await expect.poll(async () => (await storage.intake.list())[0]?.sizeBytes).toBe(1000)
      await expectCode(append('upload-5', new Uint8Array(10), 1000), 'STATE_CONFLICT')
      gate.resolve()
      expect(await first).toBe(1000)
      await storage.intake.discard('upload-5')
    })
  })
}
