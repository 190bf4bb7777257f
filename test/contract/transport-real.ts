// Real nodes for the transport contract: libp2p hosts in this process, every pair joined by a relay that can be cut.
import { randomBytes } from 'node:crypto'
import { identityCertificate } from '../../src/drivers/crypto/authority.ts'
import { systemClock } from '../../src/drivers/host/clock.ts'
import { createP2p, type P2p } from '../../src/p2p/p2p.ts'
import { peerIdOfPrivateKey } from '../../src/p2p/peer-id.ts'
import type { Log, LogFields } from '../../src/ports/log.ts'
import type { Member } from '../../src/ports/transport.ts'
import type { TransportFixture, TransportNode } from './transport.ts'
import { startRelay, type Relay } from './transport-relay.ts'

const ids = ['a', 'b', 'c']
const timeoutMs = 30_000

export type LogLine = { readonly level: string; readonly message: string; readonly fields: LogFields }

/** Keeps what is logged, so that tests can ask for it. */
export function collectingLog(lines: LogLine[], base: LogFields = {}): Log {
  const at = (level: string) => (message: string, fields: LogFields = {}) => void lines.push({ level, message, fields: { ...base, ...fields } })
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error'), child: (fields) => collectingLog(lines, { ...base, ...fields }) }
}

export type RealFixture = TransportFixture & {
  readonly log: readonly LogLine[]
  /** Raw Ed25519 seed of a node. */
  key(nodeId: string): Uint8Array
  /** The address the node really listens on, relays left aside. */
  address(nodeId: string): string
}

export async function openReal(): Promise<RealFixture> {
  const keys = new Map(ids.map((nodeId) => [nodeId, new Uint8Array(randomBytes(32))]))
  // Made beforehand: whoever starts first dials the others at once.
  const certificates = new Map(await Promise.all([...keys].map(async ([nodeId, key]) => [nodeId, await identityCertificate(key, { nodeId, nowMs: Date.now() })] as const)))
  const ports = new Map<string, number>()
  const hosts = new Map<string, P2p>()
  const nodes = new Map<string, TransportNode>()
  const relays = new Map<string, Relay>()
  const log: LogLine[] = []
  for (const from of ids) for (const to of ids) if (from !== to) relays.set(`${from} ${to}`, await startRelay(() => ports.get(to)!))

  const members = (viewer: string, nodeIds: readonly string[]): Member[] =>
    nodeIds.map((nodeId) => ({ nodeId, name: nodeId, peerId: peerIdOfPrivateKey(keys.get(nodeId)!), address: relays.get(`${viewer} ${nodeId}`)?.address ?? '127.0.0.1:1' }))

  const boot = async (nodeId: string) => {
    const p2p = await createP2p({ privateKey: keys.get(nodeId)!, certificate: certificates.get(nodeId)!, nodeId, listen: { host: '127.0.0.1', port: 0 }, clock: systemClock, log: collectingLog(log, { nodeId }) })
    ports.set(nodeId, Number(p2p.address().split(':').at(-1)))
    hosts.set(nodeId, p2p)
    const node: TransportNode = { nodeId, transport: p2p.transport, streams: p2p.streams, gossip: p2p.gossip, received: [], connected: new Set(), events: [], answer: async (_from, _method, body) => body }
    nodes.set(nodeId, node)
    node.transport.setMembers(members(nodeId, ids))
    await node.transport.start({
      message: (message) => void node.received.push(message),
      request: (from, method, body) => node.answer(from, method, body),
      connected: (peer) => {
        node.connected.add(peer)
        node.events.push(`connected ${peer}`)
      },
      disconnected: (peer) => {
        node.connected.delete(peer)
        node.events.push(`disconnected ${peer}`)
      },
      superseded: ({ nodeId: peer, epoch }) => void node.events.push(`superseded ${peer} ${epoch}`),
    })
  }
  for (const nodeId of ids) await boot(nodeId)

  return {
    log,
    key: (nodeId) => keys.get(nodeId)!,
    address: (nodeId) => `127.0.0.1:${ports.get(nodeId)}`,
    get nodes() {
      return [...nodes.values()]
    },
    node: (nodeId) => nodes.get(nodeId)!,
    async until(condition, what) {
      const endMs = performance.now() + timeoutMs
      while (!condition()) {
        if (performance.now() > endMs) throw new Error(`not within ${timeoutMs} ms: ${what}`)
        await wait(5)
      }
    },
    during: (promise) => promise,
    pass: wait,
    setMembers: (nodeId, nodeIds) => nodes.get(nodeId)!.transport.setMembers(members(nodeId, nodeIds)),
    partition(groups) {
      const groupOf = (nodeId: string) => groups.findIndex((group) => group.includes(nodeId))
      for (const [pair, relay] of relays) {
        const [from, to] = pair.split(' ')
        relay.setOpen(groupOf(from!) === groupOf(to!))
      }
    },
    heal() {
      for (const relay of relays.values()) relay.setOpen(true)
    },
    async crash(nodeId) {
      await hosts.get(nodeId)!.stop()
      nodes.get(nodeId)!.connected.clear()
    },
    restart: boot,
    async stop() {
      await Promise.all([...hosts.values()].map((host) => host.stop()))
      await Promise.all([...relays.values()].map((relay) => relay.stop()))
    },
  }
}

function wait(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs))
}
