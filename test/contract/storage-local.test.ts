// The storage contract on a real directory, and what only real files can show: hostile qcow2 files, full disks, damage.
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, openSync, closeSync, writeSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { randomUUID } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { LocalStorage } from '../../src/drivers/storage/local.ts'
import { expectCode } from './expect-code.ts'
import { silentLog } from './memory.ts'
import { bootDisk, chunks, hashOf, storageContract, type StorageSubject } from './storage.ts'

const mib = 1024 * 1024
const signal = new AbortController().signal

function inventory(directory: string): string {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' }).toSorted()
  return names.map((name) => {
    const stats = statSync(join(directory, name))
    return `${name} ${stats.isFile() ? `${stats.size} ${hashOf(readFileSync(join(directory, name)))}` : ''}`
  }).join('\n')
}

async function openLocal(): Promise<StorageSubject> {
  const directory = mkdtempSync(join(tmpdir(), 'novacron-storage-'))
  const open = async (at = directory): Promise<LocalStorage> => {
    const storage = new LocalStorage({ directory: at, freeBytesReserve: 0 }, { log: silentLog })
    await storage.start()
    return storage
  }
  return {
    storage: await open(),
    restart: () => open(),
    inventory: async () => inventory(directory),
    withRoom: async (bytes) => {
      // A real full disk: the kernel's own ENOSPC.
      const small = mkdtempSync(join(tmpdir(), 'novacron-small-'))
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'small', small])
      return {
        storage: await open(small),
        inventory: async () => inventory(small),
        close: async () => {
          execFileSync('umount', [small])
          rmSync(small, { recursive: true })
        },
      }
    },
    close: async () => rmSync(directory, { recursive: true, force: true }),
  }
}

storageContract('a local directory', openLocal)

