// The hypervisor contract on libvirt with QEMU, in a private libvirtd.
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { systemClock } from '../../src/drivers/host/clock.ts'
import { LibvirtHypervisor } from '../../src/drivers/libvirt/hypervisor.ts'
import { echoDisk } from './boot-sector.ts'
import { hypervisorContract, type HypervisorSubject } from './hypervisor.ts'
import { PrivateLibvirtd } from './libvirtd.ts'
import { memoryLocalStore, silentLog } from './memory.ts'

const run = promisify(execFile)

async function openQemu(): Promise<HypervisorSubject> {
  const libvirtd = new PrivateLibvirtd()
  await libvirtd.open()
  const disk = join(libvirtd.directory, 'echo.raw')
  writeFileSync(disk, echoDisk())
  const epochs = memoryLocalStore()
  const drivers: LibvirtHypervisor[] = []
  const openDriver = async (): Promise<LibvirtHypervisor> => {
    const driver = new LibvirtHypervisor(
      { socketPath: libvirtd.socketPath, accelerator: 'tcg', keepaliveMs: 3_500, callTimeoutMsMax: 8_000, localPath: (path) => libvirtd.localPath(path) },
      { epochs, clock: systemClock, log: silentLog },
    )
    drivers.push(driver)
    await driver.start(new AbortController().signal)
    return driver
  }
  const virsh = async (...words: readonly string[]): Promise<string> =>
    (await run('virsh', ['-q', '-c', `qemu:///system?socket=${libvirtd.socketPath}`, ...words], { timeout: 20_000 })).stdout
  return {
    hypervisor: await openDriver(),
    lacks: {},
    // Read-only, so that many domains may boot the one disk.
    spec: {
      id: '', domainName: '', title: 'a test', epoch: 1, cpus: 1, memoryMiB: 16, firmware: 'bios', seedPath: null,
      disks: [{ name: 'root', path: disk, format: 'raw', bus: 'virtio', readOnly: true }], nics: [{ network: 'nat', mac: '52:54:00:12:34:56' }],
    },
    restartDriver: async () => {
      await drivers.at(-1)!.stop()
      return openDriver()
    },
    outside: {
      defineForeign: async ({ id, name }) => {
        const file = join(libvirtd.directory, `${id}.xml`)
        writeFileSync(file, `<domain type='qemu'><name>${name}</name><uuid>${id}</uuid><memory unit='MiB'>16</memory><os><type>hvm</type></os></domain>`)
        await virsh('define', file)
      },
      foreignNames: async () => (await virsh('list', '--all', '--name')).split('\n'),
      removeForeign: async (id) => void (await virsh('undefine', id)),
      destroy: async (id) => void (await virsh('destroy', id)),
      crash: async (id) => {
        const { stdout } = await run('pgrep', ['-f', `^/usr/bin/qemu-system-x86_64 .*-uuid ${id}`])
        const pid = Number(stdout.trim())
        if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(id)) throw new Error('not the QEMU that was meant')
        process.kill(pid, 'SIGKILL')
      },
    },
    host: {
      kill: () => libvirtd.killDaemon(),
      start: () => libvirtd.startDaemon(),
      freeze: async () => libvirtd.stopDaemon(),
      thaw: async () => libvirtd.continueDaemon(),
    },
    close: async () => {
      for (const driver of drivers) await driver.stop()
      await libvirtd.close()
    },
  }
}

hypervisorContract('libvirt with QEMU', openQemu, {})
