// What only the simulated machine does: failures, hangs, lies, power cuts and dead daemons, all from one seed on one clock.
import { beforeEach, describe, expect, it } from 'vitest'
import { SimHypervisor } from '../../../src/drivers/sim/hypervisor.ts'
import { SimMachine } from '../../../src/drivers/sim/machine.ts'
import { OperationalError } from '../../../src/model/error.ts'
import type { Cancel, Clock, Random } from '../../../src/ports/clock.ts'
import type { DomainSpec } from '../../../src/ports/hypervisor.ts'
import { memoryLocalStore } from '../../contract/memory.ts'

/** Time that passes only when told to; between two timers all promises settle. */
class ManualClock implements Clock {
  #now = 0
  #timers: { readonly atMs: number; readonly action: () => void }[] = []
  dead = false

  nowMs = (): number => this.#now
  monotonicMs = (): number => this.#now

  after(delayMs: number, action: () => void): Cancel {
    const timer = { atMs: this.#now + delayMs, action }
    this.#timers.push(timer)
    return () => void (this.#timers = this.#timers.filter((one) => one !== timer))
  }

  every(periodMs: number, action: () => void): Cancel {
    let cancel = (): void => {}
    const arm = (): void => {
      cancel = this.after(periodMs, () => {
        arm()
        action()
      })
    }
    arm()
    return () => cancel()
  }

  async pass(durationMs: number): Promise<void> {
    const end = this.#now + durationMs
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve))
      const next = this.#timers.toSorted((left, right) => left.atMs - right.atMs)[0]
      if (next === undefined || next.atMs > end) break
      this.#timers = this.#timers.filter((one) => one !== next)
      this.#now = next.atMs
      if (!this.dead) next.action()
    }
    this.#now = end
  }
}

/** A linear congruential generator: enough to be the same each time. */
function seeded(seed: number): Random {
  let state = seed
  const next = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0)
  return { integer: (bound) => Math.floor((next() / 2 ** 32) * bound), bytes: (length) => Uint8Array.from({ length }, () => next() >>> 24) }
}

const spec: DomainSpec = {
  id: '0198c0de-0000-7000-8000-000000000001', domainName: 'vm.1', title: '', epoch: 1, cpus: 1, memoryMiB: 64, firmware: 'bios', disks: [], seedPath: null,
  nics: [{ network: 'nat', mac: '52:54:00:00:00:01' }],
}

