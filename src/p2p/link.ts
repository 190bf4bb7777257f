// The life of our way to one member: dial, session, loss, pause, dial again, until the member is removed.
//
//   dialling ──hello answered──▶ up ──closed, silent or blocked──▶ waiting ──pause over, or the peer dialled us──▶ dialling
//      └───────────────────────── failed ────────────────────────────▲
import { randomInt } from 'node:crypto'
import { OperationalError } from '../model/error.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Member, PeerStatus } from '../ports/transport.ts'
import type { Message } from '../raft/types.ts'
import { BulkConnection } from './bulk.ts'
import { startDeadline } from './deadline.ts'
import type { Host } from './host.ts'
import { Redial } from './redial.ts'
import { unreachable, type RequestOptions } from './request-client.ts'
import { openSession, PeerSilent, type Session } from './session.ts'

/** Dial, TLS, streams and hellos together; short, because during a partition a dial hangs and the network may heal any moment. */
const connectMsMax = 3_000
const gossipCheckMs = 5_000

export type LinkEvents = { connected(nodeId: string): void; disconnected(nodeId: string): void; superseded(nodeId: string, epoch: number): void }
type LinkOptions = { readonly clock: Clock; readonly log: Log; readonly events: LinkEvents }

export class Link {
  readonly bulk: BulkConnection
  readonly #host: Host
  readonly #clock: Clock
  readonly #log: Log
  readonly #events: LinkEvents
  readonly #redial = new Redial((boundExclusive) => randomInt(boundExclusive))
  readonly #stopping = new AbortController()
  #member: Member
  /** Where the peer itself says it is: it may have moved, and the state that says so may have to pass over this very link. */
  #told: string | null = null
  #byWord = false
  /** The peer as the last session reached it. */
  #reached: Member
  #session: Session | null = null
  #wake: (() => void) | null = null
  #lastFailure = ''
  #running: Promise<void> | null = null

  constructor(host: Host, member: Member, options: LinkOptions) {
    this.#host = host
    this.#member = member
    this.#reached = member
    this.#clock = options.clock
    this.#log = options.log.child({ peer: member.nodeId, peerName: member.name })
    this.#events = options.events
    this.bulk = new BulkConnection(host, () => (this.#session === null ? null : this.#reached), options.clock)
  }

  get member(): Member {
    return this.#member
  }

  get stopped(): boolean {
    return this.#stopping.signal.aborted
  }

  start(): void {
    this.#running = this.#run()
  }

  /** Cuts everything to and from the peer at once; resolves when the loop has ended. */
  async stop(reason: Error): Promise<void> {
    this.#stopping.abort(reason)
    this.#session?.end(reason)
    this.#wake?.()
    this.#host.abortPeer(this.#member.peerId, reason)
    await this.#running
  }

  /** Same key, new address: a session that works stays, the next dial goes there. */
  move(member: Member): void {
    this.#member = member
    this.#wake?.()
  }

  /** The peer, authenticated, has dialled us: it is there now, and if it is another process than ours, our session is with a dead one. */
  peerSaidHello(instance: string, address: string | null): void {
    this.#told = address
    if (this.#session !== null && this.#session.peerInstance !== instance) this.#session.end(new Error('the peer was restarted'))
    this.#wake?.()
  }

  send(message: Message): void {
    this.#session?.raft.push(message)
  }

  /** @throws OperationalError, see RequestClient */
  async request(method: string, body: Uint8Array, options: RequestOptions): Promise<Uint8Array> {
    if (this.#session === null) throw unreachable(this.#member.nodeId, false)
    return this.#session.requests.request(method, body, options)
  }

  status(): PeerStatus {
    const session = this.#session
    return { nodeId: this.#member.nodeId, connected: session !== null, rttMs: session?.requests.rttMs ?? null, queuedBytes: session?.raft.queuedBytes ?? 0 }
  }

  async #run(): Promise<void> {
    while (!this.stopped) {
      const session = await this.#connect()
      if (session === null) this.#redial.ended(0)
      else this.#redial.ended(await this.#hold(session))
      if (!this.stopped) await this.#pause(this.#redial.delayMs())
    }
  }

  /** The address of the state and the one it told, in turn, where they differ. */
  #whereabouts(): Member {
    this.#byWord = !this.#byWord && this.#told !== null && this.#told !== this.#member.address
    return this.#byWord && this.#told !== null ? { ...this.#member, address: this.#told } : this.#member
  }

  async #connect(): Promise<Session | null> {
    const whereabouts = this.#whereabouts()
    const deadline = startDeadline(this.#clock, connectMsMax, 'connecting', this.#stopping.signal)
    try {
      const session = await openSession(this.#host, whereabouts, deadline.signal, { clock: this.#clock, log: this.#log })
      this.#lastFailure = ''
      this.#reached = whereabouts
      return session
    } catch (error) {
      const failure = error instanceof Error ? error.message : String(error)
      // One line per new reason: the loop goes on for as long as the peer is away.
      if (failure !== this.#lastFailure && !this.stopped) this.#log.warn('peer cannot be reached', { address: this.#member.address, error: failure })
      this.#lastFailure = failure
      const epoch = error instanceof OperationalError && error.code === 'CLUSTER_SUPERSEDED' ? error.data['epoch'] : undefined
      if (typeof epoch === 'number') this.#events.superseded(this.#member.nodeId, epoch)
      return null
    } finally {
      deadline.cancel()
    }
  }

  /** Keeps the session until its end; returns how many milliseconds it lasted. */
  async #hold(session: Session): Promise<number> {
    if (this.stopped) {
      session.end(new Error('the link is stopping'))
      return 0
    }
    this.#session = session
    this.#log.info('peer connected', { address: this.#member.address })
    const cancelGossipCheck = this.#clock.every(gossipCheckMs, () => this.#healGossip(session))
    this.#events.connected(this.#member.nodeId)
    const reason = await session.ended
    cancelGossipCheck()
    this.#session = null
    this.bulk.abort(reason)
    if (reason instanceof PeerSilent) this.#host.abortPeer(this.#member.peerId, reason)
    this.#log.info('peer disconnected', { reason: reason.message })
    this.#events.disconnected(this.#member.nodeId)
    return this.#clock.monotonicMs() - session.upSinceMs
  }

  /**
   * gossipsub opens its stream to a peer on whichever connection it hears of first, and when that one closes while another
   * stays, it does not open it again; a repeated identify makes it do so.
   */
  #healGossip(session: Session): void {
    const gossiping = this.#host.connections(this.#member.peerId).some((connection) =>
      connection.streams.some((stream) => stream.direction === 'outbound' && stream.protocol.startsWith('/meshsub/')),
    )
    if (gossiping) return
    this.#host.identify(session.connection).catch((error: unknown) => {
      this.#log.debug('identify failed', { error: String(error) })
    })
  }

  async #pause(delayMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = this.#clock.after(delayMs, resolve)
      this.#wake = () => {
        cancel()
        resolve()
      }
    })
    this.#wake = null
  }
}
