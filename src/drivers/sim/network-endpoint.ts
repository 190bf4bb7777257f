// One node's end of the simulated network: Transport and Gossip, and the links whose coming and going the node is told of.
import { OperationalError } from '../../model/error.ts'
import type { Cancel, Clock, Random } from '../../ports/clock.ts'
import type { Gossip, Member, PeerStatus, Transport, TransportHandler } from '../../ports/transport.ts'
import type { Message } from '../../raft/types.ts'
import { unreachable } from './network-fault.ts'
import { SimStreams, type Cargo } from './network-streams.ts'

/** A cut is noticed by silence, as by the real driver's pings; a dead process at once. */
const noticeMsMin = 3_000
const noticeMsMax = 5_000
/** The redial loop's pause, at most. */
const redialMsMax = 2_000
const snapshotBytesPerMs = 100_000
const snapshotStallMs = 10_000
const pendingRequestsMax = 1024

/** What an endpoint sees of the network. */
export type EndpointWire = {
  readonly random: Random
  readonly onHandlerError: (error: unknown) => void
  carry(cargo: Cargo): void
  passes(from: string, to: string): boolean
  find(nodeId: string): SimEndpoint | undefined
  others(nodeId: string): readonly SimEndpoint[]
  inFlightBytes(from: string, to: string): number
  delayMs(): number
  reassess(): void
  crash(nodeId: string): void
}

type Link = { connected: boolean; everConnected: boolean; cancel: Cancel | null }
type RequestOptions = { readonly timeoutMs: number; readonly signal?: AbortSignal }

export class SimEndpoint implements Transport {
  readonly nodeId: string
  readonly streams: SimStreams
  readonly gossip: Gossip
  readonly #network: EndpointWire
  readonly #clock: Clock
  readonly #links = new Map<string, Link>()
  readonly #topics = new Map<string, ((from: string, data: Uint8Array) => void)[]>()
  readonly #pending = new Map<string, Set<(error: Error) => void>>()
  readonly #snapshotsOutgoing = new Set<string>()
  #members = new Map<string, Member>()
  #handler: TransportHandler | null = null
  #dead = false

  constructor(nodeId: string, network: EndpointWire, clock: Clock) {
    this.nodeId = nodeId
    this.#network = network
    this.#clock = clock
    this.streams = new SimStreams(this, network)
    this.gossip = {
      publish: (topic, data) => this.#publish(topic, data),
      subscribe: (topic, listener) => {
        this.#topics.set(topic, [...(this.#topics.get(topic) ?? []), listener])
      },
    }
  }