describe('the simulated machine', () => {
  let clock: ManualClock
  let machine: SimMachine
  let hypervisor: SimHypervisor
  const settle = async <T>(promise: Promise<T>, ms = 20_000): Promise<T | string> => {
    let outcome: T | string = 'pending'
    promise.then((value) => (outcome = value), (error: unknown) => (outcome = error instanceof OperationalError ? error.code : String(error)))
    await clock.pass(ms)
    return outcome
  }
  const openDriver = async (epochs = memoryLocalStore(), daemonClock: Clock = clock): Promise<SimHypervisor> => {
    const driver = new SimHypervisor({ machine }, { epochs, clock: daemonClock, random: seeded(2) })
    await driver.start(new AbortController().signal)
    return driver
  }
  beforeEach(async () => {
    clock = new ManualClock()
    machine = new SimMachine({ clock, random: seeded(1) })
    hypervisor = await openDriver()
    await settle(hypervisor.define(spec))
    await settle(hypervisor.boot(spec.id, 1))
  })

  it('tells whose vCPUs run', async () => {
    expect(machine.runningVcpus()).toEqual([spec.id])
    await settle(hypervisor.pause(spec.id))
    expect(machine.runningVcpus()).toEqual([])
    expect(machine.boots).toBe(1)
  })

  it('a power cut stops every guest and keeps definitions', async () => {
    machine.powerOff()
    expect(machine.runningVcpus()).toEqual([])
    expect(await settle(hypervisor.find(spec.id))).toMatchObject({ state: 'off', reason: 'unknown' })
  })

  it('of calls that fail some were carried out, some not', async () => {
    machine.setFaults({ failRatio: 1 })
    let carriedOut = 0
    for (let round = 0; round < 40; round++) {
      expect(await settle(round % 2 === 0 ? hypervisor.pause(spec.id) : hypervisor.resume(spec.id))).toBe('HYPERVISOR_REFUSED')
      if ((machine.runningVcpus().length === 0) === (round % 2 === 0)) carriedOut++
    }
    expect(carriedOut).toBeGreaterThan(0)
    expect(carriedOut).toBeLessThan(40)
  })

  it('calls that hang time out; some come true late', async () => {
    machine.setFaults({ hangRatio: 1 })
    const late = { before: 0, after: 0 }
    for (let round = 0; round < 20; round++) {
      const call = hypervisor.destroy(spec.id)
      expect(await settle(call, 10_000)).toBe('HYPERVISOR_TIMEOUT')
      late.before += machine.runningVcpus().length
      await clock.pass(6_000)
      late.after += machine.runningVcpus().length
      machine.calm()
      await settle(hypervisor.boot(spec.id, 1))
      machine.setFaults({ hangRatio: 1 })
    }
    expect(late.before).toBe(20)
    expect(late.after).toBeGreaterThan(0)
    expect(late.after).toBeLessThan(20)
  })

  it('lies about what has just changed, and not for long', async () => {
    machine.setFaults({ lieRatio: 1 })
    machine.destroy(spec.id)
    expect(await settle(hypervisor.find(spec.id), 100)).toMatchObject({ state: 'running' })
    await clock.pass(2_000)
    expect(await settle(hypervisor.find(spec.id), 100)).toMatchObject({ state: 'off' })
  })

  it('a guest may be deaf, and answers its agent only when it is up', async () => {
    expect(await settle(hypervisor.addresses(spec.id))).toEqual(['10.0.2.15'])
    await settle(hypervisor.destroy(spec.id))
    await settle(hypervisor.boot(spec.id, 1), 10)
    expect(await settle(hypervisor.addresses(spec.id), 100)).toBe('AGENT_UNAVAILABLE')
    machine.setFaults({ deafRatio: 1 })
    await settle(hypervisor.shutdown(spec.id))
    expect(machine.runningVcpus()).toEqual([spec.id])
    machine.calm()
    await settle(hypervisor.shutdown(spec.id))
    expect(machine.runningVcpus()).toEqual([])
  })

  it('a dead daemon gets no answers, but what it had sent is carried out; the next one goes on', async () => {
    const daemonClock = new ManualClock()
    const epochs = memoryLocalStore()
    const mortal = await openDriver(epochs, daemonClock)
    let ended = false
    mortal.destroy(spec.id).then(() => (ended = true), () => (ended = true))
    await new Promise((resolve) => setImmediate(resolve))
    mortal.detach()
    daemonClock.dead = true
    await clock.pass(30_000)
    await daemonClock.pass(30_000)
    expect([ended, machine.runningVcpus()]).toEqual([false, []])
    const next = await openDriver(epochs)
    expect(await settle(next.boot(spec.id, 1))).toBeUndefined()
    expect(machine.runningVcpus()).toEqual([spec.id])
  })

  it('is the same twice from the same seed', async () => {
    const history = async (): Promise<string> => {
      clock = new ManualClock()
      machine = new SimMachine({ clock, random: seeded(9) })
      hypervisor = await openDriver()
      machine.setFaults({ failRatio: 0.3, hangRatio: 0.1, lieRatio: 0.3 })
      const lines: unknown[] = []
      hypervisor.watch((event) => lines.push([clock.nowMs(), event]))
      for (let round = 0; round < 50; round++) lines.push(await settle<unknown>(round % 3 === 0 ? hypervisor.boot(spec.id, round) : round % 3 === 1 ? hypervisor.define({ ...spec, epoch: round }) : hypervisor.find(spec.id)))
      return JSON.stringify(lines)
    }
    expect(await history()).toBe(await history())
  })
})
