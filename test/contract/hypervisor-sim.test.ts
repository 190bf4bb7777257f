// The hypervisor contract on the simulated machine.
import { systemRandom } from '../../src/drivers/crypto/random.ts'
import { systemClock } from '../../src/drivers/host/clock.ts'
import { SimHypervisor } from '../../src/drivers/sim/hypervisor.ts'
import { SimMachine } from '../../src/drivers/sim/machine.ts'
import { hypervisorContract } from './hypervisor.ts'
import { memoryLocalStore } from './memory.ts'

hypervisorContract('the simulator', async () => {
  const machine = new SimMachine({ clock: systemClock, random: systemRandom })
  machine.faults.shutdownMs = 5
  const epochs = memoryLocalStore()
  const drivers: SimHypervisor[] = []
  const openDriver = async (): Promise<SimHypervisor> => {
    const driver = new SimHypervisor({ machine, callTimeoutMs: 100, keepaliveMs: 50 }, { epochs, clock: systemClock, random: systemRandom })
    drivers.push(driver)
    await driver.start(new AbortController().signal)
    return driver
  }
  return {
    hypervisor: await openDriver(),
    lacks: {},
    spec: { id: '', domainName: '', title: 'a test', epoch: 1, cpus: 1, memoryMiB: 16, firmware: 'bios', seedPath: null, disks: [], nics: [] },
    restartDriver: async () => {
      await drivers.at(-1)!.stop()
      return openDriver()
    },
    outside: {
      defineForeign: async ({ id, name }) => machine.defineForeign(id, name),
      foreignNames: async () => machine.domains().map((domain) => domain.name),
      removeForeign: async (id) => machine.remove(id),
      destroy: async (id) => machine.destroy(id),
      crash: async (id) => machine.crash(id),
    },
    host: {
      kill: async () => machine.setReachable(false),
      start: async () => machine.setReachable(true),
      freeze: async () => machine.setFrozen(true),
      thaw: async () => machine.setFrozen(false),
    },
    close: async () => {
      for (const driver of drivers) await driver.stop()
    },
  }
}, {})
