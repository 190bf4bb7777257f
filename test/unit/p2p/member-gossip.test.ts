// A former member on the wire: it hears why it is refused and is let go of, and nothing is gossiped with it meanwhile.
import { afterEach, expect, test, vi } from 'vitest'
import { identityCertificate } from '../../../src/drivers/crypto/authority.ts'
import { openHost, type Host } from '../../../src/p2p/host.ts'
import { Membership } from '../../../src/p2p/membership.ts'
import { recordingLog } from '../http/harness.ts'

const keys = { a: new Uint8Array(32).fill(1), b: new Uint8Array(32).fill(2) }
const hosts: Host[] = []
afterEach(async () => {
  vi.restoreAllMocks()
  await Promise.all(hosts.splice(0).map((host) => host.stop()))
})

async function open(nodeId: 'a' | 'b', membership: Membership): Promise<Host> {
  const privateKey = keys[nodeId]
  const host = await openHost({ privateKey, certificate: await identityCertificate(privateKey, { nodeId, nowMs: Date.now() }), nodeId, listen: { host: '127.0.0.1', port: 0 } }, membership, recordingLog([]))
  hosts.push(host)
  return host
}

test('it is let go of as soon as it has heard why, and gossip never knows it', async () => {
  // The time in which it has to ask does not end here.
  const timer = globalThis.setTimeout
  vi.spyOn(globalThis, 'setTimeout').mockImplementation(((action: (...given: unknown[]) => void, delayMs?: number, ...given: unknown[]) => timer(action, delayMs === 2000 ? 2 ** 30 : delayMs, ...given)) as typeof setTimeout)
  const [own, others] = [new Membership('a'), new Membership('b')]
  const [a, b] = [await open('a', own), await open('b', others)]
  own.setDismissed({ epoch: 7, peers: [{ nodeId: 'b', peerId: b.peerId }] })
  const member = { nodeId: 'a', name: 'a', peerId: a.peerId, address: a.address() }
  others.set([member])
  const told: number[] = []
  await a.serve('/test/1', () => Promise.reject(new Error('it is no member')), async (stream, epoch) => {
    told.push(epoch)
    await stream.close()
  })
  a.pubsub.subscribe('topic')
  const connection = await b.dial(member, AbortSignal.timeout(5000))
  // Each has learned by then what the other speaks.
  await expect.poll(() => b.pubsub.getPeers().length).toBe(1)
  await new Promise((resolve) => timer(resolve, 300))
  expect(a.pubsub.getPeers()).toEqual([])
  expect(a.connections(b.peerId)).toHaveLength(1)
  await connection.newStream('/test/1', { signal: AbortSignal.timeout(5000) })
  await expect.poll(() => a.connections(b.peerId).length, { timeout: 5000 }).toBe(0)
  expect(told).toEqual([7])
})
