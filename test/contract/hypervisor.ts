// The contract of the Hypervisor port: one suite for the simulator, libvirt's test driver, and libvirt with QEMU.
import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { OperationalError, type ErrorCode } from '../../src/model/error.ts'
import { domainDigest } from '../../src/ports/domain-digest.ts'
import type { Domain, DomainEvent, DomainSpec, DomainStats, Hypervisor } from '../../src/ports/hypervisor.ts'
import type { ByteStream } from '../../src/ports/transport.ts'
import { expectCode } from './expect-code.ts'
import { until } from './libvirtd.ts'
import { openRfb } from './rfb-client.ts'

/** What a driver may lack, each with how it says so; everything else has to work. */
export type Lacks = {
  /** No guest code runs: no console, no ACPI. */
  readonly guest?: ErrorCode
  /** It cannot lose and find its host again. */
  readonly restart?: true
  readonly freeze?: true
  /** Somebody else's hands on the host. */
  readonly outside?: true
}

export type HypervisorSubject = {
  readonly hypervisor: Hypervisor
  readonly lacks: Lacks
  readonly spec: DomainSpec
  /** The daemon starts again: another driver over the same host and the same local store. */
  restartDriver(): Promise<Hypervisor>
  /** Acts on the host as others would. */
  readonly outside: {
    defineForeign(domain: { readonly id: string; readonly name: string }): Promise<void>
    foreignNames(): Promise<readonly string[]>
    removeForeign(id: string): Promise<void>
    destroy(id: string): Promise<void>
    /** The process that runs the guest dies. */
    crash(id: string): Promise<void>
  }
  readonly host: { kill(): Promise<void>; start(): Promise<void>; freeze(): Promise<void>; thaw(): Promise<void> }
  close(): Promise<void>
}

