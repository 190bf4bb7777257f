// One node's membership with the real drivers: opened from the membership file, closed again.
import { release } from 'node:os'
import { join } from 'node:path'
import type { Halt } from './cluster/status.ts'
import { ticksOf } from './cluster/timing.ts'
import type { Config } from './config.ts'
import { guardLog } from './db/log-guard.ts'
import { openSegmentLog } from './db/segment-log.ts'
import { openStateLevel } from './db/state-level.ts'
import { LinuxMeter } from './drivers/host/meter.ts'
import type { NodeIdentity } from './drivers/crypto/identity.ts'
import type { RelayTls } from './drivers/relay/messages.ts'
import { HttpImageSource } from './drivers/download/image-source.ts'
import { HttpsPeerImages } from './drivers/download/peer-images.ts'
import { RelayProcess } from './drivers/relay/relay.ts'
import { identityCertificateOf } from './identity-certificate-file.ts'
import type { NodeId } from './model/id.ts'
import { createNode, type ClusterNode } from './node.ts'
import { createP2p, type P2p } from './p2p/p2p.ts'
import type { Clock, Random } from './ports/clock.ts'
import type { Discovery } from './ports/discovery.ts'
import type { HostProbe, Hypervisor } from './ports/hypervisor.ts'
import type { Log } from './ports/log.ts'
import type { LogStore } from './ports/log-store.ts'
import type { LocalStore, StateStore } from './ports/state-store.ts'
import type { StorageDriver } from './ports/storage.ts'
import type { Vault } from './ports/vault.ts'
import { MembersFile } from './members-file.ts'
import type { MembershipRecord } from './membership-file.ts'

/** What this host has, whether it is a member or not. */
export type Host = {
  readonly config: Config
  readonly log: Log
  readonly identity: NodeIdentity
  readonly local: LocalStore & { close(): Promise<void> }
  readonly storage: StorageDriver
  /** `emulatorOwner`: whom QEMU runs as, where libvirt says it. */
  readonly createHypervisor: () => Hypervisor & { emulatorOwner?(): Promise<{ readonly uid: number; readonly gid: number } | null> }
  readonly clock: Clock
  readonly random: Random
  readonly vault: Vault
  readonly probe: HostProbe
  readonly version: string
  /** Null where it is switched off. */
  readonly discovery: Discovery | null
  /** The last lines of the daemon's log. */
  readonly logLines: () => readonly string[]
}

export const raftDirectory = (dataDir: string): string => join(dataDir, 'raft')
export const stateDirectory = (dataDir: string): string => join(dataDir, 'state')

export class Member {
  readonly node: ClusterNode
  readonly p2p: P2p
  readonly #relay: RelayProcess
  readonly #membersFile: MembersFile
  #record: TlsRecord
  /** The chain is sent whole, so that a joiner finds the authority its token names. */
  #tls: Tls

  constructor(node: ClusterNode, p2p: P2p, { relay, membersFile, record }: { readonly relay: RelayProcess; readonly membersFile: MembersFile; readonly record: TlsRecord }) {
    this.node = node
    this.p2p = p2p
    this.#relay = relay
    this.#membersFile = membersFile
    this.#record = record
    this.#tls = tlsOf(record)
  }

