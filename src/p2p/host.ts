// The libp2p host: one Ed25519 identity, TCP with TLS and yamux, a gater that admits members only.
import { createPrivateKey, randomBytes, sign } from 'node:crypto'
import { isIPv4, isIPv6 } from 'node:net'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { sparingYamux } from './sparing-yamux.ts'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import type { Log } from '../ports/log.ts'
import type { Member } from '../ports/transport.ts'
import { gossipAmong } from './member-gossip.ts'
import type { Membership } from './membership.ts'
import { keyPairOf } from './peer-id.ts'
import { peerTls, type PeerCertificate } from './peer-tls.ts'

export type HostOptions = {
  /** Raw Ed25519 seed, 32 bytes. */
  readonly privateKey: Uint8Array
  /** For the same key. */
  readonly certificate: PeerCertificate
  readonly nodeId: string
  /** Port 0 takes any free one. */
  readonly listen: { readonly host: string; readonly port: number }
  /** host:port under which others reach this node; told to them. */
  readonly advertise?: string
}

type Libp2p = Awaited<ReturnType<typeof createNode>>
export type Connection = ReturnType<Libp2p['getConnections']>[number]
export type Stream = Awaited<ReturnType<Connection['newStream']>>
export type Pubsub = Libp2p['services']['pubsub']

/** A yamux window must stay below libp2p's 4 MiB read buffer, or a paused stream is reset instead of waiting. */
const windowBytesMax = 1024 * 1024
/** In which a former member has to ask why it is refused. */
const dismissalMs = 2_000
const streamsPerProtocolMax = 512

export class Host {
  readonly nodeId: string
  /** Differs with every start of a process, so that peers recognise connections to a former one. */
  readonly instance: string
  readonly peerId: string
  readonly advertised: string | null
  readonly pubsub: Pubsub
  readonly #node: Libp2p
  readonly #membership: Membership
  readonly #log: Log

  constructor(node: Libp2p, options: HostOptions, membership: Membership, log: Log) {
    this.#node = node
    this.#membership = membership
    this.#log = log
    this.nodeId = options.nodeId
    this.advertised = options.advertise ?? null
    this.instance = randomBytes(8).toString('hex')
    this.peerId = node.peerId.toString()
    this.pubsub = node.services.pubsub
    // The gater looks during the handshake; a member removed in that very moment is caught here.
    node.addEventListener('connection:open', (event) => {
      const peerId = event.detail.remotePeer.toString()
      if (membership.byPeerId(peerId) !== undefined) return
      if (membership.dismissedAt(peerId) === null) abortConnection(event.detail, new Error('not a member'))
      else setTimeout(() => abortConnection(event.detail, new Error('not a member any more')), dismissalMs).unref()
    })
  }

  /** host:port really listened on. */
  address(): string {
    const first = this.#node.getMultiaddrs()[0]?.getComponents() ?? []
    const host = first.find((part) => part.name === 'ip4' || part.name === 'ip6')?.value ?? ''
    const port = first.find((part) => part.name === 'tcp')?.value ?? '0'
    return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  }

  /** A new connection to a member, beside those that exist. Never call it for one peer twice at a time: libp2p would join the dials. */
  async dial(member: Member, signal: AbortSignal): Promise<Connection> {
    return this.#node.dial(multiaddr(`${multiaddrOf(member.address)}/p2p/${member.peerId}`), { force: true, signal })
  }

  connections(peerId: string): readonly Connection[] {
    return this.#node.getConnections().filter((connection) => connection.remotePeer.toString() === peerId)
  }

  /** Cuts every connection to and from a peer at once. */
  abortPeer(peerId: string, reason: Error): void {
    for (const connection of this.connections(peerId)) abortConnection(connection, reason)
  }