export function hypervisorContract(name: string, open: () => Promise<HypervisorSubject>, lacks: Lacks): void {
  describe(`${name} (lacks: ${Object.keys(lacks).join(', ') || 'nothing'})`, () => {
    let subject: HypervisorSubject
    let hypervisor: Hypervisor
    const events: DomainEvent[] = []
    const made: string[] = []

    beforeAll(async () => {
      subject = await open()
      hypervisor = subject.hypervisor
      hypervisor.watch((event) => events.push(event))
    })
    afterAll(async () => subject.close())
    afterEach(async () => {
      for (const id of made.splice(0)) {
        if ((await hypervisor.find(id)) !== null) await hypervisor.destroy(id)
        await hypervisor.undefine(id)
      }
    })

    const newSpec = (change: Partial<DomainSpec> = {}): DomainSpec => {
      const id = randomUUID()
      made.push(id)
      return { ...subject.spec, id, domainName: `vm-${id.slice(0, 4)}.${id.slice(-8)}`, ...change }
    }
    const running = async (change: Partial<DomainSpec> = {}): Promise<DomainSpec> => {
      const spec = newSpec(change)
      await hypervisor.define(spec)
      await hypervisor.boot(spec.id, spec.epoch)
      return spec
    }
    const found = async (id: string): Promise<Domain> => {
      const domain = await hypervisor.find(id)
      if (domain === null) throw new Error(`no domain ${id}`)
      return domain
    }
    const reaches = (id: string, state: Domain['state']): Promise<void> => until(async () => (await hypervisor.find(id))?.state === state, `${id} to be ${state}`)
    const saw = async (id: string, event: string): Promise<void> => {
      try {
        await until(() => events.some((one) => one.kind === 'domain' && one.id === id && one.event === event), `event ${event} of ${id}`)
      } catch (cause) {
        throw new Error(`seen instead: ${JSON.stringify(events)}; it is ${JSON.stringify(await hypervisor.find(id))}`, { cause })
      }
    }

    it('tells what the host is', async () => {
      const info = await hypervisor.info()
      expect(info.cpus).toBeGreaterThan(0)
      expect(info.memoryMiB).toBeGreaterThan(100)
      expect(info.description).not.toBe('')
    })

    it('defines a domain and shows it, off', async () => {
      const spec = newSpec()
      await hypervisor.define(spec)
      expect(await hypervisor.find(spec.id)).toEqual({
        id: spec.id, domainName: spec.domainName, state: 'off', reason: 'unknown', epoch: spec.epoch, definition: domainDigest(spec),
      })
      expect(await hypervisor.list()).toEqual([await found(spec.id)])
      await saw(spec.id, 'defined')
    })

    it('knows no domain that does not exist', async () => {
      const id = randomUUID()
      expect(await hypervisor.find(id)).toBeNull()
      for (const verb of ['shutdown', 'destroy', 'reset', 'pause', 'resume', 'addresses'] as const) await expectCode(hypervisor[verb](id), 'DOMAIN_MISSING')
      await expectCode(hypervisor.boot(id, 1), 'DOMAIN_MISSING')
      await expectCode(hypervisor.console(id, new AbortController().signal), 'DOMAIN_MISSING')
      await expectCode(hypervisor.screen(id, new AbortController().signal), 'DOMAIN_MISSING')
      await hypervisor.undefine(id)
    })

    it('takes titles with markup and control characters', async () => {
      const spec = newSpec({ title: `<script>&amp;"'\u0001 ]]> \n web` })
      await hypervisor.define(spec)
      expect((await found(spec.id)).definition).toBe(domainDigest(spec))
    })

    it('defines again with another size; the digest follows', async () => {
      const spec = newSpec()
      await hypervisor.define(spec)
      const larger = { ...spec, memoryMiB: spec.memoryMiB * 2, epoch: spec.epoch + 1 }
      await hypervisor.define(larger)
      const domain = await found(spec.id)
      expect([domain.definition, domain.epoch]).toEqual([domainDigest(larger), spec.epoch + 1])
    })

    it('boots, and booting again is fine', async () => {
      const spec = await running()
      expect(await found(spec.id)).toMatchObject({ state: 'running', reason: 'none' })
      await hypervisor.boot(spec.id, spec.epoch)
      await saw(spec.id, 'started')
    })

    it('defines a running domain again without disturbing it', async () => {
      const spec = await running()
      const changed = { ...spec, memoryMiB: spec.memoryMiB * 2 }
      await hypervisor.define(changed)
      expect(await found(spec.id)).toMatchObject({ state: 'running', definition: domainDigest(changed) })
    })

    it('pauses and resumes, both repeatable', async () => {
      const spec = await running()
      await hypervisor.pause(spec.id)
      await hypervisor.pause(spec.id)
      expect((await found(spec.id)).state).toBe('paused')
      await hypervisor.resume(spec.id)
      await hypervisor.resume(spec.id)
      expect((await found(spec.id)).state).toBe('running')
      await hypervisor.pause(spec.id)
      await hypervisor.boot(spec.id, spec.epoch)
      expect((await found(spec.id)).state).toBe('running')
      await saw(spec.id, 'suspended')
      await saw(spec.id, 'resumed')
    })

    it('refuses what needs a running domain', async () => {
      const spec = newSpec()
      await hypervisor.define(spec)
      for (const verb of ['pause', 'resume', 'reset'] as const) await expectCode(hypervisor[verb](spec.id), 'STATE_CONFLICT')
      await expectCode(hypervisor.addresses(spec.id), 'AGENT_UNAVAILABLE')
      await expectCode(hypervisor.console(spec.id, new AbortController().signal), 'CONSOLE_BUSY')
      await hypervisor.shutdown(spec.id)
      await hypervisor.destroy(spec.id)
    })

    it('destroys: off, because destroyed', async () => {
      const spec = await running()
      await hypervisor.destroy(spec.id)
      expect(await found(spec.id)).toMatchObject({ state: 'off', reason: 'destroyed' })
      await hypervisor.destroy(spec.id)
      await saw(spec.id, 'stopped')
      await hypervisor.boot(spec.id, spec.epoch)
      expect((await found(spec.id)).state).toBe('running')
    })

    it('shuts down: off, because the guest powered off', async () => {
      const spec = await running()
      // A guest that is still in its firmware does not hear the button: it is pressed now and then until it does, as the controller does.
      let looks = 0
      await until(async () => {
        if (looks++ % 25 === 0) await hypervisor.shutdown(spec.id)
        return (await hypervisor.find(spec.id))?.state === 'off'
      }, 'the guest to power off')
      expect((await found(spec.id)).reason).toBe('shutdown')
      await hypervisor.shutdown(spec.id)
    })

    it('resets a running domain', async () => {
      const spec = await running()
      await hypervisor.reset(spec.id)
      expect((await found(spec.id)).state).toBe('running')
    })

    it('forgets a domain that is off, never one that runs', async () => {
      const spec = await running()
      await expectCode(hypervisor.undefine(spec.id), 'STATE_CONFLICT')
      expect((await found(spec.id)).state).toBe('running')
      await hypervisor.destroy(spec.id)
      await hypervisor.undefine(spec.id)
      expect(await hypervisor.find(spec.id)).toBeNull()
      await saw(spec.id, 'undefined')
    })

    it('refuses an older epoch, also after the driver was started again', async () => {
      const spec = newSpec({ epoch: 5 })
      await hypervisor.define(spec)
      await expectCode(hypervisor.boot(spec.id, 4), 'EPOCH_STALE')
      await expectCode(hypervisor.define({ ...spec, epoch: 4 }), 'EPOCH_STALE')
      await hypervisor.boot(spec.id, 7)
      await hypervisor.destroy(spec.id)
      hypervisor = await subject.restartDriver()
      hypervisor.watch((event) => events.push(event))
      await expectCode(hypervisor.boot(spec.id, 6), 'EPOCH_STALE')
      await expectCode(hypervisor.define({ ...spec, epoch: 6 }), 'EPOCH_STALE')
      expect(await found(spec.id)).toMatchObject({ state: 'off', epoch: 5 })
      await hypervisor.boot(spec.id, 7)
    })

    it('of two epochs at once the higher one stays', async () => {
      const spec = newSpec()
      const outcomes = await Promise.allSettled([2, 9, 3].map((epoch) => hypervisor.define({ ...spec, epoch })))
      expect(outcomes.map((outcome) => outcome.status)).toEqual(['fulfilled', 'fulfilled', 'rejected'])
      expect((await found(spec.id)).epoch).toBe(9)
    })

    it('leaves foreign domains alone and never shows them', async () => {
      const id = randomUUID()
      await subject.outside.defineForeign({ id, name: `foreign-${id.slice(0, 8)}` })
      expect(await hypervisor.find(id)).toBeNull()
      expect((await hypervisor.list()).map((domain) => domain.id)).not.toContain(id)
      const spec = { ...subject.spec, id, domainName: `mine-${id.slice(0, 8)}` }
      await expectCode(hypervisor.define(spec), 'HYPERVISOR_REFUSED')
      await expectCode(hypervisor.define({ ...spec, id: randomUUID(), domainName: `foreign-${id.slice(0, 8)}` }), 'HYPERVISOR_REFUSED')
      await expectCode(hypervisor.boot(id, 1), 'DOMAIN_MISSING')
      await expectCode(hypervisor.destroy(id), 'DOMAIN_MISSING')
      await hypervisor.undefine(id)
      expect(await subject.outside.foreignNames()).toContain(`foreign-${id.slice(0, 8)}`)
      await subject.outside.removeForeign(id)
    })

    it('answers many calls at once', async () => {
      const specs = Array.from({ length: 24 }, () => newSpec())
      await Promise.all(specs.map((spec) => hypervisor.define(spec)))
      const domains = await Promise.all(Array.from({ length: 200 }, (_, index) => hypervisor.find(specs[index % specs.length]!.id)))
      expect(domains.every((domain, index) => domain?.id === specs[index % specs.length]!.id)).toBe(true)
      expect((await hypervisor.list()).map((domain) => domain.id)).toEqual(specs.map((spec) => spec.id).toSorted())
    })

    if (lacks.outside === undefined) {
      it('sees what was destroyed or crashed behind its back', async () => {
        const spec = await running()
        await subject.outside.destroy(spec.id)
        await saw(spec.id, 'stopped')
        expect(await found(spec.id)).toMatchObject({ state: 'off', reason: 'destroyed' })
        await hypervisor.boot(spec.id, spec.epoch)
        await subject.outside.crash(spec.id)
        await reaches(spec.id, 'off')
        expect((await found(spec.id)).reason).toBe('crashed')
      })
    }

    if (lacks.guest === undefined) {
      it('joins a console to the guest, both directions, and lets another take it over', async () => {
        const spec = await running()
        const first = await hypervisor.console(spec.id, new AbortController().signal)
        await readConsole(first, 'ping', () => first.write(new TextEncoder().encode('ping')))
        const second = await hypervisor.console(spec.id, new AbortController().signal)
        for await (const _ of first.readable) continue
        await expect(first.write(new Uint8Array([65]))).rejects.toBeInstanceOf(OperationalError)
        await readConsole(second, 'pong', () => second.write(new TextEncoder().encode('pong')))
      })

      it('ends the console with its signal and with the domain', async () => {
        const spec = await running()
        const abort = new AbortController()
        const stream = await hypervisor.console(spec.id, abort.signal)
        abort.abort()
        for await (const _ of stream.readable) continue
        const other = await hypervisor.console(spec.id, new AbortController().signal)
        await hypervisor.destroy(spec.id)
        for await (const _ of other.readable) continue
      })

      it('shows its screen, to several at once, and ends it with its signal and with the domain', async () => {
        const spec = newSpec()
        await hypervisor.define(spec)
        const signal = new AbortController().signal
        await expectCode(hypervisor.screen(spec.id, signal), 'CONSOLE_BUSY')
        await hypervisor.boot(spec.id, spec.epoch)
        const abort = new AbortController()
        const [first, second] = [await hypervisor.screen(spec.id, abort.signal), await hypervisor.screen(spec.id, signal)]
        const viewers = [await openRfb(first), await openRfb(second)] as const
        expect(viewers[0].version).toBe('RFB 003.008\n')
        for (const viewer of viewers) {
          const picture = await viewer.picture()
          // Its size is asked for afterwards: the firmware may change it while it boots.
          expect(picture.length).toBeGreaterThan(0)
          expect(picture.length).toBe(viewer.width * viewer.height * 4)
        }
        abort.abort()
        await viewers[0].ended()
        await viewers[1].press(0x20)
        // A stream that was opened after the domain's next boot is another one's.
        await hypervisor.destroy(spec.id)
        await viewers[1].ended()
        await expect(second.write(new Uint8Array(1))).rejects.toBeInstanceOf(OperationalError)
        await hypervisor.boot(spec.id, spec.epoch)
        expect((await openRfb(await hypervisor.screen(spec.id, signal))).version).toBe('RFB 003.008\n')
      })

      it('tells a guest that powered itself off from one that was destroyed', async () => {
        const spec = await running()
        const stream = await hypervisor.console(spec.id, new AbortController().signal)
        await readConsole(stream, 'x', () => stream.write(new TextEncoder().encode('x')), false)
        await stream.write(new TextEncoder().encode('q'))
        await reaches(spec.id, 'off')
        expect((await found(spec.id)).reason).toBe('shutdown')
        await saw(spec.id, 'stopped')
      })
    } else {
      it('says that there is no console', async () => {
        const spec = await running()
        await expectCode(hypervisor.console(spec.id, new AbortController().signal), lacks.guest!)
        await expectCode(hypervisor.screen(spec.id, new AbortController().signal), 'SCREEN_MISSING')
      })
    }

    it('says that a guest without an agent has none', async () => {
      const spec = await running()
      await expectCode(hypervisor.addresses(spec.id), 'AGENT_UNAVAILABLE')
    })

    it('tells what running domains use, and nothing of others', async () => {
      const spec = await running()
      const off = newSpec()
      await hypervisor.define(off)
      if (lacks.guest !== undefined) {
        for (const { id } of await hypervisor.stats()) expect(id).toBe(spec.id)
        return
      }
      const use = async (): Promise<DomainStats | undefined> => (await hypervisor.stats()).find(({ id }) => id === spec.id)
      await until(async () => ((await use())?.cpuSeconds ?? 0) > 0, 'CPU time to be told')
      const before = await use()
      await until(async () => ((await use())?.cpuSeconds ?? 0) > (before?.cpuSeconds ?? 0), 'CPU time to rise')
      expect(before?.memoryResidentBytes).toBeGreaterThan(1024 * 1024)
      expect(before?.disks).toHaveLength(spec.disks.length + (spec.seedPath === null ? 0 : 1))
      for (const disk of before?.disks ?? []) expect(disk.name).not.toBe('')
      expect((await hypervisor.stats()).map(({ id }) => id)).not.toContain(off.id)
      await hypervisor.destroy(spec.id)
      await until(async () => (await use()) === undefined, 'a domain that is off to be left out')
    })

    if (lacks.restart === undefined) {
      it('fails at once while the host is away, and comes back by itself', async () => {
        const spec = await running()
        events.length = 0
        await subject.host.kill()
        await until(() => events.some((event) => event.kind === 'disconnected'), 'the loss to be noticed')
        await expectCode(hypervisor.list(), 'HYPERVISOR_UNREACHABLE')
        await expectCode(hypervisor.boot(spec.id, spec.epoch), 'HYPERVISOR_UNREACHABLE')
        await subject.host.start()
        await until(() => events.some((event) => event.kind === 'connected'), 'the connection to be back')
        expect(await found(spec.id)).toMatchObject({ state: 'running', definition: domainDigest(spec) })
        // A libvirtd that is still taking over its domains may keep silent about one that ends meanwhile: events have to flow the next time.
        events.length = 0
        await hypervisor.destroy(spec.id)
        await reaches(spec.id, 'off')
        await hypervisor.boot(spec.id, spec.epoch)
        await hypervisor.destroy(spec.id)
        await saw(spec.id, 'stopped')
      })
    }

    if (lacks.freeze === undefined) {
      it('times out on a host that hangs, gives it up, and comes back', async () => {
        const spec = newSpec()
        await hypervisor.define(spec)
        events.length = 0
        await subject.host.freeze()
        await expectCode(hypervisor.find(spec.id), 'HYPERVISOR_TIMEOUT')
        await until(() => events.some((event) => event.kind === 'disconnected'), 'the hanging host to be given up')
        await expectCode(hypervisor.find(spec.id), 'HYPERVISOR_UNREACHABLE')
        await subject.host.thaw()
        await until(() => events.some((event) => event.kind === 'connected'), 'the connection to be back')
        expect((await found(spec.id)).state).toBe('off')
      })
    }
  })
}

/** Acts and reads until the text has come; then, unless told otherwise, gives the console back. */
async function readConsole(stream: ByteStream, text: string, act: () => Promise<void>, close = true): Promise<void> {
  let seen = ''
  const iterator = stream.readable[Symbol.asyncIterator]()
  await act()
  while (!seen.includes(text)) {
    const { value, done } = await iterator.next()
    if (done === true) throw new Error(`the console ended after ${JSON.stringify(seen)}`)
    seen += new TextDecoder().decode(value)
  }
  if (close && iterator.return !== undefined) await iterator.return()
}
