// Two real hosts with a relay between them that counts TLS records either way.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { identityCertificate } from '../../../src/drivers/crypto/authority.ts'
import { openHost, type Host } from '../../../src/p2p/host.ts'
import { Membership } from '../../../src/p2p/membership.ts'
import { peerIdOfPrivateKey } from '../../../src/p2p/peer-id.ts'
import type { Member } from '../../../src/ports/transport.ts'
import { collectingLog } from '../../contract/transport-real.ts'

type Defer = (cleanup: () => Promise<unknown> | void) => void
/** `there` is the way of the one who connects. */
export type CountingRelay = { readonly port: number; records(way: 'there' | 'back'): number }

/** Passes bytes on. Before TLS both sides say in plain text that they want it; its first record is a handshake's. */
async function countingRelay(port: number, defer: Defer): Promise<CountingRelay> {
  const counts = { there: 0, back: 0 }
  const sockets: Socket[] = []
  const server = createServer((near) => {
    const far = connect({ host: '127.0.0.1', port })
    sockets.push(near, far)
    for (const [way, socket] of [['there', near], ['back', far]] as const) {
      let held = Buffer.alloc(0)
      let encrypted = false
      socket.on('data', (bytes) => {
        held = Buffer.concat([held, bytes])
        const begin = encrypted ? 0 : held.indexOf(Buffer.from([0x16, 0x03]))
        if (begin < 0) return
        encrypted = true
        held = held.subarray(begin)
        while (held.length >= 5 && held.length >= 5 + held.readUInt16BE(3)) {
          held = held.subarray(5 + held.readUInt16BE(3))
          counts[way]++
        }
      })
    }
    near.pipe(far)
    far.pipe(near)
    for (const socket of [near, far]) socket.on('error', () => socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  defer(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, records: (way) => counts[way] }
}

export async function openPair(defer: Defer): Promise<{ readonly a: Host; readonly b: Host; readonly relay: CountingRelay; readonly toB: Member }> {
  const keys = { a: randomBytes(32), b: randomBytes(32) }
  const hosts: Host[] = []
  for (const [nodeId, other] of [['a', 'b'], ['b', 'a']] as const) {
    const membership = new Membership(nodeId)
    membership.set([{ nodeId: other, name: other, peerId: peerIdOfPrivateKey(keys[other]), address: '127.0.0.1:1' }])
    const host = await openHost({ privateKey: keys[nodeId], certificate: await identityCertificate(keys[nodeId], { nodeId, nowMs: Date.now() }), nodeId, listen: { host: '127.0.0.1', port: 0 } }, membership, collectingLog([]))
    defer(() => host.stop())
    hosts.push(host)
  }
  const [a, b] = hosts as [Host, Host]
  const relay = await countingRelay(Number(b.address().split(':').at(-1)), defer)
  return { a, b, relay, toB: { nodeId: 'b', name: 'b', peerId: b.peerId, address: `127.0.0.1:${relay.port}` } }
}