  async start(handler: TransportHandler): Promise<void> {
    if (this.#handler !== null || this.#dead) throw new Error('assertion: a transport starts once')
    this.#handler = handler
    this.#network.reassess()
  }

  async stop(): Promise<void> {
    if (!this.#dead) this.#network.crash(this.nodeId)
  }

  setMembers(members: readonly Member[]): void {
    this.#members = new Map(members.filter((member) => member.nodeId !== this.nodeId).map((member) => [member.nodeId, member]))
    if (!this.#dead) this.#network.reassess()
  }

  send(message: Message, onSnapshotSent?: (outcome: 'finished' | 'failed') => void): void {
    if (message.kind === 'snapshot') return this.#sendSnapshot(message, onSnapshotSent ?? (() => undefined))
    if (!this.connectedTo(message.to)) return
    // The copy is made now: what the sender changes afterwards must not travel.
    const copy = copyOf(message)
    this.#network.carry({ from: this.nodeId, to: message.to, bytes: messageBytes(message), class: 'message', deliver: () => this.#network.find(message.to)?.receive(this.nodeId, copy) })
  }

  async request(to: string, method: string, body: Uint8Array, options: RequestOptions): Promise<Uint8Array> {
    options.signal?.throwIfAborted()
    if (!this.connectedTo(to)) throw unreachable(to, false)
    const waiting = this.#pending.get(to) ?? new Set()
    this.#pending.set(to, waiting)
    if (waiting.size >= pendingRequestsMax) throw new OperationalError('OVERLOADED', 'Too many requests to another node are waiting. Nothing was done; try again.')
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
    const copy = new Uint8Array(body)
    waiting.add(reject)
    const cancelTimer = this.#clock.after(options.timeoutMs, () => reject(unreachable(to, true)))
    const onAbort = () => reject(options.signal?.reason instanceof Error ? options.signal.reason : new Error('aborted'))
    options.signal?.addEventListener('abort', onAbort, { once: true })
    const reply = (settle: () => void) => this.#network.carry({ from: to, to: this.nodeId, bytes: 256, class: 'request', deliver: () => this.onClock(settle) })
    this.#network.carry({
      from: this.nodeId, to, bytes: body.length + 64, class: 'request',
      deliver: () => this.#network.find(to)?.answer(this.nodeId, method, copy, (result) => reply(() => resolve(result)), (error) => reply(() => reject(error))),
    })
    try {
      return await promise
    } finally {
      cancelTimer()
      waiting.delete(reject)
      options.signal?.removeEventListener('abort', onAbort)
    }
  }

  peers(): readonly PeerStatus[] {
    return [...this.#members.keys()].map((nodeId) => {
      const connected = this.connectedTo(nodeId)
      return { nodeId, connected, rttMs: connected ? 1 : null, queuedBytes: this.#network.inFlightBytes(this.nodeId, nodeId) }
    })
  }

  /** Runs on this node's own clock and only while it lives. */
  onClock(action: () => void): void {
    this.#clock.after(0, () => {
      if (!this.#dead) action()
    })
  }

  connectedTo(nodeId: string): boolean {
    return !this.#dead && this.#links.get(nodeId)?.connected === true
  }

  /** Whether this node would let the other in. */
  admits(nodeId: string): boolean {
    return !this.#dead && this.#handler !== null && this.#members.has(nodeId)
  }

  receive(from: string, message: Message): void {
    this.onClock(() => {
      if (!this.admits(from) || message.from !== from || message.to !== this.nodeId) return
      // A duplicate must not share its parts with the first.
      this.#guard(() => this.#handler?.message(copyOf(message)))
    })
  }

