// The port Transport over libp2p: one link per member, and the serving side of the Raft, request and snapshot streams.
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Dismissed, Member, PeerStatus, Transport, TransportHandler } from '../ports/transport.ts'
import type { Message } from '../raft/types.ts'
import { startDeadline } from './deadline.ts'
import { FrameStream, StreamClosed } from './framing.ts'
import { answerHello, HelloRefused, refuseHello } from './hello.ts'
import type { Host, Stream } from './host.ts'
import { Link } from './link.ts'
import { Malformed } from './malformed.ts'
import type { Membership } from './membership.ts'
import { decodeMessage, messageBytesMax } from './message-codec.ts'
import { raftProtocol, requestProtocol, snapshotProtocol, streamProtocol } from './protocols.ts'
import { unreachable, type RequestOptions } from './request-client.ts'
import { serveRequests } from './request-server.ts'
import { SnapshotReceiver } from './snapshot-receiver.ts'
import { sendSnapshot, type SnapshotMessage } from './snapshot-sender.ts'

const helloMsMax = 5_000

type SnapshotFate = (outcome: 'finished' | 'failed') => void
type ServeStream = (stream: FrameStream, member: Member) => Promise<void>

export class P2pTransport implements Transport {
  readonly #host: Host
  readonly #membership: Membership
  readonly #clock: Clock
  readonly #log: Log
  readonly #links = new Map<string, Link>()
  readonly #snapshotsOutgoing = new Set<string>()
  readonly #snapshots: SnapshotReceiver
  #members: readonly Member[] = []
  #handler: TransportHandler | null = null
  #stopped = false

  constructor(host: Host, membership: Membership, options: { readonly clock: Clock; readonly log: Log }) {
    this.#host = host
    this.#membership = membership
    this.#clock = options.clock
    this.#log = options.log
    this.#snapshots = new SnapshotReceiver(options.clock)
  }

  /** Registers the protocols; called once, before `start`, so that early peers get a plain refusal. */
  async register(serveStream: ServeStream): Promise<void> {
    await this.#serve(raftProtocol, (stream, member) => this.#serveRaft(stream, member))
    await this.#serve(requestProtocol, (stream, member) => serveRequests(stream, (method, body) => this.#handler!.request(member.nodeId, method, body), this.#log))
    await this.#serve(snapshotProtocol, (stream, member) => this.#serveSnapshot(stream, member))
    await this.#serve(streamProtocol, serveStream)
  }

