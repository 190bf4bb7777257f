// Puts a node on the cluster's network: one libp2p host behind the ports Transport, PeerStreams and Gossip.
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Gossip, PeerStreams, Transport } from '../ports/transport.ts'
import { P2pGossip } from './gossip.ts'
import { openHost, type HostOptions } from './host.ts'
import { Membership } from './membership.ts'
import { P2pStreams } from './peer-streams.ts'
import { P2pTransport } from './transport.ts'

export type P2p = {
  readonly transport: Transport
  readonly streams: PeerStreams
  readonly gossip: Gossip
  readonly peerId: string
  /** host:port really listened on. */
  address(): string
  stop(): Promise<void>
}

/**
 * Listens at once, but admits nobody before `transport.setMembers`, and refuses members until `transport.start`.
 * @throws Error of the system (EADDRINUSE, EADDRNOTAVAIL…) where the address cannot be listened on
 */
export async function createP2p(options: HostOptions & { readonly clock: Clock; readonly log: Log }): Promise<P2p> {
  const { clock, log } = options
  const membership = new Membership(options.nodeId)
  const host = await openHost(options, membership, log)
  const transport = new P2pTransport(host, membership, { clock, log })
  const streams = new P2pStreams((nodeId, protocol, signal) => transport.openStream(nodeId, protocol, signal), { clock, log })
  await transport.register((stream, member) => streams.serve(stream, member))
  const gossip = new P2pGossip(host, membership, log)
  return {
    transport,
    streams,
    gossip,
    peerId: host.peerId,
    address: () => host.address(),
    async stop() {
      await transport.stop()
      await host.stop()
    },
  }
}