describe('real files', () => {
  const directory = mkdtempSync(join(tmpdir(), 'novacron-storage-'))
  const home = join(directory, 'home')
  afterAll(() => rmSync(directory, { recursive: true, force: true }))
  const qemuImg = (...words: readonly string[]): string => execFileSync('qemu-img', words, { encoding: 'utf8' })
  const open = async (freeBytesReserve = 0): Promise<LocalStorage> => {
    const storage = new LocalStorage({ directory: home, freeBytesReserve }, { log: silentLog })
    await storage.start()
    return storage
  }
  const importFile = async (path: string): Promise<unknown> => (await open()).importImage(chunks(readFileSync(path)), { sha256: null, sizeBytesMax: 64 * mib }, signal)
  const file = (name: string): string => join(directory, name)

  it('takes a qcow2 and hands QEMU an overlay that names its backing file and format', async () => {
    qemuImg('create', '-q', '-f', 'qcow2', file('good.qcow2'), '10M')
    const storage = await open()
    const image = await storage.importImage(chunks(readFileSync(file('good.qcow2'))), { sha256: null, sizeBytesMax: 64 * mib }, signal)
    expect(image).toMatchObject({ format: 'qcow2', virtualSizeBytes: 10 * mib })
    const volume = await storage.createVolume({ vmId: randomUUID(), name: 'root', sizeBytes: 20 * mib, image })
    const info = JSON.parse(qemuImg('info', '--output=json', volume.path)) as Record<string, unknown>
    expect(info).toMatchObject({ format: 'qcow2', 'virtual-size': 20 * mib, 'backing-filename': join(home, 'images', `${image.sha256}.qcow2`), 'backing-filename-format': 'qcow2' })
  })

  it('refuses overlays, external data, damage, and the wrong format, each with its reason', async () => {
    qemuImg('create', '-q', '-f', 'qcow2', '-b', '/etc/passwd', '-F', 'raw', file('overlay.qcow2'), '1M')
    qemuImg('create', '-q', '-f', 'qcow2', '-o', `data_file=${file('secret.raw')},data_file_raw=on`, file('external.qcow2'), '1M')
    qemuImg('create', '-q', '-f', 'vmdk', file('disk.vmdk'), '1M')
    writeFileSync(file('disk.raw'), bootDisk(4 * mib, 'x'))
    qemuImg('convert', '-q', '-f', 'raw', '-O', 'qcow2', file('disk.raw'), file('damaged.qcow2'))
    const handle = openSync(file('damaged.qcow2'), 'r+')
    // The first entry of the first level table points far beyond the file.
    const tableAt = Number(readFileSync(file('damaged.qcow2')).readBigUInt64BE(40))
    writeSync(handle, Buffer.from('8000ffffffff0000', 'hex'), 0, 8, tableAt)
    closeSync(handle)
    writeFileSync(file('short.qcow2'), readFileSync(file('good.qcow2')).subarray(0, 60))
    const before = inventory(home)
    for (const name of ['overlay.qcow2', 'external.qcow2', 'disk.vmdk', 'damaged.qcow2', 'short.qcow2']) await expectCode(importFile(file(name)), 'IMAGE_UNREADABLE')
    await expect(importFile(file('disk.vmdk'))).rejects.toThrow(/VMDK/)
    await expect(importFile(file('overlay.qcow2'))).rejects.toThrow(/overlay/)
    expect(inventory(home)).toBe(before)
  })

  it('a volume that came from another host stands on this host’s image, with all that was written into it', async () => {
    const there = new LocalStorage({ directory: join(directory, 'there'), freeBytesReserve: 0 }, { log: silentLog })
    const here = await open()
    await there.start()
    const disk = bootDisk(2 * mib, 'moving')
    const { sha256 } = await there.importImage(chunks(disk), { sha256: null, sizeBytesMax: 64 * mib }, signal)
    await here.importImage(chunks(disk), { sha256: null, sizeBytesMax: 64 * mib }, signal)
    const request = { vmId: randomUUID(), name: 'root', sizeBytes: 4 * mib, image: { sha256, format: 'raw' as const } }
    const volume = await there.createVolume(request)
    execFileSync('qemu-io', ['-f', 'qcow2', '-c', 'write -P 0x5a 1M 64k', volume.path])
    const taken = await here.takeVolume(request, there.readVolume(request.vmId, 'root', signal), signal)
    const info = JSON.parse(qemuImg('info', '--output=json', taken.path)) as Record<string, unknown>
    expect(info['full-backing-filename']).toBe(join(home, 'images', `${sha256}.raw`))
    expect(info['backing-filename-format']).toBe('raw')
    qemuImg('compare', '-f', 'qcow2', '-F', 'qcow2', volume.path, taken.path)

    const again = { ...request, vmId: randomUUID() }
    const take = (bytes: Uint8Array, change: object = {}) => here.takeVolume({ ...again, ...change }, chunks(bytes), signal)
    const file = readFileSync(volume.path)
    await expectCode(take(file.subarray(0, 100)), 'STORAGE_FAILED')
    await expectCode(take(bootDisk(mib, 'no qcow2')), 'STORAGE_FAILED')
    await expectCode(take(file.subarray(0, file.length - 64 * 1024)), 'STORAGE_FAILED')
    await expectCode(take(file, { image: null }), 'STORAGE_FAILED')
    const outside = Buffer.from(file)
    outside.writeUInt32BE(outside.readUInt32BE(76) | 4, 76)
    await expectCode(take(outside), 'STORAGE_FAILED')
    expect(await here.volumes(again.vmId)).toEqual([])
    expect(readdirSync(join(home, 'incoming'))).toEqual([])
    await here.deleteVolumes(request.vmId)
  })

  it('keeps the reserve free', async () => {
    const storage = await open(1024 ** 5)
    await expectCode(storage.createVolume({ vmId: randomUUID(), name: 'data', sizeBytes: mib, image: null }), 'STORAGE_FULL')
    await expectCode(storage.importImage(chunks(bootDisk(mib, 'y')), { sha256: null, sizeBytesMax: 64 * mib }, signal), 'STORAGE_FULL')
  })

  it('says that a disk is in use', async () => {
    const storage = await open()
    const vmId = randomUUID()
    const volume = await storage.createVolume({ vmId, name: 'data', sizeBytes: 8 * mib, image: null })
    await lockedBy(volume.path, () => expectCode(storage.resizeVolume(vmId, 'data', 16 * mib), 'IN_USE'))
    await storage.resizeVolume(vmId, 'data', 16 * mib)
  })

  it('removes what an earlier life left unfinished', async () => {
    await open()
    mkdirSync(join(home, 'incoming', 'seed-x'), { recursive: true })
    writeFileSync(join(home, 'incoming', 'half.image'), 'half')
    await open()
    expect(readdirSync(join(home, 'incoming'))).toEqual([])
  })

  it('the seed is an ISO labelled cidata with the files cloud-init looks for', async () => {
    const storage = await open()
    const path = await storage.writeSeed(randomUUID(), { hostname: 'web', userData: '#cloud-config\n{"a": 1}\n', networkConfig: 'version: 2\n' })
    const listing = execFileSync('isoinfo', ['-i', path, '-J', '-f'], { encoding: 'utf8' })
    expect(listing.trim().split('\n').toSorted()).toEqual(['/meta-data', '/network-config', '/user-data'])
    expect(execFileSync('isoinfo', ['-d', '-i', path], { encoding: 'utf8' })).toMatch(/Volume id: cidata/)
    expect(execFileSync('isoinfo', ['-i', path, '-J', '-x', '/meta-data'], { encoding: 'utf8' })).toMatch(/"local-hostname":"web"/)
  })
})

/** Runs an action while a QEMU tool holds the disk. */
async function lockedBy(path: string, action: () => Promise<void>): Promise<void> {
  const io = spawn('qemu-io', ['-f', 'qcow2', path], { stdio: ['pipe', 'pipe', 'ignore'] })
  try {
    // Its prompt comes once the disk is open.
    await new Promise<void>((resolve) => io.stdout.once('data', () => resolve()))
    await action()
  } finally {
    const gone = new Promise<void>((resolve) => io.once('exit', () => resolve()))
    io.kill('SIGKILL')
    await gone
  }
}
