// A real guest on QEMU: image tiny with its agent, from the storage driver's volume to power-off; UEFI; a QEMU that the host ends.
import { createReadStream, existsSync, readdirSync } from 'node:fs'
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/drivers/host/clock.ts'
import { LibvirtHypervisor } from '../../src/drivers/libvirt/hypervisor.ts'
import { LocalStorage } from '../../src/drivers/storage/local.ts'
import { OperationalError } from '../../src/model/error.ts'
import type { DomainSpec } from '../../src/ports/hypervisor.ts'
import { PrivateLibvirtd, until } from './libvirtd.ts'
import { memoryLocalStore, silentLog } from './memory.ts'
import { openRfb } from './rfb-client.ts'

const run = promisify(execFile)
/** Built by `make tiny`. */
const tiny = join(import.meta.dirname, '../../build/tiny.qcow2')
const guestTimeoutMs = 45_000

describe('a real guest', () => {
  const libvirtd = new PrivateLibvirtd()
  const storage = new LocalStorage({ directory: join(libvirtd.directory, 'storage') }, { log: silentLog })
  const hypervisor = new LibvirtHypervisor({ socketPath: libvirtd.socketPath, accelerator: 'tcg', localPath: (path) => libvirtd.localPath(path) }, { epochs: memoryLocalStore(), clock: systemClock, log: silentLog })
  const signal = new AbortController().signal

  beforeAll(async () => {
    if (!existsSync(tiny)) throw new Error('build/tiny.qcow2 is missing: run `make tiny` first')
    await libvirtd.open()
    await storage.start()
    await hypervisor.start(signal)
  })
  afterAll(async () => {
    await hypervisor.stop()
    await libvirtd.close()
  })

  const newSpec = (change: Partial<DomainSpec> = {}): DomainSpec => {
    const id = randomUUID()
    return {
      id, domainName: `guest.${id.slice(-8)}`, title: 'guest', epoch: 1, cpus: 1, memoryMiB: 128, firmware: 'bios', disks: [], seedPath: null,
      nics: [{ network: 'nat', mac: '52:54:00:aa:bb:cc' }], ...change,
    }
  }
  const stateOf = async (id: string): Promise<string | undefined> => (await hypervisor.find(id))?.state

  it('boots tiny from a volume, ticks on its console, tells its address, and powers off when asked', { timeout: 120_000 }, async () => {
    const image = await storage.importImage(createReadStream(tiny), { sha256: null, sizeBytesMax: 2 ** 30 }, signal)
    const spec = newSpec()
    const volume = await storage.createVolume({ vmId: spec.id, name: 'root', sizeBytes: 2 ** 30, image })
    const seedPath = await storage.writeSeed(spec.id, { hostname: 'guest', userData: '#cloud-config\n{}\n' })
    await hypervisor.define({ ...spec, seedPath, disks: [{ name: 'root', path: volume.path, format: 'qcow2', bus: 'virtio', readOnly: false }] })
    await hypervisor.boot(spec.id, 1)

    const stream = await hypervisor.console(spec.id, signal)
    let seen = ''
    const reader = stream.readable[Symbol.asyncIterator]()
    const readUntil = async (pattern: RegExp) => {
      while (!pattern.test(seen)) {
        const { value, done } = await reader.next()
        if (done === true) throw new Error(`the console ended after ${JSON.stringify(seen)}`)
        seen += new TextDecoder().decode(value)
      }
    }
    await readUntil(/tick/i)

    const screen = await openRfb(await hypervisor.screen(spec.id, signal))
    expect(screen.width * screen.height).toBeGreaterThanOrEqual(720 * 400)
    const lit = (picture: Uint8Array) => picture.filter((value, at) => at % 4 !== 3 && value > 0x60).length
    await until(async () => lit(await screen.picture()) > 500, 'text on the screen', guestTimeoutMs)
    for (const letter of 'seen\r') await screen.press(letter === '\r' ? 0xff0d : letter.charCodeAt(0))
    await readUntil(/typed on the screen: seen/)

    let addresses: readonly string[] = []
    await until(async () => {
      try {
        addresses = await hypervisor.addresses(spec.id)
      } catch (error) {
        if (!(error instanceof OperationalError) || error.code !== 'AGENT_UNAVAILABLE') throw error
      }
      return addresses.length > 0
    }, 'the guest to tell its address', guestTimeoutMs)
    expect(addresses).toContain('10.0.2.15')

    const events: string[] = []
    const cancel = hypervisor.watch((event) => void (event.kind === 'domain' && event.id === spec.id && events.push(`${event.event} ${event.detail}`.trim())))
    await hypervisor.shutdown(spec.id)
    await until(async () => (await stateOf(spec.id)) === 'off', 'the guest to power off', guestTimeoutMs)
    expect((await hypervisor.find(spec.id))?.reason).toBe('shutdown')
    await until(() => events.includes('stopped shutdown'), 'the event of it')
    cancel()
    await hypervisor.undefine(spec.id)
    await storage.deleteVolumes(spec.id)
    await storage.deleteImage(image.sha256)
  })

  it('a QEMU that the host ends is not taken for a guest that powered off', async () => {
    const spec = newSpec({ memoryMiB: 16 })
    await hypervisor.define(spec)
    await hypervisor.boot(spec.id, 1)
    const { stdout } = await run('pgrep', ['-f', `^/usr/bin/qemu-system-x86_64 .*-uuid ${spec.id}`])
    process.kill(Number(stdout.trim()), 'SIGTERM')
    await until(async () => (await stateOf(spec.id)) === 'off', 'QEMU to end')
    expect((await hypervisor.find(spec.id))?.reason).toBe('destroyed')
    await hypervisor.undefine(spec.id)
  })

  it('runs UEFI firmware, and forgets its variables with the domain', async () => {
    const spec = newSpec({ firmware: 'uefi' })
    await hypervisor.define(spec)
    await hypervisor.boot(spec.id, 1)
    expect(await stateOf(spec.id)).toBe('running')
    const variables = join(libvirtd.directory, 'var', 'qemu', 'nvram')
    expect(readdirSync(variables).length).toBe(1)
    await hypervisor.destroy(spec.id)
    await hypervisor.undefine(spec.id)
    expect(readdirSync(variables)).toEqual([])
  })

  it('takes every kind of disk and as many processors as asked', async () => {
    const spec = newSpec({ cpus: 3, memoryMiB: 64 })
    const buses = ['virtio', 'scsi', 'sata', 'scsi'] as const
    const disks = await Promise.all(buses.map(async (bus, index) => {
      const { path } = await storage.createVolume({ vmId: spec.id, name: `d${index}`, sizeBytes: 2 ** 20, image: null })
      return { name: `d${index}`, path, format: 'qcow2' as const, bus, readOnly: false }
    }))
    await hypervisor.define({ ...spec, disks })
    await hypervisor.boot(spec.id, 1)
    expect(await stateOf(spec.id)).toBe('running')
    await hypervisor.destroy(spec.id)
    await hypervisor.undefine(spec.id)
    await storage.deleteVolumes(spec.id)
  })
})
