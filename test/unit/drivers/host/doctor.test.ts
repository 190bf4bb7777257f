// The doctor: measured on this machine, and its judgement at every threshold.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemRandom } from '../../../../src/drivers/crypto/random.ts'
import { systemClock } from '../../../../src/drivers/host/clock.ts'
import { checkHostname, doctorLimits, judgeHypervisor, judgeLoop, judgeMtu, judgeState, judgeSync, judgeTroubles, runDoctor } from '../../../../src/drivers/host/doctor.ts'
import { SimHypervisor } from '../../../../src/drivers/sim/hypervisor.ts'
import { SimMachine } from '../../../../src/drivers/sim/machine.ts'
import type { Clock } from '../../../../src/ports/clock.ts'
import { memoryLocalStore } from '../../../contract/memory.ts'

const checks = ['disk sync', 'free space', 'memory', 'clock', 'MTU', 'event loop', 'libvirt', 'hostname']

async function examine(options: { readonly directory: string; readonly clock?: Clock; readonly reachable?: boolean }) {
  const machine = new SimMachine({ clock: systemClock, random: systemRandom })
  const hypervisor = new SimHypervisor({ machine }, { epochs: memoryLocalStore(), clock: systemClock, random: systemRandom })
  await hypervisor.start(new AbortController().signal)
  if (options.reachable === false) machine.setReachable(false)
  try {
    return await runDoctor({ dataDirectory: options.directory, hypervisor, clock: options.clock ?? systemClock })
  } finally {
    await hypervisor.stop()
  }
}

test('every check is measured, advises where it is not good, and leaves nothing behind', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'nc-doctor-'))
  const found = await examine({ directory })
  expect(found.map((each) => each.check)).toEqual(checks)
  for (const each of found) {
    expect(each.measured, each.check).not.toBe('')
    expect(each.advice === '', each.check).toBe(each.outcome === 'good')
  }
  expect(found[0]!.measured).toMatch(/p50 \d+\.\d ms, p99 \d+\.\d ms of 50/)
  expect(readdirSync(directory)).toEqual([])
  rmSync(directory, { recursive: true })
})

test('what cannot be measured is bad, not good', async () => {
  // Time runs so fast that nobody waits long for libvirt.
  const clock: Clock = { ...systemClock, monotonicMs: () => performance.now() * 100, nowMs: () => Date.UTC(1999, 0, 1) }
  const found = await examine({ directory: join(tmpdir(), 'nc-doctor-nowhere'), clock, reachable: false })
  const outcomes = Object.fromEntries(found.map((each) => [each.check, each.outcome]))
  expect(outcomes).toMatchObject({ 'disk sync': 'bad', 'free space': 'bad', clock: 'bad', libvirt: 'bad' })
  expect(found.map((each) => each.check)).toEqual(checks)
})

test.each([
  [judgeSync(1, doctorLimits.syncP99Ms.warning), 'good'],
  [judgeSync(1, doctorLimits.syncP99Ms.warning + 0.1), 'warning'],
  [judgeSync(1, doctorLimits.syncP99Ms.bad + 0.1), 'bad'],
  [judgeLoop(doctorLimits.loopDelayMs.warning), 'good'],
  [judgeLoop(doctorLimits.loopDelayMs.warning + 1), 'warning'],
  [judgeLoop(doctorLimits.loopDelayMs.bad + 1), 'bad'],
  [judgeMtu([{ name: 'eth0', mtuBytes: 1500 }, { name: 'eth1', mtuBytes: 9000 }]), 'good'],
  [judgeMtu([{ name: 'eth0', mtuBytes: 9000 }, { name: 'wg0', mtuBytes: 1420 }]), 'warning'],
  [judgeMtu([{ name: 'odd0', mtuBytes: 576 }]), 'bad'],
  [judgeMtu([]), 'bad'],
  [judgeHypervisor({ accelerator: 'kvm', description: 'QEMU', cpus: 1, memoryMiB: 1 }), 'good'],
  [judgeHypervisor({ accelerator: 'tcg', description: 'QEMU', cpus: 1, memoryMiB: 1 }), 'warning'],
  [checkHostname('node-1'), 'good'],
  [checkHostname('Node1.example.org'), 'good'],
  [checkHostname('my_host'), 'bad'],
  [checkHostname(''), 'bad'],
])('%j is %s', (judged, outcome) => {
  expect(judged.outcome).toBe(outcome)
})

test('a state that differs is bad, and what to do is told', () => {
  const differs = { phase: 'stopped', index: 7, hash: 'a', expected: 'b' } as const
  expect(judgeState({ divergence: differs, comparedIndex: 5, appliedIndex: 9 })).toMatchObject({ outcome: 'bad', measured: 'differs at index 7 or before: a here, b in the cluster', advice: expect.stringContaining('novacron support-bundle') })
  expect(judgeState({ divergence: null, comparedIndex: 5, appliedIndex: 9 })).toMatchObject({ outcome: 'good', advice: '' })
  expect(judgeState({ divergence: null, comparedIndex: 0, appliedIndex: 9 })).toMatchObject({ outcome: 'good', measured: expect.stringContaining('not compared') })
})

test('42, 44: what ails the part in consensus is told with what to do', () => {
  expect(judgeTroubles([])).toEqual([])
  expect(judgeTroubles([{ type: 'Resyncing', message: 'It catches up.' }, { type: 'DiskFull', message: 'There is no space.' }])).toMatchObject([
    { check: 'consensus', outcome: 'warning', measured: 'It catches up.' },
    { check: 'consensus', outcome: 'bad', measured: 'There is no space.', advice: 'Free some space on the disk of the data directory.' },
  ])
})
