// One established connection to a peer with its two long-lived streams, Raft and requests; ends as a whole when any part fails.
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Member } from '../ports/transport.ts'
import { FrameStream, StreamClosed } from './framing.ts'
import { sayHello } from './hello.ts'
import { abortConnection, type Connection, type Host } from './host.ts'
import { raftProtocol, requestProtocol } from './protocols.ts'
import { RaftSender } from './raft-sender.ts'
import { RequestClient } from './request-client.ts'

const pingPeriodMs = 2_000
/** A peer that answers no ping for this long is given up and dialled anew. */
export const silentMsMax = 3_000
/** A peer that takes no Raft bytes for this long though there are some is given up too. */
export const blockedMsMax = 5_000

export class Session {
  readonly connection: Connection
  readonly raft: RaftSender
  readonly requests: RequestClient
  /** The process on the other side. */
  readonly peerInstance: string
  readonly upSinceMs: number
  /** Resolves with the reason once the session is over; never rejects. */
  readonly ended: Promise<Error>
  readonly #resolveEnded: (reason: Error) => void
  readonly #cancelPing: () => void
  #over = false

  constructor(parts: { connection: Connection; raftStream: FrameStream; requestStream: FrameStream; peerInstance: string }, member: Member, options: { clock: Clock; log: Log }) {
    const { clock, log } = options
    const { promise, resolve } = Promise.withResolvers<Error>()
    this.ended = promise
    this.#resolveEnded = resolve
    this.connection = parts.connection
    this.peerInstance = parts.peerInstance
    this.upSinceMs = clock.monotonicMs()
    this.raft = new RaftSender(parts.raftStream, { clock, log })
    this.requests = new RequestClient(parts.requestStream, { clock, peerNodeId: member.nodeId })
    this.connection.addEventListener('close', () => this.end(new StreamClosed('the connection was closed')))
    // The peer says nothing on the Raft stream after its hello, so reading it only tells of its end.
    this.#watch(parts.raftStream.frame(0).then(() => undefined))
    this.#watch(this.requests.run())
    this.#cancelPing = clock.every(pingPeriodMs, () => this.#check())
    this.requests.ping()
    if (this.connection.status !== 'open') this.end(new StreamClosed('the connection was closed'))
  }

  /** Cuts the connection. Calling it again changes nothing. */
  end(reason: Error): void {
    if (this.#over) return
    this.#over = true
    this.#cancelPing?.()
    this.requests.close()
    abortConnection(this.connection, reason)
    this.#resolveEnded(reason)
  }

  #watch(reading: Promise<void>): void {
    reading.then(
      () => this.end(new StreamClosed('the peer closed the stream')),
      (error: unknown) => this.end(error instanceof Error ? error : new Error(String(error))),
    )
  }

  #check(): void {
    if (this.requests.silentMs() > silentMsMax) return this.end(new PeerSilent(`no answer to a ping for ${silentMsMax} ms`))
    if (this.raft.blockedMs() > blockedMsMax) return this.end(new PeerSilent(`nothing taken for ${blockedMsMax} ms`))
    try {
      this.requests.ping()
    } catch (error) {
      this.end(error instanceof Error ? error : new Error(String(error)))
    }
  }
}

/** The peer's kernel may still be there but its program does not answer: other connections to it are as dead. */
export class PeerSilent extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'PeerSilent'
  }
}

/** Dials, opens both streams and exchanges hellos. @throws whatever failed; the connection is cut then */
export async function openSession(host: Host, member: Member, signal: AbortSignal, options: { clock: Clock; log: Log }): Promise<Session> {
  const connection = await host.dial(member, signal)
  try {
    const open = async (protocol: string) => {
      const stream = new FrameStream(await connection.newStream(protocol, { signal }))
      return { stream, peerInstance: await sayHello(stream, host, member.nodeId, signal) }
    }
    const [raft, requests] = await Promise.all([open(raftProtocol), open(requestProtocol)])
    signal.throwIfAborted()
    return new Session({ connection, raftStream: raft.stream, requestStream: requests.stream, peerInstance: raft.peerInstance }, member, options)
  } catch (error) {
    abortConnection(connection, error instanceof Error ? error : new Error(String(error)))
    throw error
  }
}
