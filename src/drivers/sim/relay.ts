// The MigrationRelay port on a simulated wire: one relay for each daemon's life, links between two of them that break with the network or either relay.
import { OperationalError } from '../../model/error.ts'
import type { Cancel, Clock, Random } from '../../ports/clock.ts'
import type { MigrationRelay, MigrationSockets, RelayUse } from '../../ports/migration.ts'
import type { SimMachine } from './machine.ts'

/** As the real relay: silence for so long cuts everything. */
const silenceMsMax = 1_500
const heartbeatMs = 500
const setUpMsMax = 40

/** What the relays share: the network between the hosts, and who is where. */
export class SimRelayWire {
  readonly clock: Clock
  readonly random: Random
  readonly #passes: (from: string, to: string) => boolean
  readonly #relays = new Map<string, SimRelay>()

  /** @param options.passes true where bytes get from one node to the other right now */
  constructor(options: { readonly clock: Clock; readonly random: Random; readonly passes: (from: string, to: string) => boolean }) {
    this.clock = options.clock
    this.random = options.random
    this.#passes = options.passes
  }

  /** The relay of a daemon that starts; the one of its former life is over. */
  attach(relay: SimRelay): void {
    this.#relays.set(relay.nodeId, relay)
  }

  find(nodeId: string): SimRelay | undefined {
    return this.#relays.get(nodeId)
  }

  passes(one: string, other: string): boolean {
    return this.#passes(one, other) && this.#passes(other, one)
  }
}

/** All connections of one operation between two hosts: they stand and fall together. */
export class SimLink {
  readonly source: SimRelay
  readonly target: SimRelay
  readonly operationId: string
  readonly #wire: SimRelayWire
  readonly #broken = new Set<(reason: string) => void>()
  readonly #cancel: Cancel
  #silentMs = 0
  #reason: string | null = null
  bytes = 0

  constructor(wire: SimRelayWire, leg: { readonly source: SimRelay; readonly target: SimRelay; readonly operationId: string }) {
    this.#wire = wire
    this.source = leg.source
    this.target = leg.target
    this.operationId = leg.operationId
    this.#cancel = wire.clock.every(heartbeatMs, () => this.#beat())
  }

  get alive(): boolean {
    return this.#reason === null
  }

  /** Nothing gets through, though nobody has noticed yet. */
  get stuck(): boolean {
    return !this.#wire.passes(this.source.nodeId, this.target.nodeId)
  }

  get machine(): SimMachine {
    return this.target.machine
  }

  onBroken(listener: (reason: string) => void): void {
    this.#broken.add(listener)
  }

  break(reason: string): void {
    if (this.#reason !== null) return
    this.#reason = reason
    this.#cancel()
    for (const listener of this.#broken) listener(reason)
  }

  #beat(): void {
    this.#silentMs = this.stuck ? this.#silentMs + heartbeatMs : 0
    if (this.#silentMs >= silenceMsMax) this.break('the other side was silent')
  }
}

/** What QEMU and libvirt on the source's host reach through the relay's sockets. */
export function socketPaths(operationId: string): MigrationSockets {
  const directory = `/sim/relay/${operationId}`
  return { control: `${directory}/control.sock`, memory: `${directory}/memory.sock`, disks: `${directory}/disks.sock` }
}

export class SimRelay implements MigrationRelay {
  readonly nodeId: string
  readonly machine: SimMachine
  readonly #wire: SimRelayWire
  readonly #clock: Clock
  /** Operation → whom it takes it from. */
  readonly #accepted = new Map<string, string>()
  readonly #links = new Map<string, SimLink>()
  readonly #listeners = new Set<(operationId: string, reason: string) => void>()
  #dead = false

  /** `clock` is the daemon's: a dead one hears of nothing. */
  constructor(options: { readonly nodeId: string; readonly machine: SimMachine; readonly wire: SimRelayWire }, dependencies: { readonly clock: Clock }) {
    this.nodeId = options.nodeId
    this.machine = options.machine
    this.#wire = options.wire
    this.#clock = dependencies.clock
    this.#wire.attach(this)
  }

  async accept(leg: { readonly operationId: string; readonly vmId: string; readonly fromNodeId: string }): Promise<{ readonly address: string }> {
    await this.#takesTime()
    this.#accepted.set(leg.operationId, leg.fromNodeId)
    return { address: `${this.nodeId}:7401` }
  }

  async connect(leg: { readonly operationId: string; readonly vmId: string; readonly toNodeId: string; readonly address: string }, signal: AbortSignal): Promise<MigrationSockets> {
    await this.#takesTime()
    signal.throwIfAborted()
    const peer = this.#wire.find(leg.toNodeId)
    const answers = peer !== undefined && !peer.#dead && this.#wire.passes(this.nodeId, leg.toNodeId) && peer.#accepted.get(leg.operationId) === this.nodeId
    if (!answers || this.#dead) throw new OperationalError('PEER_UNREACHABLE', 'The relay of the other node does not answer or refuses.')
    const link = new SimLink(this.#wire, { source: this, target: peer, operationId: leg.operationId })
    this.#keep(link)
    peer.#keep(link)
    const sockets = socketPaths(leg.operationId)
    this.machine.links.set(sockets.control, link)
    return sockets
  }

  async close(operationId: string): Promise<void> {
    this.#accepted.delete(operationId)
    const link = this.#links.get(operationId)
    this.#links.delete(operationId)
    link?.break('closed')
  }

  use(operationId: string): RelayUse | null {
    const link = this.#links.get(operationId)
    if (link === undefined) return null
    return link.source === this ? { bytesSent: link.bytes, bytesReceived: 0 } : { bytesSent: 0, bytesReceived: link.bytes }
  }

  onCut(listener: (operationId: string, reason: string) => void): Cancel {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** With the daemon: all connections break. */
  die(): void {
    this.#dead = true
    for (const link of this.#links.values()) link.break('the relay is gone')
  }

  #keep(link: SimLink): void {
    this.#links.set(link.operationId, link)
    link.onBroken((reason) => {
      this.machine.links.delete(socketPaths(link.operationId).control)
      if (!this.#links.delete(link.operationId)) return
      this.#clock.after(1, () => {
        for (const listener of this.#listeners) listener(link.operationId, reason)
      })
    })
  }

  async #takesTime(): Promise<void> {
    await new Promise<void>((resolve) => this.#clock.after(1 + this.#wire.random.integer(setUpMsMax), resolve))
  }
}
