// The hypervisor contract on libvirt's own simulation, test:///default: the same protocol and daemon without any QEMU.
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { systemClock } from '../../src/drivers/host/clock.ts'
import { LibvirtHypervisor } from '../../src/drivers/libvirt/hypervisor.ts'
import { hypervisorContract, type HypervisorSubject, type Lacks } from './hypervisor.ts'
import { PrivateLibvirtd } from './libvirtd.ts'
import { memoryLocalStore, silentLog } from './memory.ts'

const run = promisify(execFile)

/** What libvirt 9's test driver has not: guest code, and a memory that outlives its last connection. */
const lacks: Lacks = { guest: 'CONSOLE_BUSY', restart: true, freeze: true, outside: true }

async function openTestDriver(): Promise<HypervisorSubject> {
  const libvirtd = new PrivateLibvirtd()
  await libvirtd.open()
  const epochs = memoryLocalStore()
  const drivers: LibvirtHypervisor[] = []
  const openDriver = async (): Promise<LibvirtHypervisor> => {
    const driver = new LibvirtHypervisor(
      { uri: `test:///default?socket=${libvirtd.socketPath}`, accelerator: 'tcg' },
      { epochs, clock: systemClock, log: silentLog },
    )
    drivers.push(driver)
    await driver.start(new AbortController().signal)
    return driver
  }
  const virsh = async (...words: readonly string[]): Promise<string> =>
    (await run('virsh', ['-q', '-c', `test+unix:///default?socket=${libvirtd.socketPath}`, ...words], { timeout: 20_000 })).stdout
  const absent = async (): Promise<never> => {
    throw new Error('the test driver lacks this')
  }
  return {
    hypervisor: await openDriver(),
    lacks,
    spec: {
      id: '', domainName: '', title: 'a test', epoch: 1, cpus: 1, memoryMiB: 16, firmware: 'bios', seedPath: null,
      disks: [{ name: 'root', path: '/nowhere/disk.qcow2', format: 'qcow2', bus: 'virtio', readOnly: false }], nics: [{ network: 'nat', mac: '52:54:00:12:34:56' }],
    },
    restartDriver: async () => {
      const before = drivers.at(-1)!
      // The next one connects first: the simulation ends with its last connection.
      const next = await openDriver()
      await before.stop()
      return next
    },
    outside: {
      defineForeign: async ({ id, name }) => {
        const file = join(libvirtd.directory, `${id}.xml`)
        writeFileSync(file, `<domain type='test'><name>${name}</name><uuid>${id}</uuid><memory unit='MiB'>16</memory><os><type>hvm</type></os></domain>`)
        await virsh('define', file)
      },
      foreignNames: async () => (await virsh('list', '--all', '--name')).split('\n'),
      removeForeign: async (id) => void (await virsh('undefine', id)),
      destroy: absent,
      crash: absent,
    },
    host: { kill: absent, start: absent, freeze: absent, thaw: absent },
    close: async () => {
      for (const driver of drivers) await driver.stop()
      await libvirtd.close()
    },
  }
}

hypervisorContract('libvirt test driver', openTestDriver, lacks)
