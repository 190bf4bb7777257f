// What the use cases stand on, and the small questions all of them ask of it.
import { uuidV7, type NodeId } from '../model/id.ts'
import { sampleAgeMsMax } from '../model/metrics.ts'
import { nodeTroubles, type NodeTrouble } from '../model/node.ts'
import type { Clock, Random } from '../ports/clock.ts'
import type { Consensus, ConsensusTrouble } from '../ports/consensus.ts'
import type { Discovery } from '../ports/discovery.ts'
import type { History } from '../ports/history.ts'
import type { Hypervisor } from '../ports/hypervisor.ts'
import type { ImageSource } from '../ports/image-source.ts'
import type { ImageSupply } from '../ports/image-supply.ts'
import type { Log } from '../ports/log.ts'
import type { PresenceView } from '../ports/presence.ts'
import type { ProgressBoard } from '../ports/progress.ts'
import type { StorageDriver } from '../ports/storage.ts'
import type { Gossip, PeerStreams, Transport } from '../ports/transport.ts'
import type { Vault } from '../ports/vault.ts'
import type { State, StateHolder } from '../state/state.ts'
import { ConsoleHub } from './console-hub.ts'
import { ScreenHub } from './screen-hub.ts'
import type { HostFacts } from './support-bundle.ts'
import { Sightings } from './sightings.ts'

export type AppPorts = {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly consensus: Consensus & StateHolder
  readonly transport: Transport
  readonly streams: PeerStreams
  readonly gossip: Gossip
  readonly presence: PresenceView
  readonly progress: ProgressBoard
  /** Null where nothing is measured. */
  readonly history?: History | null
  /** Requests answered; counted by the use cases, told by gossip. */
  readonly http?: { requests: number; errors: number; seconds: number }
  readonly hypervisor: Hypervisor
  readonly storage: StorageDriver
  readonly imageSupply: ImageSupply
  readonly imageSource: ImageSource
  readonly vault: Vault
  /** For support bundles; absent where there is no host to speak of. */
  readonly hostFacts?: HostFacts
  /** Null where it is switched off; absent where there is no network to look at. */
  readonly discovery?: Discovery | null
}

/** A node not heard of for this long by gossip is not ready, though its connection may still stand. */
export const presenceAgeMsMax = 5_000
/** A host that has just died is in touch for some seconds more by all signs; a new VM goes rather to one heard of this lately. */
const freshAgeMsMax = 1_800
const readinessCacheMs = 50

const troubleReasons: Readonly<Record<NodeTrouble, string>> = {
  LogDamaged: 'has a damaged Raft log and waits to be taken back',
  Resyncing: 'catches up after damage to its Raft log',
  DiskFull: 'has no space for its Raft log',
  DiskHung: 'has a disk that does not answer',
}

export class AppContext {
  readonly nodeId: NodeId
  readonly version: string
  readonly ports: AppPorts
  /** Consoles of this node's VMs. */
  readonly consoles: ConsoleHub
  readonly screens: ScreenHub
  /** What nodes told each other of people. */
  readonly sightings: Sightings
  readonly #startedMs: number
  #readiness: { readonly atMs: number; readonly byNode: Map<string, string> } = { atMs: Number.NEGATIVE_INFINITY, byNode: new Map() }

  constructor(options: { readonly nodeId: NodeId; readonly version: string }, ports: AppPorts) {
    this.nodeId = options.nodeId
    this.version = options.version
    this.ports = ports
    this.#startedMs = ports.clock.monotonicMs()
    this.sightings = new Sightings(options.nodeId, ports)
    this.consoles = new ConsoleHub((vmId, signal) => ports.hypervisor.console(vmId, signal))
    this.screens = new ScreenHub((vmId, signal) => ports.hypervisor.screen(vmId, signal))
  }

  get state(): State {
    return this.ports.consensus.state
  }

  newId(): string {
    return uuidV7(this.ports.clock.nowMs(), this.ports.random.bytes(10))
  }

