// Live migration between two real libvirtds through two relay processes: the guest arrives paused and goes on; whatever breaks, the source runs.
import { randomUUID } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OperationalError } from '../../src/model/error.ts'
import { domainDigest } from '../../src/ports/domain-digest.ts'
import type { DomainSpec, MigrationProgress } from '../../src/ports/hypervisor.ts'
import { until } from './libvirtd.ts'
import { followTicks, MigrationHosts, never, type MovingGuest } from './migration-hosts.ts'

/** The promise is a second; a machine that is busy with other tests gets two. */
const resumeMsMax = 2_000
const dataMiB = 128
const slow = { disks: 8, memory: 40 } as const
/**
 * QEMU's mirror writes bursts of up to 16 MiB, sleeps for as long as they ought to have taken, and hears of a dead peer when it writes next. The
 * guest runs all the while.
 */
const burstMs = (16 / slow.disks) * 1_000

describe('live migration', () => {
  const hosts = new MigrationHosts()
  const { source, target } = hosts
  /** Every broken migration leaves it where it is: the next one breaks the same guest's. */
  let guest: MovingGuest
  beforeAll(async () => {
    await hosts.open()
    guest = await hosts.guest(dataMiB)
  }, 120_000)
  afterAll(async () => {
    await guest.ticks.close()
    await hosts.close()
  })

  /** Prepares the way, and begins. */
  const begin = async (bandwidthMiBps: number | null, spec: DomainSpec = guest.target) => {
    const operationId = randomUUID()
    if (spec === guest.target) await hosts.prepareTarget(guest)
    const { address } = await target.relay.accept({ operationId, vmId: spec.id, fromNodeId: source.nodeId })
    const link = await hosts.link(address)
    const sockets = await source.relay.connect({ operationId, vmId: spec.id, toNodeId: target.nodeId, address: link.address }, never)
    const abort = new AbortController()
    const seen: MigrationProgress[] = []
    const result = source.hypervisor.migrate({ id: spec.id, sockets, target: spec, bandwidthMiBps }, (progress) => void seen.push(progress), abort.signal)
    const settled = result.then(() => null, (error: unknown) => error as OperationalError)
    const phase = (wanted: MigrationProgress['phase']) => until(() => seen.some((progress) => progress.phase === wanted), `phase ${wanted}`)
    const close = async (): Promise<void> => {
      await source.relay.close(operationId)
      await target.relay.close(operationId)
    }
    return { operationId, link, abort, seen, result, settled, phase, close }
  }
  type Attempt = Awaited<ReturnType<typeof begin>>

  /** The source runs and ticks on, and after the undo nothing of the attempt is left. */
  const expectRolledBack = async (attempt: Attempt, brokenMs: number, noticeMsMax = 0): Promise<void> => {
    expect(await attempt.settled).toBeInstanceOf(OperationalError)
    await until(async () => (await source.hypervisor.find(guest.id))?.state === 'running', 'the source to run', resumeMsMax)
    expect(performance.now() - brokenMs).toBeLessThan(resumeMsMax + noticeMsMax)
    expect(await source.hypervisor.recoverMigration(guest.id)).toBe('here')
    await attempt.close()
    await expectTicks()
    await expectNothingAtTarget()
  }
  const expectTicks = async (): Promise<void> => {
    const ticked = guest.ticks.last()
    await until(() => guest.ticks.last() > ticked, 'the guest to tick on')
  }
  const expectNothingAtTarget = () => until(async () => !(await target.domainNames()).includes(guest.spec.domainName), 'the target to have nothing')

  const breaks: readonly { readonly name: string; readonly phase: 'disks' | 'memory'; readonly action: (attempt: Attempt) => Promise<void> | void; readonly noticeMsMax?: number }[] = [
    { name: 'an abort', phase: 'disks', action: (attempt) => attempt.abort.abort() },
    { name: 'an abort', phase: 'memory', action: (attempt) => attempt.abort.abort() },
    { name: 'the death of the source’s relay', phase: 'disks', action: () => void process.kill(source.relay.pid!, 'SIGKILL') },
    { name: 'the death of the target’s relay', phase: 'memory', action: () => void process.kill(target.relay.pid!, 'SIGKILL') },
    { name: 'closing the relay', phase: 'disks', action: (attempt) => attempt.close() },
    { name: 'the death of the target’s QEMU', phase: 'disks', action: async () => void process.kill((await target.qemuPid(guest.id))!, 'SIGKILL'), noticeMsMax: burstMs },
    { name: 'the death of the target’s QEMU', phase: 'memory', action: async () => void process.kill((await target.qemuPid(guest.id))!, 'SIGKILL') },
  ]
  for (const { name, phase, action, noticeMsMax } of breaks) {
    it(`${name} in phase ${phase} leaves the source running and the target clean`, async () => {
      const attempt = await begin(slow[phase])
      await attempt.phase(phase)
      const brokenMs = performance.now()
      await action(attempt)
      await expectRolledBack(attempt, brokenMs, noticeMsMax)
    })
  }

  for (const phase of ['disks', 'memory'] as const) {
    it(`a link that falls silent in phase ${phase} is given up, and a second later the source runs`, async () => {
      const attempt = await begin(slow[phase])
      const cut = new Promise<number>((resolve) => void source.relay.onCut((operationId) => operationId === attempt.operationId && resolve(performance.now())))
      await attempt.phase(phase)
      attempt.link.setOpen(false)
      await expectRolledBack(attempt, await cut)
    })
  }

  it('a migration that this daemon knows nothing of is aborted by recovering', async () => {
    const attempt = await begin(slow.disks)
    await attempt.phase('disks')
    const brokenMs = performance.now()
    expect(await source.hypervisor.recoverMigration(guest.id)).toBe('here')
    await expectRolledBack(attempt, brokenMs)
  })

  it('the death of the source’s libvirtd leaves the guest where it is', async () => {
    const attempt = await begin(slow.disks)
    await attempt.phase('disks')
    await source.libvirtd.killDaemon()
    expect((await attempt.settled)?.code).toBe('HYPERVISOR_UNREACHABLE')
    await attempt.close()
    await source.libvirtd.startDaemon()
    await until(async () => (await source.hypervisor.recoverMigration(guest.id).catch(() => null)) === 'here', 'libvirt to know the guest again')
    await until(async () => (await source.hypervisor.find(guest.id))?.state === 'running', 'the guest to run')
    await guest.ticks.close()
    guest = { ...guest, ticks: await followTicks(source, guest.id) }
    await expectTicks()
    await expectNothingAtTarget()
  })

  it('refuses an epoch that does not rise, a domain that is not there, and a disk without a place', async () => {
    const request = { id: guest.id, sockets: { control: '/none', memory: '/none', disks: '/none' }, target: guest.target, bandwidthMiBps: null }
    await expect(source.hypervisor.migrate({ ...request, target: { ...guest.target, epoch: 1 } }, () => {}, never)).rejects.toMatchObject({ code: 'EPOCH_STALE' })
    await expect(target.hypervisor.migrate(request, () => {}, never)).rejects.toMatchObject({ code: 'DOMAIN_MISSING' })
    await expect(source.hypervisor.migrate({ ...request, target: { ...guest.target, disks: [] } }, () => {}, never)).rejects.toMatchObject({ code: 'MIGRATION_FAILED' })
    await expect(source.hypervisor.migrate(request, () => {}, never)).rejects.toMatchObject({ code: 'MIGRATION_FAILED' })
    await expect(source.hypervisor.migrate(request, () => {}, AbortSignal.abort(new Error('given up')))).rejects.toThrow('given up')
    expect((await source.hypervisor.find(guest.id))?.state).toBe('running')
  })

  it('moves a paused guest with UEFI firmware, which stays paused until it is booted', async () => {
    const id = randomUUID()
    const spec: DomainSpec = { ...guest.spec, id, domainName: `uefi.${id.slice(-8)}`, firmware: 'uefi', disks: [], seedPath: null }
    await source.hypervisor.define(spec)
    await source.hypervisor.boot(id, 1)
    await source.hypervisor.pause(id)
    const attempt = await begin(null, { ...spec, epoch: 2 })
    expect(await attempt.settled).toBeNull()
    expect(await target.hypervisor.find(id)).toMatchObject({ state: 'paused', epoch: 2 })
    await target.hypervisor.boot(id, 2)
    expect(await target.hypervisor.find(id)).toMatchObject({ state: 'running' })
    expect(readdirSync(join(target.libvirtd.directory, 'var', 'qemu', 'nvram'))).toHaveLength(1)
    await attempt.close()
    await hosts.forget(id)
  })

  it('a link that ends when the switch begins leaves no two that execute', async () => {
    const attempt = await begin(null)
    await new Promise<void>((resolve) => void source.hypervisor.watch((event) => event.kind === 'domain' && event.id === guest.id && event.event === 'suspended' && resolve()))
    await attempt.link.stop()
    const error = await attempt.settled
    const became = await source.hypervisor.recoverMigration(guest.id)
    // Until somebody boots it, the target holds it paused at most.
    expect(['paused', undefined]).toContain((await target.hypervisor.find(guest.id))?.state)
    if (became === 'here') {
      await until(async () => (await source.hypervisor.find(guest.id))?.state === 'running', 'the source to run', resumeMsMax)
      await attempt.close()
      if ((await target.hypervisor.find(guest.id)) !== null) await target.hypervisor.destroy(guest.id)
    } else {
      expect({ became, error }).toEqual({ became: 'gone', error: null })
      await attempt.close()
      await hosts.forget(guest.id)
      guest = await hosts.guest(dataMiB)
    }
  })

  it('moves a guest, which ticks on at the target only once it is told to', async () => {
    const attempt = await begin(64)
    const cuts: string[] = []
    const cancel = source.relay.onCut((operationId, reason) => void cuts.push(`${operationId} ${reason}`))
    const figures = await attempt.result
    cancel()
    expect(cuts).toEqual([])
    expect(figures.processedBytes).toBeGreaterThan(dataMiB * 2 ** 20)
    expect(figures.downtimeMs).not.toBeNull()
    expect(attempt.seen.map((progress) => progress.phase)).toEqual(expect.arrayContaining(['disks', 'memory']))
    await until(() => (source.relay.use(attempt.operationId)?.bytesSent ?? 0) > dataMiB * 2 ** 20, 'the relay to tell its use')
    expect(await source.hypervisor.find(guest.id)).toMatchObject({ state: 'off', reason: 'migrated', epoch: 1 })
    expect(await source.hypervisor.recoverMigration(guest.id)).toBe('gone')
    expect(await source.qemuPid(guest.id)).toBeNull()
    const before = guest.ticks.last()
    expect(await target.hypervisor.find(guest.id)).toMatchObject({ state: 'paused', epoch: 2 })
    const ticks = await followTicks(target, guest.id)
    await target.hypervisor.boot(guest.id, 2)
    await until(() => ticks.last() > before, 'the guest to tick on at the target')
    expect(await target.hypervisor.find(guest.id)).toMatchObject({ state: 'running', epoch: 2, definition: domainDigest(guest.target) })
    await attempt.close()
    await ticks.close()
    await hosts.forget(guest.id)
  })
})

describe('live migration where QEMU runs as another user', () => {
  const hosts = new MigrationHosts({ qemuUser: 'libvirt-qemu' })
  const { source, target } = hosts
  beforeAll(() => hosts.open(), 120_000)
  afterAll(() => hosts.close())

  it('gives QEMU the sockets, on either side', async () => {
    const guest = await hosts.guest(8)
    const leg = { operationId: randomUUID(), vmId: guest.id }
    expect(await source.hypervisor.emulatorOwner()).not.toEqual({ uid: 0, gid: 0 })
    const { address } = await target.relay.accept({ ...leg, fromNodeId: source.nodeId })
    const sockets = await source.relay.connect({ ...leg, toNodeId: target.nodeId, address }, never)
    await source.hypervisor.migrate({ id: guest.id, sockets, target: guest.target, bandwidthMiBps: null }, () => {}, never)
    await target.hypervisor.boot(guest.id, 2)
    const ticks = await followTicks(target, guest.id)
    await until(() => ticks.last() > guest.ticks.last(), 'the guest to tick on at the target')
    await ticks.close()
    await guest.ticks.close()
    await hosts.forget(guest.id)
  })
})
