// The simulated network: delay, loss, duplication, reordering, partitions and one-way cuts between endpoints, all on simulated time.
import type { Clock, Random } from '../../ports/clock.ts'
import type { Gossip, PeerStreams, Transport } from '../../ports/transport.ts'
import { SimEndpoint } from './network-endpoint.ts'
import type { Cargo } from './network-streams.ts'

export type NetworkFaults = {
  readonly delayMsMin: number
  readonly delayMsMax: number
  /** Chance of a Raft message, gossip or half of a request getting lost; of a snapshot failing. */
  readonly lossRatio: number
  /** Chance of a Raft message or gossip arriving twice. */
  readonly duplicateRatio: number
  /** Chance of a Raft message or gossip not waiting for those sent before it. */
  readonly reorderRatio: number
  /** Chance of a Raft message arriving once more up to `lateMsMax` later, perhaps in another life of its receiver. */
  readonly lateRatio: number
}

export const calmNetwork: NetworkFaults = { delayMsMin: 0.2, delayMsMax: 2, lossRatio: 0, duplicateRatio: 0, reorderRatio: 0, lateRatio: 0 }

/** Under way from one node to another; what comes on top is lost. */
const inFlightMax = 4096
const inFlightBytesMax = 32 * 1024 * 1024
const lateMsMax = 60_000

type Lane = { count: number; bytes: number; lastArrivalMs: number }

export class SimNetwork {
  readonly clock: Clock
  readonly random: Random
  readonly onHandlerError: (error: unknown) => void
  readonly #endpoints = new Map<string, SimEndpoint>()
  readonly #lanes = new Map<string, Lane>()
  readonly #cuts = new Set<string>()
  #faults: NetworkFaults
  #groupOf: ReadonlyMap<string, number> | null = null

  /** @param options.onHandlerError gets what a node's handlers throw that is no OperationalError: a bug. Default: thrown from a microtask */
  constructor(options: { readonly clock: Clock; readonly random: Random; readonly faults?: NetworkFaults; readonly onHandlerError?: (error: unknown) => void }) {
    this.clock = options.clock
    this.random = options.random
    this.#faults = options.faults ?? calmNetwork
    this.onHandlerError = options.onHandlerError ?? throwSoon
  }

  /**
   * The node's access to the network. Asking again after `crash` gives a new one, and the former is dead for good.
   * @param clock the node's own, where it differs: what arrives is handled on it, so a stalled node handles it late and a killed one never
   */
  endpoint(nodeId: string, clock: Clock = this.clock): { readonly transport: Transport; readonly streams: PeerStreams; readonly gossip: Gossip } {
    if (this.#endpoints.has(nodeId)) this.crash(nodeId)
    const endpoint = new SimEndpoint(nodeId, this, clock)
    this.#endpoints.set(nodeId, endpoint)
    return { transport: endpoint, streams: endpoint.streams, gossip: endpoint.gossip }
  }

  setFaults(faults: Partial<NetworkFaults>): void {
    this.#faults = { ...this.#faults, ...faults }
  }

  /** Nodes in different groups do not reach each other; nodes in no group form one of their own. Replaces an earlier partition. */
  partition(groups: readonly (readonly string[])[]): void {
    this.#groupOf = new Map(groups.flatMap((group, number) => group.map((nodeId) => [nodeId, number] as const)))
    this.reassess()
  }

  /** Loses everything one way. */
  cut(from: string, to: string): void {
    this.#cuts.add(lane(from, to))
    this.reassess()
  }

  /** Ends the partition and all cuts; the other faults stay as they are set. */
  heal(): void {
    this.#groupOf = null
    this.#cuts.clear()
    this.reassess()
  }

  /** The node is gone with all it had open; what it sent before may still arrive. */
  crash(nodeId: string): void {
    const endpoint = this.#endpoints.get(nodeId)
    if (endpoint === undefined) return
    this.#endpoints.delete(nodeId)
    endpoint.die()
    this.reassess()
  }

  /** True where bytes get from one to the other right now. */
  passes(from: string, to: string): boolean {
    const groups = this.#groupOf
    return !this.#cuts.has(lane(from, to)) && (groups === null || groups.get(from) === groups.get(to))
  }

  /** The endpoint that is alive under this id. */
  find(nodeId: string): SimEndpoint | undefined {
    return this.#endpoints.get(nodeId)
  }

  others(nodeId: string): readonly SimEndpoint[] {
    return [...this.#endpoints.values()].filter((endpoint) => endpoint.nodeId !== nodeId)
  }

  /** Bytes under way from one node to another. */
  inFlightBytes(from: string, to: string): number {
    return this.#lanes.get(lane(from, to))?.bytes ?? 0
  }

  /** Something changed about who reaches whom: every endpoint looks at its links again. */
  reassess(): void {
    for (const endpoint of this.#endpoints.values()) endpoint.reassess()
  }

  delayMs(): number {
    const { delayMsMin, delayMsMax } = this.#faults
    return delayMsMin + ((delayMsMax - delayMsMin) * this.random.integer(1_000_001)) / 1_000_000
  }

  /** Takes cargo to its destination, subject to the faults in force when it leaves and when it arrives. */
  carry(cargo: Cargo): void {
    const way = this.#lane(cargo.from, cargo.to)
    const full = cargo.class !== 'stream' && (way.count >= inFlightMax || way.bytes + cargo.bytes > inFlightBytesMax)
    if (full || !this.passes(cargo.from, cargo.to) || (cargo.class !== 'stream' && this.#chance(this.#faults.lossRatio))) return cargo.lost?.()
    this.#launch(cargo, way)
    if (cargo.class === 'message' && this.#chance(this.#faults.duplicateRatio)) this.#launch(cargo, way)
    if (cargo.class === 'message' && this.#chance(this.#faults.lateRatio)) this.clock.after(this.random.integer(lateMsMax), () => this.#launch(cargo, way))
  }

  #launch(cargo: Cargo, way: Lane): void {
    const nowMs = this.clock.monotonicMs()
    let arrivalMs = nowMs + this.delayMs()
    if (cargo.class !== 'message' || !this.#chance(this.#faults.reorderRatio)) {
      arrivalMs = Math.max(arrivalMs, way.lastArrivalMs)
      way.lastArrivalMs = arrivalMs
    }
    way.count++
    way.bytes += cargo.bytes
    this.clock.after(arrivalMs - nowMs, () => {
      way.count--
      way.bytes -= cargo.bytes
      if (this.passes(cargo.from, cargo.to)) cargo.deliver()
      else cargo.lost?.()
    })
  }

  #lane(from: string, to: string): Lane {
    const key = lane(from, to)
    const known = this.#lanes.get(key)
    if (known !== undefined) return known
    const made = { count: 0, bytes: 0, lastArrivalMs: 0 }
    this.#lanes.set(key, made)
    return made
  }

  #chance(ratio: number): boolean {
    return ratio > 0 && this.random.integer(1_000_000) < ratio * 1_000_000
  }
}

function lane(from: string, to: string): string {
  return `${from} ${to}`
}

function throwSoon(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}
