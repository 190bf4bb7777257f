// One member of a cluster, wired from ports alone: the daemon gives it the real ones, the simulator its own.
import { createApp, type RunningApp } from './app/app.ts'
import type { HostFacts } from './app/support-bundle.ts'
import { Cluster, type ClusterOptions } from './cluster/cluster.ts'
import { DivergenceController } from './controllers/divergence.ts'
import { ImageController } from './controllers/image.ts'
import { ImageFetcher } from './controllers/image-fetcher.ts'
import { farewellMethod, MembershipController, type MembershipOptions } from './controllers/membership.ts'
import { NodeController } from './controllers/node.ts'
import { NodeTroubleController } from './controllers/node-trouble.ts'
import { ObservationController } from './controllers/observation.ts'
import { VmController } from './controllers/vm.ts'
import { ImageImporter } from './operations/import-image.ts'
import { Attendance } from './gossip/attendance.ts'
import { Presence } from './gossip/presence.ts'
import { ProgressGossip } from './gossip/progress.ts'
import { epochOf } from './model/cluster.ts'
import { featureLevel } from './model/feature-level.ts'
import { samplePeriodMs } from './model/metrics.ts'
import type { NodeId } from './model/id.ts'
import type { NodeAnnouncement } from './model/node.ts'
import { createNodeMetrics, watchPorts } from './node-metrics.ts'
import type { ImageHost } from './planner/image.ts'
import { createOperations } from './operations/operations.ts'
import type { Clock, Random } from './ports/clock.ts'
import type { Discovery } from './ports/discovery.ts'
import type { HostProbe, Hypervisor } from './ports/hypervisor.ts'
import type { PeerImages } from './ports/image-supply.ts'
import { noImageSource, type ImageSource } from './ports/image-source.ts'
import type { Log } from './ports/log.ts'
import type { LogStore } from './ports/log-store.ts'
import type { HostMeter } from './ports/meter.ts'
import type { MigrationRelay } from './ports/migration.ts'
import type { StateStore } from './ports/state-store.ts'
import type { StorageDriver } from './ports/storage.ts'
import type { Gossip, Member, PeerStreams, Transport } from './ports/transport.ts'
import type { Vault } from './ports/vault.ts'

export type NodePorts = {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly logStore: LogStore
  readonly stateStore: StateStore
  readonly transport: Transport
  readonly streams: PeerStreams
  readonly gossip: Gossip
  readonly hypervisor: Hypervisor
  readonly storage: StorageDriver
  /** Absent where nothing is fetched from addresses. */
  readonly imageSource?: ImageSource
  readonly peerImages?: PeerImages
  /** Without one no running VM leaves this node or comes to it. */
  readonly relay?: MigrationRelay
  readonly probe: HostProbe
  /** Without one nothing is measured. */
  readonly meter?: HostMeter
  readonly vault: Vault
  readonly discovery?: Discovery | null
  /** For support bundles. */
  readonly hostFacts?: HostFacts
}

export type NodeOptions = {
  readonly nodeId: NodeId
  readonly version: string
  /** host:port under which others reach this node. */
  readonly peerAddress: string
  readonly httpAddress: string
  /** Whom to dial until the state tells the members. */
  readonly members: readonly Member[]
  /** Told of the members that the state names, at first and at every change. */
  readonly onMembers?: ((members: readonly Member[]) => void) | undefined
  readonly cluster?: Omit<ClusterOptions, 'nodeId' | 'onHalted'>
  readonly onHalted?: ClusterOptions['onHalted']
  readonly membership?: Omit<MembershipOptions, 'nodeId'>
  /** A member says that the cluster was founded anew without this node. */
  readonly onSuperseded?: ((by: { readonly nodeId: string; readonly epoch: number }) => void) | undefined
  /** A member says that this node is none any more; its own state may not know that yet. */
  readonly onFarewell?: (() => void) | undefined
}

export type ClusterNode = {
  readonly app: RunningApp
  readonly cluster: Cluster
  readonly vmController: VmController
  /** `bootstrap` forms a new cluster of one, where nothing was written yet; `resumes`: it was a member before, so that an empty disk is a loss. */
  start(options: { readonly bootstrap: boolean; readonly resumes?: boolean }): Promise<void>
  /** Guests go on. */
  stop(): Promise<void>
}