  async start(handler: TransportHandler): Promise<void> {
    if (this.#handler !== null || this.#stopped) throw new Error('assertion: a transport starts once')
    this.#handler = handler
    for (const member of this.#members) this.#addLink(member)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    const links = [...this.#links.values()]
    this.#links.clear()
    await Promise.all(links.map((link) => link.stop(new Error('this node is stopping'))))
  }

  setMembers(members: readonly Member[]): void {
    const { added, removed, moved } = this.#membership.set(members)
    this.#members = members.filter((member) => member.nodeId !== this.#host.nodeId)
    for (const member of removed) this.#removeLink(member)
    if (this.#handler === null || this.#stopped) return
    for (const member of added) this.#addLink(member)
    for (const member of moved) this.#links.get(member.nodeId)?.move(member)
  }

  setDismissed(dismissed: Dismissed): void {
    this.#membership.setDismissed(dismissed)
  }

  send(message: Message, onSnapshotSent?: SnapshotFate): void {
    if (message.kind === 'snapshot') this.#sendSnapshot(message, onSnapshotSent ?? (() => undefined))
    else this.#links.get(message.to)?.send(message)
  }

  async request(to: string, method: string, body: Uint8Array, options: RequestOptions): Promise<Uint8Array> {
    const link = this.#links.get(to)
    if (link === undefined) throw unreachable(to, false)
    return link.request(method, body, options)
  }

  peers(): readonly PeerStatus[] {
    return [...this.#links.values()].map((link) => link.status())
  }

  /** A stream on the member's bulk connection, hello answered. @throws OperationalError PEER_UNREACHABLE */
  async openStream(nodeId: string, protocol: string, signal?: AbortSignal): Promise<FrameStream> {
    const link = this.#links.get(nodeId)
    if (link === undefined) throw unreachable(nodeId, false)
    return link.bulk.open(protocol, nodeId, signal)
  }

  #addLink(member: Member): void {
    const events = {
      connected: (nodeId: string) => this.#handler?.connected(nodeId),
      disconnected: (nodeId: string) => this.#handler?.disconnected(nodeId),
      superseded: (nodeId: string, epoch: number) => this.#handler?.superseded?.({ nodeId, epoch }),
    }
    const link = new Link(this.#host, member, { clock: this.#clock, log: this.#log, events })
    this.#links.set(member.nodeId, link)
    link.start()
  }

  #removeLink(member: Member): void {
    const reason = new Error('removed from the cluster')
    const link = this.#links.get(member.nodeId)
    this.#links.delete(member.nodeId)
    void link?.stop(reason)
    this.#host.abortPeer(member.peerId, reason)
  }

  #sendSnapshot(message: SnapshotMessage, onSnapshotSent: SnapshotFate): void {
    if (this.#snapshotsOutgoing.has(message.to)) {
      // The one on its way decides; Raft asks again when it has to.
      queueMicrotask(() => onSnapshotSent('failed'))
      return
    }
    this.#snapshotsOutgoing.add(message.to)
    const transfer = async (): Promise<'finished' | 'failed'> => {
      try {
        const stream = await this.openStream(message.to, snapshotProtocol)
        await sendSnapshot(stream, message, this.#clock)
        return 'finished'
      } catch (error) {
        this.#log.warn('snapshot not sent', { to: message.to, index: message.snapshot.index, error: String(error) })
        return 'failed'
      } finally {
        this.#snapshotsOutgoing.delete(message.to)
      }
    }
    void transfer().then(onSnapshotSent)
  }

  async #serve(protocol: string, serve: ServeStream): Promise<void> {
    await this.#host.serve(protocol, async (raw: Stream, member) => {
      const stream = new FrameStream(raw)
      try {
        await this.#welcome(stream, member)
        await serve(stream, member)
      } catch (error) {
        // The refusal was sent already and must not be cut off before it has left.
        if (error instanceof HelloRefused) return this.#closeSoon(stream)
        if (error instanceof Malformed) this.#log.warn('peer sent something malformed', { protocol, peer: member.nodeId, error: error.message })
        else if (!(error instanceof StreamClosed)) this.#log.debug('stream failed', { protocol, peer: member.nodeId, error: String(error) })
        stream.abort(error instanceof Error ? error : new Error(String(error)))
        return
      }
      await this.#closeSoon(stream)
    }, (raw, epoch) => this.#dismiss(new FrameStream(raw), epoch))
  }

  async #dismiss(stream: FrameStream, epoch: number): Promise<void> {
    const deadline = startDeadline(this.#clock, helloMsMax, 'waiting for a hello')
    deadline.signal.addEventListener('abort', () => stream.abort(deadline.signal.reason as Error), { once: true })
    try {
      await refuseHello(stream, epoch)
      await this.#closeSoon(stream)
    } catch (error) {
      stream.abort(error instanceof Error ? error : new Error(String(error)))
    } finally {
      deadline.cancel()
    }
  }

  async #welcome(stream: FrameStream, member: Member): Promise<void> {
    const deadline = startDeadline(this.#clock, helloMsMax, 'waiting for a hello')
    deadline.signal.addEventListener('abort', () => stream.abort(deadline.signal.reason as Error), { once: true })
    try {
      const { instance, address } = await answerHello(stream, this.#host, member.nodeId, this.#handler !== null && !this.#stopped)
      this.#links.get(member.nodeId)?.peerSaidHello(instance, address)
    } finally {
      deadline.cancel()
    }
  }

  async #closeSoon(stream: FrameStream): Promise<void> {
    const deadline = startDeadline(this.#clock, helloMsMax, 'closing a stream')
    await stream.close(deadline.signal)
    deadline.cancel()
  }

  async #serveRaft(stream: FrameStream, member: Member): Promise<void> {
    for (;;) {
      const bytes = await stream.frame(messageBytesMax)
      if (bytes === null) return
      const message = decodeMessage(bytes)
      if (message.kind === 'snapshot') throw new Malformed('a snapshot came on the stream of small messages')
      this.#deliver(message, member)
    }
  }

  async #serveSnapshot(stream: FrameStream, member: Member): Promise<void> {
    await this.#snapshots.receive(stream, member.nodeId, (message) => this.#deliver(message, member))
  }

  #deliver(message: Message, member: Member): void {
    if (message.from !== member.nodeId) throw new Malformed('a message names another sender than its key')
    if (message.to !== this.#host.nodeId) throw new Malformed('a message is for another node')
    // Removed a moment ago: its connections are being cut, what they still carry does not count.
    if (this.#stopped || this.#membership.byPeerId(member.peerId) === undefined) return
    try {
      this.#handler?.message(message)
    } catch (error) {
      // A bug of this node, not a fault of the peer's stream: it has to end the process, not to be caught above.
      queueMicrotask(() => {
        throw error
      })
    }
  }
}