  /** Streams of the protocol come to the handler with the member who opened them, those of former members to `refuse`; each owns the stream and must not throw. */
  async serve(protocol: string, handler: (stream: Stream, member: Member, connection: Connection) => Promise<void>, refuse: (stream: Stream, epoch: number) => Promise<void> = abortStranger): Promise<void> {
    const limits = { maxInboundStreams: streamsPerProtocolMax, maxOutboundStreams: streamsPerProtocolMax }
    await this.#node.handle(protocol, (stream, connection) => {
      const member = this.#membership.byPeerId(connection.remotePeer.toString())
      const epoch = member === undefined ? this.#membership.dismissedAt(connection.remotePeer.toString()) : null
      if (member === undefined && epoch === null) return stream.abort(new Error('not a member'))
      // It has heard why: nothing else is said on its connection, which is closed without cutting off the answer.
      const dismiss = () => refuse(stream, epoch ?? 0).finally(() => void connection.close().catch(() => undefined))
      const handled = member === undefined ? dismiss() : handler(stream, member, connection)
      handled.catch((error: unknown) => {
        this.#log.error('stream handler failed', { protocol, peer: member?.nodeId ?? connection.remotePeer.toString(), error: String(error) })
        stream.abort(error instanceof Error ? error : new Error(String(error)))
      })
    }, limits)
  }

  /** Runs identify again, which makes gossipsub open its stream on this connection if it has lost the one it had. */
  async identify(connection: Connection): Promise<void> {
    await this.#node.services.identify.identify(connection)
  }

  async stop(): Promise<void> {
    for (const connection of this.#node.getConnections()) abortConnection(connection, new Error('this node is stopping'))
    await this.#node.stop()
  }
}

/**
 * Starts listening at once; nobody is admitted before `membership` names somebody.
 * @throws Error of the system where the address cannot be listened on
 */
export async function openHost(options: HostOptions, membership: Membership, log: Log): Promise<Host> {
  const node = await createNode(options, membership)
  return new Host(node, options, membership, log)
}

/** Cuts a connection with all of its streams; one that is gone already is fine. */
export function abortConnection(connection: Connection, reason: Error): void {
  try {
    connection.abort(reason)
  } catch {
    // Its socket failed while it was told: it is as good as aborted.
  }
}

function abortStranger(stream: Stream): Promise<void> {
  stream.abort(new Error('not a member'))
  return Promise.resolve()
}

async function createNode(options: HostOptions, membership: Membership) {
  const stranger = (peerId: { toString(): string }) => membership.byPeerId(peerId.toString()) === undefined
  const privateKey = keyPairOf(options.privateKey)
  // libp2p reads the key anew for every signature, and each word of gossip has one.
  const key = createPrivateKey(options.certificate.keyPem)
  privateKey.sign = (message) => sign(null, message instanceof Uint8Array ? message : message.subarray(), key)
  const unwelcome = (peerId: { toString(): string }) => stranger(peerId) && membership.dismissedAt(peerId.toString()) === null
  return createLibp2p({
    privateKey,
    addresses: { listen: [multiaddrOf(hostPort(options.listen.host, options.listen.port))] },
    transports: [tcp({ dialOpts: { noDelay: true, keepAlive: true }, listenOpts: { noDelay: true, keepAlive: true } })],
    connectionEncrypters: [peerTls(options.certificate)],
    streamMuxers: [sparingYamux({ enableKeepAlive: true, streamOptions: { maxStreamWindowSize: windowBytesMax, maxReadBufferLength: 4 * windowBytesMax } })],
    connectionGater: {
      denyDialPeer: stranger,
      denyInboundEncryptedConnection: unwelcome,
      denyInboundUpgradedConnection: unwelcome,
      denyOutboundUpgradedConnection: stranger,
    },
    connectionManager: {
      inboundConnectionThreshold: 100, maxIncomingPendingConnections: 100, maxConnections: 1000, inboundUpgradeTimeout: 5_000,
      outboundStreamProtocolNegotiationTimeout: 3_000, inboundStreamProtocolNegotiationTimeout: 5_000, reconnectRetries: 0,
    },
    // Our own pings run inside the request stream and see a stopped peer much sooner.
    connectionMonitor: { enabled: false },
    services: { identify: identify(), pubsub: gossipAmong(stranger) },
  })
}

/** `host:port` (IPv6 in brackets, or a DNS name) as a libp2p address. */
export function multiaddrOf(address: string): string {
  const colon = address.lastIndexOf(':')
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '')
  const port = address.slice(colon + 1)
  const family = isIPv4(host) ? 'ip4' : isIPv6(host) ? 'ip6' : 'dns'
  return `/${family}/${host}/tcp/${port}`
}

function hostPort(host: string, port: number): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`
}
