// `novacron daemon`: opens the drivers, serves the faces, and lives as a member of a cluster as soon as it is one.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { rootOnHost } from './app/authorize.ts'
import type { App, Control } from './app/face.ts'
import type { Halt } from './cluster/status.ts'
import type { Config } from './config.ts'
import { openLocalLevel } from './db/local-level.ts'
import { discoveryOf, openApplianceCertificate } from './appliance.ts'
import { finishDeparture, readDeparture } from './departure.ts'
import { systemRandom } from './drivers/crypto/random.ts'
import { createVault } from './drivers/crypto/vault.ts'
import { systemClock } from './drivers/host/clock.ts'
import { judgeTroubles, runDoctor, type StateView } from './drivers/host/doctor.ts'
import { keepFootprintSmall, runtimeFootprint } from './drivers/host/footprint.ts'
import { createLog } from './drivers/host/log.ts'
import { LogMemory } from './drivers/host/log-memory.ts'
import { LinuxProbe } from './drivers/host/probe.ts'
import { LibvirtHypervisor } from './drivers/libvirt/hypervisor.ts'
import { LocalStorage } from './drivers/storage/local.ts'
import { saveEvidence } from './evidence.ts'
import { Formation } from './formation.ts'
import { loadAssets } from './http/assets.ts'
import { startControl } from './http/control.ts'
import { startHttp, type Http } from './http/server.ts'
import { uiRoutes } from './http/ui/routes.ts'
import { openIdentity } from './identity-file.ts'
import { httpAddressOf, type Host, type Member } from './member.ts'
import { readMembership } from './membership-file.ts'
import { MdnsDiscovery } from './p2p/discovery.ts'
import type { ApplianceNotice, Discovery } from './ports/discovery.ts'
import { OperationalError } from './model/error.ts'
import { resetPassword } from './reset-password.ts'
import type { Log } from './ports/log.ts'
import { version } from './version.ts'

const fullRetryMs = 5_000
const assetsDirectory = join(import.meta.dirname, '../ui/assets')

/** Runs until the signal fires. @throws where the node cannot be opened at all */
export async function runDaemon(config: Config, signal: AbortSignal): Promise<void> {
  const memory = new LogMemory()
  const log = createLog({ level: config.logLevel, fields: { node: config.name } }, (line) => {
    memory.take(line)
    process.stdout.write(line)
  })
  const mdns = config.discovery ? new MdnsDiscovery({ address: config.advertise, clock: systemClock, log }) : null
  await mkdir(config.dataDir, { recursive: true, mode: 0o711 })
  const departure = await readDeparture(config.dataDir)
  if (departure !== null) await finishDeparture(config.dataDir, departure)
  const host = await whenThereIsSpace({ log, signal }, () => openHost(config, { log, logLines: () => memory.lines() }, mdns === null ? null : discoveryOf(mdns)))
  let http: Http | null = null
  const certificate = await openApplianceCertificate(config, systemClock.nowMs())
  const notice: ApplianceNotice = { name: config.name, address: httpAddressOf(config), fingerprint: certificate.fingerprint, version }
  const attach = (member: Member | null) => {
    const app: App | null = member?.node.app ?? null
    http?.setApp(app)
    http?.setTls(member?.tls ?? certificate)
    mdns?.announce(member === null ? notice : null)
  }
  const formation = new Formation(host, { attach, onHalted: (halt) => {
    exitOnFault(halt, log)
    if (halt.kind === 'diverged') keepEvidence(formation)
  } })
  const stop = Promise.withResolvers<void>()
  signal.addEventListener('abort', () => stop.resolve(), { once: true })
  await whenThereIsSpace({ log, signal }, async () => formation.resume(await readMembership(config.dataDir)))
  mdns?.start()
  if (formation.member === null) mdns?.announce(notice)
  const control = controlOf(formation, certificate.fingerprint)
  http = await startHttp({
    app: formation.member?.node.app ?? null, control, host: config.listen.host, port: config.listen.port,
    tls: formation.member?.tls ?? certificate,
    clock: systemClock, log, version, assets: loadAssets(assetsDirectory), pages: uiRoutes,
  })
  const controlServer = await startControl({ path: join(config.dataDir, 'control.sock'), control, clock: systemClock, log })
  log.info('node is up', { nodeId: host.identity.nodeId, version, https: http.port, clustered: formation.member !== null })
  const introduced = formation.member === null ? introduceLibvirt(host, signal) : null
  const releaseFootprint = keepFootprintSmall(runtimeFootprint(systemClock))
  await stop.promise
  releaseFootprint()
  log.info('node is stopping')
  await introduced
  await Promise.all([http.stop(), controlServer.stop(), mdns?.stop()])
  await formation.stop()
  await host.local.close()
}

/** A full disk lets no store be opened: it is tried again, rather than to end the process and be started again for ever. */
async function whenThereIsSpace<T>({ log, signal }: { readonly log: Log; readonly signal: AbortSignal }, open: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await open()
    } catch (error) {
      if (signal.aborted || !(error instanceof OperationalError) || error.code !== 'STORAGE_FULL') throw error
      log.error('the disk is full; the node starts as soon as there is space', { error: error.message })
      await new Promise<void>((resolve) => systemClock.after(fullRetryMs, resolve))
    }
  }
}

