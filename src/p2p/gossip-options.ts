// How gossipsub is set up on our host, and the bounds of what is gossiped.
import type { GossipsubOpts } from '@libp2p/gossipsub'

/** One gossiped message is at most this long. */
export const gossipBytesMax = 64 * 1024

/** A node alone publishes to nobody without an error; a peer that does not read loses its stream instead of our memory. */
export const gossipOptions: Partial<GossipsubOpts> = {
  allowPublishToZeroTopicPeers: true,
  ignoreDuplicatePublishError: true,
  fallbackToFloodsub: false,
  emitSelf: false,
  // Members are connected each with each, and an author sends to all of them: passing on would only make copies of it. Who cannot be reached by an
  // author is told with the next heartbeat, by the others, what there is to ask for (IHAVE).
  D: 0, Dlo: 0, Dhi: 0, Dscore: 0, Dout: 0,
  heartbeatInterval: 3000,
  // Tags would decide which connections are pruned; members' never are.
  tagMeshPeers: false,
  globalSignaturePolicy: 'StrictSign',
  maxOutboundBufferSize: 1024 * 1024,
  maxInboundDataLength: 4 * gossipBytesMax,
  // All members may sit behind one address, as on one test machine; they are authenticated by key anyway.
  scoreParams: { IPColocationFactorWeight: 0 },
}
