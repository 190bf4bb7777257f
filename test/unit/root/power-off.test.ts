// The power of a removed host's VMs is cut, all at once, and looked at again: what something started once more is cut again.
import { expect, test } from 'vitest'
import { systemRandom } from '../../../src/drivers/crypto/random.ts'
import { SimHypervisor } from '../../../src/drivers/sim/hypervisor.ts'
import { SimMachine } from '../../../src/drivers/sim/machine.ts'
import { powerOff } from '../../../src/power-off.ts'
import { memoryLocalStore } from '../../contract/memory.ts'
import { clock, recordingLog, type LogLine } from '../http/harness.ts'

const idOf = (number: number) => `0198c0de-0000-7000-8000-00000000000${number}`

async function host(vms: number) {
  const random = systemRandom
  const machine = new SimMachine({ clock, random })
  machine.faults.bootMs = 0
  const createHypervisor = () => new SimHypervisor({ machine }, { epochs: memoryLocalStore(), clock, random })
  const hypervisor = createHypervisor()
  await hypervisor.start(new AbortController().signal)
  for (let number = 1; number <= vms; number += 1) {
    const id = idOf(number)
    await hypervisor.define({ id, domainName: `vm.${number}`, title: '', epoch: 1, cpus: 1, memoryMiB: 64, firmware: 'bios', disks: [], seedPath: null, nics: [] })
    await hypervisor.boot(id, 1)
  }
  const lines: LogLine[] = []
  const states = async () => (await hypervisor.list()).map((domain) => domain.state)
  return { hypervisor, lines, states, off: () => powerOff({ createHypervisor, clock, log: recordingLog(lines) }) }
}

test('every VM of ours is off afterwards', async () => {
  const { off, states, lines } = await host(3)
  await off()
  expect(await states()).toEqual(['off', 'off', 'off'])
  expect(lines.filter((line) => line.message.startsWith('power cut'))).toHaveLength(3)
})

test('one that a late order starts once more is cut again', async () => {
  const { hypervisor, off, states } = await host(2)
  let late = true
  hypervisor.watch((event) => {
    if (event.kind !== 'domain' || event.id !== idOf(1) || !late) return
    late = false
    void hypervisor.boot(idOf(1), 1)
  })
  await off()
  expect(late).toBe(false)
  expect(await states()).toEqual(['off', 'off'])
})
