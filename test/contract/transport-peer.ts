// One node in a process of its own for the process tests: floods its peers with Raft messages and tells its parent what it sees.
import { identityCertificate } from '../../src/drivers/crypto/authority.ts'
import { systemClock } from '../../src/drivers/host/clock.ts'
import { createP2p } from '../../src/p2p/p2p.ts'
import type { Member } from '../../src/ports/transport.ts'
import { collectingLog } from './transport-real.ts'
import { append } from './transport.ts'

export type PeerCommand = { readonly kind: 'start'; readonly nodeId: string; readonly seedHex: string; readonly port: number } | { readonly kind: 'members'; readonly members: readonly Member[] }
export type PeerReport =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'status'; readonly receivedFrom: Readonly<Record<string, number>>; readonly connected: readonly string[]; readonly memoryMiB: number; readonly faults: readonly string[] }

const faults: string[] = []
process.on('unhandledRejection', (error) => faults.push(String(error)))
process.on('uncaughtException', (error) => faults.push(String(error)))
process.on('disconnect', () => process.exit(0))

const receivedFrom: Record<string, number> = {}
const connected = new Set<string>()
let p2p: Awaited<ReturnType<typeof createP2p>> | null = null

process.on('message', (raw) => {
  const command = raw as PeerCommand
  if (command.kind === 'members') p2p?.transport.setMembers(command.members)
  else void start(command)
})

async function start({ nodeId, seedHex, port }: Extract<PeerCommand, { kind: 'start' }>): Promise<void> {
  const privateKey = new Uint8Array(Buffer.from(seedHex, 'hex'))
  const certificate = await identityCertificate(privateKey, { nodeId, nowMs: Date.now() })
  const made = await createP2p({ privateKey, certificate, nodeId, listen: { host: '127.0.0.1', port }, clock: systemClock, log: collectingLog([]) })
  p2p = made
  made.gossip.subscribe('presence', () => undefined)
  await made.transport.start({
    message: (message) => {
      receivedFrom[message.from] = (receivedFrom[message.from] ?? 0) + 1
    },
    request: async (_from, _method, body) => body,
    connected: (peer) => void connected.add(peer),
    disconnected: (peer) => void connected.delete(peer),
  })
  const data = new Uint8Array(20_000)
  // 100 messages a second to each: 2 MB/s, far more than a stopped peer's kernel buffers hold.
  setInterval(() => {
    for (const peer of ['a', 'b', 'c']) if (peer !== nodeId) made.transport.send(append(nodeId, peer, 1, data))
  }, 10)
  setInterval(() => {
    made.gossip.publish('presence', new Uint8Array(100))
    report({ kind: 'status', receivedFrom, connected: [...connected].toSorted(), memoryMiB: process.memoryUsage().rss / 1_048_576, faults })
  }, 100)
  report({ kind: 'listening', port: Number(made.address().split(':').at(-1)) })
}

function report(message: PeerReport): void {
  process.send?.(message)
}
