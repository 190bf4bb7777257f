// Live migration between two real libvirtds through two relay processes: the guest arrives paused and goes on; whatever breaks, the source runs.
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OperationalError } from '../../src/model/error.ts'
import type { MigrationProgress } from '../../src/ports/hypervisor.ts'
import { until } from './libvirtd.ts'
import { followTicks, MigrationHosts, never, type MovingGuest } from './migration-hosts.ts'
import type { Relay } from './transport-relay.ts'

/** The promise is a second; a machine that is busy with other tests gets two. */
const resumeMsMax = 2_000

describe('live migration', () => {
  const hosts = new MigrationHosts()
  const { source, target } = hosts
  beforeAll(() => hosts.open(), 120_000)
  afterAll(() => hosts.close())

  /** Prepares the way, and migrates until `until` says what to break. */
  const begin = async (guest: MovingGuest, options: { readonly bandwidthMiBps?: number } = {}) => {
    const operationId = randomUUID()
    const { address } = await target.relay.accept({ operationId, vmId: guest.id, fromNodeId: source.nodeId })
    const link = await hosts.link(address)
    const sockets = await source.relay.connect({ operationId, vmId: guest.id, toNodeId: target.nodeId, address: link.address }, never)
    const abort = new AbortController()
    const seen: MigrationProgress[] = []
    const result = source.hypervisor.migrate({ id: guest.id, sockets, target: guest.target, bandwidthMiBps: options.bandwidthMiBps ?? null }, (progress) => void seen.push(progress), abort.signal)
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
  const expectRolledBack = async (guest: MovingGuest, attempt: Attempt, brokenMs: number): Promise<void> => {
    const error = await attempt.settled
    expect(error).toBeInstanceOf(OperationalError)
    await until(async () => (await source.hypervisor.find(guest.id))?.state === 'running', 'the source to run', resumeMsMax)
    expect(performance.now() - brokenMs).toBeLessThan(resumeMsMax)
    expect(await source.hypervisor.recoverMigration(guest.id)).toBe('here')
    await attempt.close()
    const ticked = guest.ticks.last()
    await until(() => guest.ticks.last() > ticked, 'the guest to tick on')
    await expectNothingAt(guest)
  }
  const expectNothingAt = async (guest: MovingGuest): Promise<void> => {
    await until(async () => !(await target.domainNames()).includes(guest.spec.domainName), 'the target to have nothing')
  }

  it('moves a guest, which ticks on at the target only once it is told to', { timeout: 120_000 }, async () => {
    const guest = await hosts.guest({ dataMiB: 64 })
    const attempt = await begin(guest, { bandwidthMiBps: 64 })
    const cuts: string[] = []
    const cancel = source.relay.onCut((operationId, reason) => void cuts.push(`${operationId} ${reason}`))
    const figures = await attempt.result
    cancel()
    expect(cuts).toEqual([])
    expect(figures.processedBytes).toBeGreaterThan(64 * 2 ** 20)
    expect(figures.downtimeMs).not.toBeNull()
    expect(attempt.seen.map((progress) => progress.phase)).toEqual(expect.arrayContaining(['disks', 'memory']))
    expect(source.relay.use(attempt.operationId)?.bytesSent).toBeGreaterThan(64 * 2 ** 20)
    expect(await source.hypervisor.find(guest.id)).toMatchObject({ state: 'off', reason: 'migrated', epoch: 1 })
    expect(await source.hypervisor.recoverMigration(guest.id)).toBe('gone')
    expect(await source.qemuPid(guest.id)).toBeNull()
    const before = guest.ticks.last()
    expect(await target.hypervisor.find(guest.id)).toMatchObject({ state: 'paused', epoch: 2 })
    const ticks = await followTicks(target, guest.id)
    await target.hypervisor.boot(guest.id, 2)
    await until(() => ticks.last() > before, 'the guest to tick on at the target')
    expect(await target.hypervisor.find(guest.id)).toMatchObject({ state: 'running', epoch: 2, definition: (await definitionOf(guest)) })
    await attempt.close()
    await ticks.close()
    await hosts.forget(guest.id)
  })

  /** What defining the target's spec anew would write. */
  const definitionOf = async (guest: MovingGuest): Promise<string> => (await import('../../src/ports/domain-digest.ts')).domainDigest(guest.target)

  const breaks: readonly { readonly name: string; readonly phase: 'disks' | 'memory'; readonly action: (guest: MovingGuest, attempt: Attempt) => Promise<void> | void }[] = [
    { name: 'an abort', phase: 'disks', action: (_guest, attempt) => attempt.abort.abort() },
    { name: 'an abort', phase: 'memory', action: (_guest, attempt) => attempt.abort.abort() },
    { name: 'the death of the source’s relay', phase: 'disks', action: () => void process.kill(source.relay.pid!, 'SIGKILL') },
    { name: 'the death of the target’s relay', phase: 'memory', action: () => void process.kill(target.relay.pid!, 'SIGKILL') },
    { name: 'closing the relay', phase: 'disks', action: (_guest, attempt) => attempt.close() },
    { name: 'the death of the target’s QEMU', phase: 'disks', action: async (guest) => void process.kill((await target.qemuPid(guest.id))!, 'SIGKILL') },
    { name: 'the death of the target’s QEMU', phase: 'memory', action: async (guest) => void process.kill((await target.qemuPid(guest.id))!, 'SIGKILL') },
  ]
  for (const { name, phase, action } of breaks) {
    it(`${name} in phase ${phase} leaves the source running and the target clean`, { timeout: 120_000 }, async () => {
      const guest = await hosts.guest({ dataMiB: 128 })
      const attempt = await begin(guest, { bandwidthMiBps: phase === 'disks' ? 8 : 40 })
      await attempt.phase(phase)
      const brokenMs = performance.now()
      await action(guest, attempt)
      await expectRolledBack(guest, attempt, brokenMs)
      await guest.ticks.close()
      await hosts.forget(guest.id)
    })
  }

  for (const phase of ['disks', 'memory'] as const) {
    it(`a link that falls silent in phase ${phase} is given up, and a second later the source runs`, { timeout: 120_000 }, async () => {
      const guest = await hosts.guest({ dataMiB: 128 })
      const attempt = await begin(guest, { bandwidthMiBps: phase === 'disks' ? 8 : 40 })
      const cut = new Promise<number>((resolve) => void source.relay.onCut((operationId) => operationId === attempt.operationId && resolve(performance.now())))
      await attempt.phase(phase)
      attempt.link.setOpen(false)
      await expectRolledBack(guest, attempt, await cut)
      await guest.ticks.close()
      await hosts.forget(guest.id)
    })
  }

  it('the death of the source’s libvirtd leaves the guest where it is', { timeout: 120_000 }, async () => {
    const guest = await hosts.guest({ dataMiB: 128 })
    const attempt = await begin(guest, { bandwidthMiBps: 8 })
    await attempt.phase('disks')
    await source.libvirtd.killDaemon()
    expect((await attempt.settled)?.code).toBe('HYPERVISOR_UNREACHABLE')
    await attempt.close()
    await source.libvirtd.startDaemon()
    await until(async () => (await source.hypervisor.recoverMigration(guest.id).catch(() => null)) === 'here', 'libvirt to know the guest again')
    await until(async () => (await source.hypervisor.find(guest.id))?.state === 'running', 'the guest to run')
    await guest.ticks.close()
    const ticks = await followTicks(source, guest.id)
    const before = guest.ticks.last()
    await until(() => ticks.last() > before, 'the guest to tick on')
    await ticks.close()
    await expectNothingAt(guest)
    await hosts.forget(guest.id)
  })

  it('a link that ends when the switch begins leaves no two that execute', { timeout: 120_000 }, async () => {
    const guest = await hosts.guest()
    const attempt = await begin(guest)
    const switched = new Promise<void>((resolve) => void source.hypervisor.watch((event) => event.kind === 'domain' && event.id === guest.id && event.event === 'suspended' && resolve()))
    await switched
    await cutNow(attempt.link)
    const error = await attempt.settled
    const became = await source.hypervisor.recoverMigration(guest.id)
    // Until somebody boots it, the target holds it paused at most.
    expect(['paused', undefined]).toContain((await target.hypervisor.find(guest.id))?.state)
    if (became === 'here') await until(async () => (await source.hypervisor.find(guest.id))?.state === 'running', 'the source to run', resumeMsMax)
    else expect({ became, error }).toEqual({ became: 'gone', error: null })
    await attempt.close()
    await guest.ticks.close()
    await hosts.forget(guest.id)
  })
  const cutNow = (link: Relay): Promise<void> => link.stop()

  it('a migration that this daemon knows nothing of is aborted by recovering', { timeout: 120_000 }, async () => {
    const guest = await hosts.guest({ dataMiB: 128 })
    const attempt = await begin(guest, { bandwidthMiBps: 8 })
    await attempt.phase('disks')
    expect(await source.hypervisor.recoverMigration(guest.id)).toBe('here')
    await expectRolledBack(guest, attempt, performance.now())
    await guest.ticks.close()
    await hosts.forget(guest.id)
  })

  it('refuses an epoch that does not rise, and a domain that is not there', async () => {
    const guest = await hosts.guest()
    const request = { id: guest.id, sockets: { control: '/none', memory: '/none', disks: '/none' }, target: { ...guest.target, epoch: 1 }, bandwidthMiBps: null }
    await expect(source.hypervisor.migrate(request, () => {}, never)).rejects.toMatchObject({ code: 'EPOCH_STALE' })
    await expect(target.hypervisor.migrate(request, () => {}, never)).rejects.toMatchObject({ code: 'DOMAIN_MISSING' })
    await expect(source.hypervisor.migrate({ ...request, target: guest.target }, () => {}, never)).rejects.toMatchObject({ code: 'MIGRATION_FAILED' })
    expect((await source.hypervisor.find(guest.id))?.state).toBe('running')
    await guest.ticks.close()
    await hosts.forget(guest.id)
  })
})