  /** With what its relay of migrations is known to others, and whom it trusts. */
  get relayTls(): RelayTls {
    return { certPem: this.#record.certificatePem, keyPem: this.#record.tlsKeyPem, caPem: this.#record.caCertificate }
  }

  get tls(): Tls {
    return this.#tls
  }

  serveWith(record: TlsRecord): void {
    this.#record = record
    this.#tls = tlsOf(record)
    this.#relay.renew()
  }

  async stop(): Promise<void> {
    await this.node.stop()
    await this.#relay.stop()
    await this.p2p.stop()
    await this.#membersFile.settled()
  }
}

type Tls = { readonly certPem: string; readonly keyPem: string }
type TlsRecord = Pick<MembershipRecord, 'certificatePem' | 'caCertificate' | 'tlsKeyPem'>

function tlsOf(record: TlsRecord): Tls {
  return { certPem: `${record.certificatePem.trimEnd()}\n${record.caCertificate.trimEnd()}\n`, keyPem: record.tlsKeyPem }
}

export function peerAddressOf(config: Config): string {
  return `${config.advertise}:${config.peer.port}`
}
export function httpAddressOf(config: Config): string {
  return `${config.advertise}:${config.listen.port}`
}

export type OpenOptions = {
  readonly bootstrap: boolean
  /** It was a member before. */
  readonly resumes: boolean
  readonly onHalted: (halt: Halt) => void
  /** Why it shall take no part. */
  readonly superseded: string | null
  readonly onSuperseded: (by: { readonly nodeId: string; readonly epoch: number }) => void
  /** This node is no member any more. */
  readonly onFarewell: () => void
}

/** Images are fetched neither from private addresses nor from the members'. */
function imageSourceOf(config: Config, node: () => ClusterNode): HttpImageSource {
  const members = () => [...node().cluster.state.tables.node.values()].flatMap((member) => [member.announcement?.peerAddress, member.announcement?.httpAddress].filter((address) => address !== undefined))
  return new HttpImageSource({ allowPrivate: config.imageSources.allowPrivate, members: () => members().map((address) => address.replace(/:\d+$/, '')) })
}

/** What the node has of its cluster, on disk. @throws STORAGE_FAILED */
export async function openStores({ config, local, log }: Pick<Host, 'config' | 'local' | 'log'>): Promise<{ readonly logStore: LogStore; readonly stateStore: StateStore }> {
  const stateStore = await openStateLevel({
    directory: stateDirectory(config.dataDir),
    onDamage: (damage) => log.error('the state on disk is damaged; it was put aside', damage),
  })
  return { logStore: guardLog(openSegmentLog({ directory: raftDirectory(config.dataDir) }), local), stateStore }
}

/** Opens stores and network and starts the node. */
export async function openMember(host: Host, record: MembershipRecord, options: OpenOptions): Promise<Member> {
  const { config, identity, log, clock } = host
  const certificate = await identityCertificateOf({ dataDir: config.dataDir, identity }, clock.nowMs(), log)
  const { logStore, stateStore } = await openStores(host)
  const p2p = await createP2p({ privateKey: identity.ed25519Seed, certificate, nodeId: identity.nodeId, listen: config.peer, advertise: peerAddressOf(config), clock, log }).catch(async (error: unknown) => {
    await stateStore.close()
    throw error
  })
  const hypervisor = host.createHypervisor()
  const relay = new RelayProcess(
    { listen: { host: config.migration.host, port: config.migration.port }, advertise: config.advertise, directory: config.migration.directory, ...(config.libvirt.socket === undefined ? {} : { libvirtSocket: config.libvirt.socket }) },
    {
      clock, log, tls: () => member.relayTls,
      memberName: (nodeId) => node.cluster.state.tables.node.get(nodeId)?.name ?? null,
      emulatorOwner: async () => (await hypervisor.emulatorOwner?.()) ?? null,
    },
  )
  const membersFile = new MembersFile({ dataDir: config.dataDir, clusterId: record.clusterId }, log)
  const kept = await membersFile.read()
  const node = createNode(
    {
      nodeId: identity.nodeId as NodeId, version: host.version, members: kept.length > 0 ? kept : record.members, onMembers: (members) => membersFile.note(members),
      peerAddress: peerAddressOf(config), httpAddress: httpAddressOf(config), onHalted: options.onHalted, onFarewell: options.onFarewell, onSuperseded: options.onSuperseded,
      cluster: { ...ticksOf(config.consensus), replacement: config.consensus, leaseReads: config.consensus.leaseReads, ...(options.superseded === null ? {} : { superseded: options.superseded }) }, membership: config.consensus,
    },
    {
      clock, random: host.random, log,
      logStore, stateStore,
      transport: p2p.transport, streams: p2p.streams, gossip: p2p.gossip,
      hypervisor, relay, storage: host.storage, imageSource: imageSourceOf(config, () => node), peerImages: new HttpsPeerImages(() => node.cluster.state.tables.cluster.get('cluster')?.caCertificate ?? record.caCertificate), probe: host.probe, meter: new LinuxMeter({ storage: () => host.storage.usage(), stateDirectory: stateDirectory(config.dataDir) }), vault: host.vault, discovery: host.discovery,
      hostFacts: () => ({ facts: { configuration: config, runtime: process.version, platform: `${process.platform} ${release()} ${process.arch}`, uptimeSeconds: Math.round(process.uptime()), memoryBytes: process.memoryUsage() }, log: host.logLines() }),
    },
  )
  const member = new Member(node, p2p, { relay, membersFile, record })
  try {
    await node.start({ bootstrap: options.bootstrap, resumes: options.resumes })
  } catch (error) {
    // What failed to start may fail to stop; the first fault is the one to be told.
    await member.stop().catch((reason: unknown) => log.warn('a node that did not start did not stop either', { error: String(reason) }))
    throw error
  }
  return member
}