/** Short enough that a new VM is not placed on a host that died two seconds ago. */
const presencePeriodMs = 1_000
/** A node not heard of for so long gets no copies of images. */
const imageHostAgeMsMax = 10_000

export function createNode(options: NodeOptions, given: NodePorts): ClusterNode {
  const ports = watchPorts(given)
  const { nodeId, version } = options
  const { clock, random, log, transport, hypervisor, storage, gossip, probe } = ports
  const clusterOptions = { ...options.cluster, nodeId, ...(options.onHalted === undefined ? {} : { onHalted: options.onHalted }) }
  const cluster = new Cluster(clusterOptions, ports)
  const { metrics, http } = createNodeMetrics(nodeId, ports, { cluster, onHeard: (id) => presence.touch(id) })
  const instead = metrics === null ? {} : { instead: { every: samplePeriodMs / presencePeriodMs, publish: () => metrics.measure() } }
  const presence: Presence = new Presence({ nodeId, version, appliedIndex: () => cluster.state.index, periodMs: presencePeriodMs, ...instead }, { gossip, clock, probe, log })
  const progress = new ProgressGossip({ gossip, clock })
  const imageFetcher = new ImageFetcher({ nodeId }, { clock, random, log, consensus: cluster, storage, streams: ports.streams, onProgress: (key, heard) => progress.report(key, { phase: 'fetch', ...heard, downtimeMs: null }), ...(ports.peerImages === undefined ? {} : { peerImages: ports.peerImages }) })
  const appPorts = { progress, ...ports, history: metrics, http, consensus: cluster, presence, imageSupply: imageFetcher, imageSource: ports.imageSource ?? noImageSource }
  const app = createApp({ nodeId, version }, appPorts)
  const shared = { clock, random, log, consensus: cluster }
  const vmController = new VmController({ nodeId }, { ...shared, hypervisor, storage, supply: imageFetcher })
  const attendance = new Attendance({ nodeId, nodeIds: () => cluster.state.tables.node.keys(), appliedIndex: () => cluster.state.index }, { presence, clock })
  const operations = createOperations({ nodeId }, { ...shared, hypervisor, storage, relay: ports.relay ?? null, streams: ports.streams, supply: imageFetcher, progress, attendance })
  const nodeController = new NodeController({ nodeId }, { ...shared, announcement: () => announcementOf(options, ports) })
  const controllers: { start(): void; stop(): void }[] = [
    nodeController,
    new DivergenceController({ nodeId }, shared),
    new NodeTroubleController({ nodeId }, shared),
    new ObservationController({ nodeId, silentMs: silentMsOf(options) }, shared),
    new MembershipController({ nodeId, ...options.membership }, { ...shared, transport }),
    new ImageController({ nodeId }, { ...shared, storage, supply: imageFetcher, hosts: () => imageHostsOf(nodeId, cluster, presence) }),
    new ImageImporter({ nodeId }, { ...shared, storage, source: appPorts.imageSource, onProgress: (id, heard) => progress.report(id, heard) }),
  ]
  const stopping = new AbortController()
  const work = workOf({ controllers, operations, vmController })
  return {
    app,
    cluster,
    vmController,
    async start(starting) {
      await storage.start()
      await hypervisor.start(stopping.signal)
      await cluster.start(starting)
      followCluster(options, { cluster, transport, work })
      const handler = cluster.handle()
      await transport.start({
        ...handler,
        connected: () => {}, superseded: (by) => superseded(options, by, cluster),
        request: async (from, method, body) => (method === farewellMethod ? farewell(options) : handler.request(from, method, body)),
      })
      presence.start()
      metrics?.start({ paced: true })
      attendance.start()
      if (cluster.status().divergence !== null) return
      work.start()
      hypervisor.watch((event) => {
        if (event.kind === 'connected') nodeController.lookNow()
      })
    },
    async stop() {
      const worked = work.stop()
      app.stop()
      imageFetcher.stop()
      presence.stop()
      metrics?.stop()
      attendance.stop()
      await worked
      await cluster.stop()
      await transport.stop()
      stopping.abort()
      await hypervisor.stop()
    },
  }
}