  answer(from: string, method: string, body: Uint8Array, resolve: (result: Uint8Array) => void, reject: (error: Error) => void): void {
    this.onClock(() => {
      if (!this.admits(from) || this.#handler === null) return
      // As a promise of its own, so that a handler that throws at once counts as one that rejects.
      Promise.resolve()
        .then(() => this.#handler!.request(from, method, body))
        .then((result) => {
          if (!this.#dead) resolve(new Uint8Array(result))
        }, (error: unknown) => {
          if (this.#dead) return
          if (error instanceof OperationalError) return reject(new OperationalError(error.code, error.message, { data: structuredClone(error.data) }))
          this.#network.onHandlerError(error)
          reject(new OperationalError('OUTCOME_UNKNOWN', 'The other node failed while it worked on the request; its log says why.'))
        })
    })
  }

  hear(from: string, topic: string, data: Uint8Array): void {
    this.onClock(() => {
      if (!this.admits(from)) return
      for (const listener of this.#topics.get(topic) ?? []) this.#guard(() => listener(from, new Uint8Array(data)))
    })
  }

  /** Called by the network: nothing of this endpoint happens any more. */
  die(): void {
    this.#dead = true
    for (const link of this.#links.values()) link.cancel?.()
    this.#links.clear()
    this.streams.die()
  }

  /** Compares each link with what the network allows and plans its coming or going. */
  reassess(): void {
    for (const nodeId of new Set([...this.#members.keys(), ...this.#links.keys()])) {
      const link = this.#links.get(nodeId) ?? { connected: false, everConnected: false, cancel: null }
      this.#links.set(nodeId, link)
      link.cancel?.()
      link.cancel = null
      if (!this.#members.has(nodeId)) this.#disconnect(nodeId, link)
      else if (this.#usable(nodeId) !== link.connected) this.#plan(nodeId, link)
    }
  }

  #plan(nodeId: string, link: Link): void {
    const { random } = this.#network
    const peerLives = this.#network.find(nodeId)?.admits(this.nodeId) === true
    const delayMs = link.connected ? (peerLives ? noticeMsMin + random.integer(noticeMsMax - noticeMsMin) : 1) : link.everConnected ? random.integer(redialMsMax) : random.integer(50)
    link.cancel = this.#clock.after(delayMs, () => {
      link.cancel = null
      if (this.#usable(nodeId) === link.connected) return
      if (link.connected) return this.#disconnect(nodeId, link)
      link.connected = true
      link.everConnected = true
      this.#guard(() => this.#handler?.connected(nodeId))
    })
  }

  #disconnect(nodeId: string, link: Link): void {
    if (!this.#members.has(nodeId)) this.#links.delete(nodeId)
    if (!link.connected) return
    link.connected = false
    for (const reject of this.#pending.get(nodeId) ?? []) reject(unreachable(nodeId, true))
    this.streams.lose(nodeId)
    this.#guard(() => this.#handler?.disconnected(nodeId))
    // It may be reachable again already: a dead process that was started anew.
    if (this.#members.has(nodeId) && this.#usable(nodeId)) this.#plan(nodeId, link)
  }

  #usable(nodeId: string): boolean {
    const network = this.#network
    const peer = network.find(nodeId)
    return this.admits(nodeId) && peer !== undefined && peer.admits(this.nodeId) && network.passes(this.nodeId, nodeId) && network.passes(nodeId, this.nodeId)
  }

  #sendSnapshot(message: Extract<Message, { kind: 'snapshot' }>, onSnapshotSent: (outcome: 'finished' | 'failed') => void): void {
    const { to } = message
    const tell = (outcome: 'finished' | 'failed', delayMs: number) =>
      this.#clock.after(delayMs, () => {
        this.#snapshotsOutgoing.delete(to)
        if (!this.#dead) onSnapshotSent(outcome)
      })
    if (this.#snapshotsOutgoing.has(to) || !this.connectedTo(to)) {
      this.#clock.after(0, () => onSnapshotSent('failed'))
      return
    }
    this.#snapshotsOutgoing.add(to)
    const copy = copyOf(message)
    const peer = this.#network.find(to)
    this.#clock.after(message.snapshot.data.length / snapshotBytesPerMs, () =>
      this.#network.carry({
        from: this.nodeId, to, bytes: 0, class: 'request',
        deliver: () => {
          // Whoever was started meanwhile under the same id knows nothing of the transfer.
          if (peer === undefined || this.#network.find(to) !== peer) return tell('failed', 1)
          peer.receive(this.nodeId, copy)
          tell('finished', this.#network.delayMs())
        },
        lost: () => tell('failed', snapshotStallMs),
      }),
    )
  }

  #publish(topic: string, data: Uint8Array): void {
    if (this.#dead || this.#handler === null) return
    const copy = new Uint8Array(data)
    for (const peer of this.#network.others(this.nodeId)) {
      if (!this.#members.has(peer.nodeId)) continue
      this.#network.carry({ from: this.nodeId, to: peer.nodeId, bytes: data.length, class: 'message', deliver: () => peer.hear(this.nodeId, topic, copy) })
    }
  }

  #guard(action: () => void): void {
    try {
      action()
    } catch (error) {
      this.#network.onHandlerError(error)
    }
  }
}

function messageBytes(message: Message): number {
  if (message.kind !== 'append') return 64
  return message.entries.reduce((sum, entry) => sum + entry.data.length + 24, 64)
}

/** Down to the bytes, so that nothing is shared; each kind keeps its shape, which a general copy would lose. */
function copyOf(message: Message): Message {
  switch (message.kind) {
    case 'append':
      return { ...message, entries: message.entries.map((entry) => ({ ...entry, data: new Uint8Array(entry.data) })) }
    case 'snapshot': {
      const { snapshot } = message
      return { ...message, snapshot: { ...snapshot, configuration: structuredClone(snapshot.configuration), data: new Uint8Array(snapshot.data) } }
    }
    default:
      return { ...message }
  }
}
