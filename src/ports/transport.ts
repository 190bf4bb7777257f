// Node-to-node traffic: Raft messages, small requests, byte streams and gossip. All of it is mutually authenticated.
import type { Message } from '../raft/types.ts'

export type Member = {
  readonly nodeId: string
  readonly name: string
  readonly peerId: string
  /** host:port of the peer protocol. */
  readonly address: string
}

/** Members of before the cluster was founded anew at this epoch: they may connect, to be told so. */
export type Dismissed = { readonly epoch: number; readonly peers: readonly { readonly nodeId: string; readonly peerId: string }[] }

export type PeerStatus = { readonly nodeId: string; readonly connected: boolean; readonly rttMs: number | null; readonly queuedBytes: number }

export interface TransportHandler {
  /** `message.from` has been checked against the authenticated peer. */
  message(message: Message): void
  /** Answers a request, or throws: the asker gets the OperationalError's code and message. */
  request(from: string, method: string, body: Uint8Array): Promise<Uint8Array>
  connected(nodeId: string): void
  disconnected(nodeId: string): void
  /** A member, authenticated, refused us: to it the cluster was founded anew, at this epoch, without this node. */
  superseded?(by: { readonly nodeId: string; readonly epoch: number }): void
}

export interface Transport {
  start(handler: TransportHandler): Promise<void>
  stop(): Promise<void>
  /** Who may connect and whom to dial; a member left out is refused at once and its live connections are closed. */
  setMembers(members: readonly Member[]): void
  /** Whom to refuse with a word that tells why; where it cannot be told they are strangers. */
  setDismissed?(dismissed: Dismissed): void
  /**
   * Best effort, never waits; queues per peer are bounded and the oldest is dropped. Snapshots go on a stream of their own;
   * `onSnapshotSent` tells their fate.
   */
  send(message: Message, onSnapshotSent?: (outcome: 'finished' | 'failed') => void): void
  /** @throws OperationalError PEER_UNREACHABLE where no answer came; other codes as the peer answered. */
  request(to: string, method: string, body: Uint8Array, options: { readonly timeoutMs: number; readonly signal?: AbortSignal }): Promise<Uint8Array>
  peers(): readonly PeerStatus[]
}

/** A duplex stream of bytes with back-pressure. */
export interface ByteStream {
  readonly readable: AsyncIterable<Uint8Array>
  /** Resolves when there is room for more; rejects once closed. */
  write(chunk: Uint8Array): Promise<void>
  /** No more writes from this side. */
  end(): Promise<void>
  /** Drops both directions at once. */
  abort(reason?: Error): void
}

export type StreamHeader = { readonly purpose: string; readonly parameters: Readonly<Record<string, string>> }

export interface PeerStreams {
  open(to: string, header: StreamHeader, signal: AbortSignal): Promise<ByteStream>
  handle(purpose: string, handler: (from: string, header: StreamHeader, stream: ByteStream) => Promise<void>): void
}

export interface Gossip {
  publish(topic: string, data: Uint8Array): void
  /** `from` is a member's node id, authenticated. */
  subscribe(topic: string, listener: (from: string, data: Uint8Array) => void): void
}