function followCluster(options: NodeOptions, { cluster, transport, work }: { readonly cluster: Cluster; readonly transport: Transport; readonly work: { stop(): Promise<void> } }): void {
  cluster.watch((event) => {
    // What a wrong state wishes is not to be done.
    if (event.kind === 'status' && event.status.divergence?.phase === 'stopped') void work.stop()
    if (event.kind === 'replaced' || (event.kind === 'applied' && event.events.some((each) => each.kind === 'node' || each.kind === 'cluster'))) setMembers(options, cluster, transport)
  })
  setMembers(options, cluster, transport)
}

type Worker = { start(): void; stop(): void | Promise<void> }

/** Everything that acts on what the state wishes; when it stops, guests go on. */
function workOf({ controllers, operations, vmController }: { readonly controllers: readonly Worker[]; readonly operations: Worker; readonly vmController: Worker }): { start(): void; stop(): Promise<void> } {
  const workers = [vmController, operations, ...controllers]
  return {
    start() {
      for (const worker of workers) worker.start()
    },
    async stop() {
      for (const worker of workers.toReversed()) await worker.stop()
    },
  }
}

/** A voter is told of as silent before it is replaced. */
function silentMsOf({ membership }: NodeOptions): number | undefined {
  return membership?.lostMs === undefined ? undefined : membership.lostMs / 2
}

function farewell(options: NodeOptions): Uint8Array {
  options.onFarewell?.()
  return new Uint8Array()
}

/** Every member with its free room, as last heard. */
function imageHostsOf(nodeId: NodeId, cluster: Cluster, presence: Presence): readonly ImageHost[] {
  return [...cluster.state.tables.node.keys()].map((id) => {
    const seen = presence.of(id)
    const freeBytes = seen === null ? 0 : seen.load.storageTotalBytes - seen.load.storageUsedBytes
    return { nodeId: id, freeBytes, inTouch: id === nodeId || (seen !== null && seen.ageMs < imageHostAgeMsMax) }
  })
}

function setMembers(options: NodeOptions, cluster: Cluster, transport: Transport): void {
  const known = [...cluster.state.tables.node.values()].flatMap((node): Member[] => {
    // Of itself a node needs no address, and a new one has announced none yet.
    const address = node.announcement?.peerAddress ?? (node.id === options.nodeId ? options.peerAddress : null)
    return address === null ? [] : [{ nodeId: node.id, name: node.name, peerId: node.peerId, address }]
  })
  if (known.length > 0) options.onMembers?.(known)
  transport.setMembers(known.length > 0 ? known : options.members)
  transport.setDismissed?.({ epoch: ownEpoch(cluster), peers: [...cluster.state.tables.formerNode.values()].filter((former) => former.epoch !== undefined).map(({ id, peerId }) => ({ nodeId: id, peerId })) })
}

/** Only forward: whoever is behind us has nothing to say. */
function superseded(options: NodeOptions, by: { readonly nodeId: string; readonly epoch: number }, cluster: Cluster): void {
  if (by.epoch > ownEpoch(cluster)) options.onSuperseded?.(by)
}

function ownEpoch(cluster: Cluster): number {
  return epochOf(cluster.state.tables.cluster.get('cluster'))
}

/** Without a hypervisor that answers, the node says so, and nothing is placed on it. */
async function announcementOf(options: NodeOptions, ports: Pick<NodePorts, 'hypervisor' | 'storage' | 'probe'>): Promise<NodeAnnouncement> {
  const { version, peerAddress, httpAddress } = options
  const [info, usage, load] = await Promise.all([ports.hypervisor.info().catch(() => null), ports.storage.usage(), ports.probe.load()])
  const memoryMiB = info?.memoryMiB ?? Math.max(1, Math.floor(load.memoryTotalBytes / 2 ** 20))
  return {
    version, featureLevel, peerAddress, httpAddress,
    accelerator: info?.accelerator ?? 'none',
    hypervisor: info?.description ?? '',
    capacity: { cpus: info?.cpus ?? 1, memoryMiB, storageBytes: usage.totalBytes },
  }
}