/** A libvirtd that has just started takes seconds to learn what its QEMU can: it begins before the node becomes a member. */
async function introduceLibvirt(host: Host, signal: AbortSignal): Promise<void> {
  const hypervisor = host.createHypervisor()
  try {
    await hypervisor.start(signal)
    await hypervisor.info()
  } catch (error) {
    host.log.debug('libvirt does not answer yet', { error: String(error) })
  } finally {
    await hypervisor.stop()
  }
}

async function openHost(config: Config, { log, logLines }: Pick<Host, 'log' | 'logLines'>, discovery: Discovery | null): Promise<Host> {
  // QEMU runs as another user and has to reach its disks under here; what is private is so by its own mode.
  await mkdir(config.dataDir, { recursive: true, mode: 0o711 })
  const identity = await openIdentity(config.dataDir, { nowMs: systemClock.nowMs(), random: systemRandom })
  const local = await openLocalLevel({ directory: join(config.dataDir, 'local'), onDamage: (damage) => log.error('the local store is damaged; it was put aside and begins empty', damage) })
  const { socket } = config.libvirt
  const storage = new LocalStorage({ directory: join(config.dataDir, 'storage') }, { log })
  await storage.start()
  const createHypervisor = () => new LibvirtHypervisor(
    { accelerator: config.accelerator, ...(socket === undefined ? {} : { socketPath: socket }) },
    { epochs: local, clock: systemClock, log },
  )
  return {
    config, log, identity, local, storage, createHypervisor,
    clock: systemClock, random: systemRandom, vault: createVault(identity),
    probe: new LinuxProbe({ storage: () => storage.usage() }),
    version, discovery, logLines,
  }
}

function controlOf(formation: Formation, fingerprint: string): Control {
  const { config } = formation.host
  return {
    status: () => ({
      clustered: formation.member !== null,
      nodeId: formation.host.identity.nodeId,
      name: formation.name,
      halted: formation.member?.node.cluster.status().halted ?? null,
      url: `https://${httpAddressOf(config)}`,
      fingerprint,
      discovery: config.discovery,
      removed: formation.departure === null ? null : { clusterName: formation.departure.clusterName, at: new Date(formation.departure.atMs).toISOString(), folder: join(config.dataDir, formation.departure.folder) },
    }),
    members() {
      const app = formation.member?.node.app
      if (app === undefined) throw new OperationalError('NOT_CLUSTERED', 'This node is in no cluster.')
      return app.members.view(rootOnHost(formation.name))
    },
    init: (body) => formation.init(body),
    join: (body) => formation.join(body),
    leave: () => formation.leave(),
    restore: (options, bytes) => formation.restore(options, bytes),
    recover: (body) => formation.recover(body),
    async backup(body) {
      const app = formation.member?.node.app
      if (app === undefined) throw new OperationalError('NOT_CLUSTERED', 'This node is in no cluster: there is nothing to back up.')
      const written = await app.clusterBackup.backup(rootOnHost(formation.name), body, { idempotencyKey: null, bodyHash: '', ifMatch: null, dryRun: false, waitSeconds: 0, signal: new AbortController().signal })
      if ('dryRun' in written) throw new Error('assertion: no dry run was asked for')
      return written
    },
    resetPassword: (body) => resetPassword(formation, body),
    supportBundle() {
      const app = formation.member?.node.app
      if (app === undefined) throw new OperationalError('NOT_CLUSTERED', 'This node is in no cluster: it has no log and no state. Its own log is in the journal (journalctl -u novacron).')
      return app.supportBundle(null)
    },
    doctor: async () => {
      const { host } = formation
      const hypervisor = host.createHypervisor()
      const abort = new AbortController()
      await hypervisor.start(abort.signal)
      try {
        const troubles = formation.member?.node.cluster.status().troubles ?? []
        return [...(await runDoctor({ dataDirectory: config.dataDir, hypervisor, clock: host.clock, state: stateViewOf(formation.member) })), ...judgeTroubles(troubles)]
      } finally {
        abort.abort()
        await hypervisor.stop()
      }
    },
  }
}

function stateViewOf(member: Member | null): StateView | undefined {
  const cluster = member?.node.cluster
  return cluster === undefined ? undefined : { divergence: cluster.status().divergence, comparedIndex: cluster.agreement().index, appliedIndex: cluster.state.index }
}

function keepEvidence({ member, host }: Formation): void {
  const app = member?.node.app
  const index = app?.divergence()?.index
  // While it starts there is nothing to remember yet.
  if (app !== undefined && index !== undefined) void saveEvidence(app.evidence(), { dataDir: host.config.dataDir, index }, host.log)
}

/**
 * A failed disk or a bug ends the process: systemd starts it again, from what is on the disk. A damaged log, which comes back by itself, a state that differs and
 * a command of a newer version would be the same after a restart: the node stays up and says so.
 */
function exitOnFault(halt: Halt, log: Log): void {
  log[halt.kind === 'damaged' ? 'warn' : 'error']('node halted', { kind: halt.kind, reason: halt.reason, cause: halt.cause instanceof Error ? halt.cause.stack : String(halt.cause) })
  if (halt.kind === 'storage' || halt.kind === 'assertion') process.exit(1)
}
