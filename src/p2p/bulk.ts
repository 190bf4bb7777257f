// A second connection to a peer, opened when first needed: snapshots and byte streams stay off the one with the heartbeats.
import { OperationalError } from '../model/error.ts'
import type { Clock } from '../ports/clock.ts'
import type { Member } from '../ports/transport.ts'
import { startDeadline } from './deadline.ts'
import { FrameStream } from './framing.ts'
import { sayHello } from './hello.ts'
import { abortConnection, type Connection, type Host } from './host.ts'
import { unreachable } from './request-client.ts'

const openMsMax = 5_000

export class BulkConnection {
  readonly #host: Host
  /** The member while the peer is connected, else null: one dial to a peer at a time, and the link's own comes first. */
  readonly #reachable: () => Member | null
  readonly #clock: Clock
  #connection: Connection | null = null
  #dialling: Promise<Connection> | null = null

  constructor(host: Host, reachable: () => Member | null, clock: Clock) {
    this.#host = host
    this.#reachable = reachable
    this.#clock = clock
  }

  /** A stream whose hello was answered. @throws OperationalError PEER_UNREACHABLE, or as the peer refused; the signal's reason */
  async open(protocol: string, nodeId: string, signal?: AbortSignal): Promise<FrameStream> {
    const member = this.#reachable()
    if (member === null) throw unreachable(nodeId, false)
    const deadline = startDeadline(this.#clock, openMsMax, 'opening a stream', signal)
    let connection: Connection | null = null
    try {
      connection = await this.#connect(member, deadline.signal)
      const stream = new FrameStream(await connection.newStream(protocol, { signal: deadline.signal }))
      await sayHello(stream, this.#host, member.nodeId, deadline.signal)
      return stream
    } catch (error) {
      if (error instanceof OperationalError) throw error
      if (signal?.aborted === true) throw signal.reason
      // Whatever hung or broke, the next attempt must not meet it again.
      if (connection !== null) this.#drop(connection, error instanceof Error ? error : new Error(String(error)))
      throw unreachable(nodeId, false)
    } finally {
      deadline.cancel()
    }
  }

  abort(reason: Error): void {
    if (this.#connection !== null) this.#drop(this.#connection, reason)
  }

  async #connect(member: Member, signal: AbortSignal): Promise<Connection> {
    if (this.#connection?.status === 'open') return this.#connection
    this.#dialling ??= this.#dial(member).finally(() => {
      this.#dialling = null
    })
    const { promise, reject } = Promise.withResolvers<never>()
    const onAbort = () => reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await Promise.race([this.#dialling, promise])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** Shared by all who wait, hence under a time limit of its own. */
  async #dial(member: Member): Promise<Connection> {
    const deadline = startDeadline(this.#clock, openMsMax, 'connecting')
    try {
      const connection = await this.#host.dial(member, deadline.signal)
      if (this.#reachable() === null) {
        abortConnection(connection, new Error('the peer went away meanwhile'))
        throw unreachable(member.nodeId, false)
      }
      this.#connection = connection
      connection.addEventListener('close', () => {
        if (this.#connection === connection) this.#connection = null
      })
      return connection
    } finally {
      deadline.cancel()
    }
  }

  #drop(connection: Connection, reason: Error): void {
    if (this.#connection === connection) this.#connection = null
    abortConnection(connection, reason)
  }
}