  nodeName(nodeId: string | null): string | null {
    return nodeId === null ? null : (this.state.tables.node.get(nodeId)?.name ?? null)
  }

  /** False without quorum, and where this node's part in consensus ails: a proposal says so itself. */
  get takesWrites(): boolean {
    const { quorum, troubles } = this.ports.consensus.status()
    return quorum && troubles.length === 0
  }

  /** Empty where the node is ready; else why not. Looked at anew at most every 50 ms: a list of VMs asks for each. */
  unreadiness(nodeId: string): string {
    const nowMs = this.ports.clock.monotonicMs()
    if (nowMs - this.#readiness.atMs > readinessCacheMs) this.#readiness = { atMs: nowMs, byNode: new Map() }
    const { byNode } = this.#readiness
    const known = byNode.get(nodeId)
    if (known !== undefined) return known
    const reason = this.#lookAt(nodeId)
    byNode.set(nodeId, reason)
    return reason
  }

  /** Milliseconds for which nothing has been heard of a node; of one that never was heard of, since this node began to listen. */
  silence(nodeId: string): { readonly ms: number; readonly everHeard: boolean } {
    const presence = this.ports.presence.of(nodeId)
    return presence === null ? { ms: this.ports.clock.monotonicMs() - this.#startedMs, everHeard: false } : { ms: presence.ageMs, everHeard: true }
  }

  /** What ails the node's part in consensus, as it says itself: of others as their metrics told lately. */
  troublesOf(nodeId: string): readonly Pick<ConsensusTrouble, 'type' | 'message' | 'sinceMs'>[] {
    if (nodeId === this.nodeId) return this.ports.consensus.status().troubles
    const { history } = this.ports
    const heard = history?.node(nodeId) ?? null
    if (heard === null || history === null || history === undefined || history.nowMs() - heard.heardMs > sampleAgeMsMax) return []
    const { raftLogDamaged, raftResyncing, raftDiskFull, raftDiskHung } = heard.figures
    const flags: Readonly<Record<NodeTrouble, number>> = { LogDamaged: raftLogDamaged, Resyncing: raftResyncing, DiskFull: raftDiskFull, DiskHung: raftDiskHung }
    return nodeTroubles.filter((type) => flags[type] === 1).map((type) => ({ type, message: `It ${troubleReasons[type]}.`, sinceMs: heard.heardMs }))
  }

  #lookAt(nodeId: string): string {
    const status = this.ports.consensus.status()
    if (nodeId === this.nodeId) {
      if (status.halted !== null) return status.halted
      const [trouble] = status.troubles
      if (trouble !== undefined) return troubleReasons[trouble.type]
      return status.quorum ? '' : 'has no quorum'
    }
    const divergence = this.state.tables.node.get(nodeId)?.divergence
    if (divergence !== undefined) return `has stopped: its state differs from the cluster's at index ${divergence.index} or before`
    if (!this.ports.transport.peers().some((peer) => peer.nodeId === nodeId && peer.connected)) return 'is not connected'
    const [trouble] = this.troublesOf(nodeId)
    if (trouble !== undefined) return troubleReasons[trouble.type]
    const presence = this.ports.presence.of(nodeId)
    if (presence !== null && presence.ageMs > presenceAgeMsMax) return `was last heard of ${Math.round(presence.ageMs / 1000)} s ago`
    return ''
  }

  /** Ready, and heard of within the last presence period. */
  freshNodeIds(): ReadonlySet<string> {
    const isFresh = (id: string) => id === this.nodeId || (this.ports.presence.of(id)?.ageMs ?? Number.POSITIVE_INFINITY) <= freshAgeMsMax
    return new Set([...this.readyNodeIds()].filter(isFresh))
  }

  readyNodeIds(): ReadonlySet<string> {
    return new Set([...this.state.tables.node.keys()].filter((id) => this.unreadiness(id) === ''))
  }
}

export function isoTime(timeMs: number): string {
  return new Date(timeMs).toISOString()
}
