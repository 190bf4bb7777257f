// `novacron daemon`: opens the drivers, serves the faces, and lives as a member of a cluster as soon as it is one.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { App, Control } from './app/face.ts'
import type { Halt } from './cluster/status.ts'
import type { Config } from './config.ts'
import { openLocalLevel } from './db/local-level.ts'
import { selfSigned } from './drivers/crypto/authority.ts'
import { createIdentity, parseIdentity, serializeIdentity, type NodeIdentity } from './drivers/crypto/identity.ts'
import { systemRandom } from './drivers/crypto/random.ts'
import { createVault } from './drivers/crypto/vault.ts'
import { systemClock } from './drivers/host/clock.ts'
import { runDoctor } from './drivers/host/doctor.ts'
import { createLog } from './drivers/host/log.ts'
import { LinuxProbe } from './drivers/host/probe.ts'
import { LibvirtHypervisor } from './drivers/libvirt/hypervisor.ts'
import { LocalStorage } from './drivers/storage/local.ts'
import { Formation } from './formation.ts'
import { loadAssets } from './http/assets.ts'
import { startControl } from './http/control.ts'
import { startHttp, type Http } from './http/server.ts'
import { uiRoutes } from './http/ui/routes.ts'
import { readMembership, readOrNull, writePrivateFile } from './membership-file.ts'
import { uuidV7 } from './model/id.ts'
import type { Host, Member } from './member.ts'
import type { Log } from './ports/log.ts'
import { version } from './version.ts'

const assetsDirectory = join(import.meta.dirname, '../ui/assets')
const selfSignedDays = 3650

/** Runs until the signal fires. @throws where the node cannot be opened at all */
export async function runDaemon(config: Config, signal: AbortSignal): Promise<void> {
  const log = createLog({ level: config.logLevel, fields: { node: config.name } })
  const host = await openHost(config, log)
  let http: Http | null = null
  const attach = (member: Member | null) => {
    const app: App | null = member?.node.app ?? null
    http?.setApp(app)
    if (member !== null) http?.setTls(member.tls)
  }
  const formation = new Formation(host, { attach, onHalted: (halt) => exitOnFault(halt, log) })
  const stop = Promise.withResolvers<void>()
  signal.addEventListener('abort', () => stop.resolve(), { once: true })
  await formation.resume(await readMembership(config.dataDir))
  const control = controlOf(host, formation)
  http = await startHttp({
    app: formation.member?.node.app ?? null, control, host: config.listen.host, port: config.listen.port,
    tls: formation.member?.tls ?? (await provisionalTls(config)),
    clock: systemClock, log, version, assets: loadAssets(assetsDirectory), pages: uiRoutes,
  })
  const controlServer = await startControl({ path: join(config.dataDir, 'control.sock'), control, clock: systemClock, log })
  log.info('node is up', { nodeId: host.identity.nodeId, version, https: http.port, clustered: formation.member !== null })
  const introduced = formation.member === null ? introduceLibvirt(host, signal) : null
  await stop.promise
  log.info('node is stopping')
  await introduced
  await Promise.all([http.stop(), controlServer.stop()])
  await formation.stop()
  await host.local.close()
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

async function openHost(config: Config, log: Log): Promise<Host> {
  // QEMU runs as another user and has to reach its disks under here; what is private is so by its own mode.
  await mkdir(config.dataDir, { recursive: true, mode: 0o711 })
  const identity = await loadIdentity(config.dataDir)
  const local = await openLocalLevel({ directory: join(config.dataDir, 'local') })
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
    version,
  }
}

async function loadIdentity(dataDir: string): Promise<NodeIdentity> {
  const path = join(dataDir, 'identity.json')
  const text = await readOrNull(path)
  if (text !== null) return parseIdentity(text)
  const identity = createIdentity(uuidV7(systemClock.nowMs(), systemRandom.bytes(10)))
  await writePrivateFile(path, serializeIdentity(identity))
  return identity
}

/** Until the node is a member it has nobody's certificate but its own. */
async function provisionalTls(config: Config): Promise<{ readonly certPem: string; readonly keyPem: string }> {
  const { certificatePem, keyPem } = await selfSigned({
    commonName: config.name, names: [config.name, 'localhost'], addresses: [config.advertise, '127.0.0.1'], days: selfSignedDays, nowMs: systemClock.nowMs(),
  })
  return { certPem: certificatePem, keyPem }
}

function controlOf(host: Host, formation: Formation): Control {
  const { config, identity } = host
  return {
    status: () => ({
      clustered: formation.member !== null,
      nodeId: identity.nodeId,
      name: config.name,
      halted: formation.member?.node.cluster.status().halted ?? null,
      url: `https://${config.advertise}:${config.listen.port}`,
    }),
    init: (body) => formation.init(body),
    join: (body) => formation.join(body),
    doctor: async () => {
      const hypervisor = host.createHypervisor()
      const abort = new AbortController()
      await hypervisor.start(abort.signal)
      try {
        return await runDoctor({ dataDirectory: config.dataDir, hypervisor, clock: host.clock })
      } finally {
        abort.abort()
        await hypervisor.stop()
      }
    },
  }
}

/**
 * A failed disk or a bug ends the process: systemd starts it again, from what is on the disk. A damaged log or a command of a newer version
 * would be the same after a restart: the node stays up and says so.
 */
function exitOnFault(halt: Halt, log: Log): void {
  log.error('node halted', { kind: halt.kind, reason: halt.reason, cause: halt.cause instanceof Error ? halt.cause.stack : String(halt.cause) })
  if (halt.kind === 'storage' || halt.kind === 'assertion') process.exit(1)
}
