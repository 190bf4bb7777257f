// What a node sends in one turn leaves in one TLS record: counted between two real hosts.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { openHost, type Host } from '../../../src/p2p/host.ts'
import { Membership } from '../../../src/p2p/membership.ts'
import { peerIdOfPrivateKey } from '../../../src/p2p/peer-id.ts'
import type { Member } from '../../../src/ports/transport.ts'
import { collectingLog } from '../../contract/transport-real.ts'

const protocol = '/novacron/count/1'
const messages = 200
const quietTurns = 10
const cleanups: (() => Promise<unknown> | void)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

/** Passes bytes on and counts the records that go from the one who connects. */
async function countingRelay(port: number): Promise<{ readonly port: number; records(): number }> {
  let records = 0
  const sockets: Socket[] = []
  const server = createServer((near) => {
    const far = connect({ host: '127.0.0.1', port })
    sockets.push(near, far)
    let held = Buffer.alloc(0)
    let encrypted = false
    near.on('data', (bytes) => {
      held = Buffer.concat([held, bytes])
      // Before TLS both sides say in plain text that they want it; its first record is a handshake's.
      const begin = encrypted ? 0 : held.indexOf(Buffer.from([0x16, 0x03]))
      if (begin < 0) return
      encrypted = true
      held = held.subarray(begin)
      while (held.length >= 5 && held.length >= 5 + held.readUInt16BE(3)) {
        held = held.subarray(5 + held.readUInt16BE(3))
        records++
      }
    })
    near.pipe(far)
    far.pipe(near)
    for (const socket of [near, far]) socket.on('error', () => socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, records: () => records }
}

async function openPair(): Promise<{ readonly a: Host; readonly b: Host; readonly relay: Awaited<ReturnType<typeof countingRelay>>; readonly toB: Member }> {
  const keys = { a: randomBytes(32), b: randomBytes(32) }
  const hosts: Host[] = []
  for (const [nodeId, other] of [['a', 'b'], ['b', 'a']] as const) {
    const membership = new Membership(nodeId)
    membership.set([{ nodeId: other, name: other, peerId: peerIdOfPrivateKey(keys[other]), address: '127.0.0.1:1' }])
    const host = await openHost({ privateKey: keys[nodeId], nodeId, listen: { host: '127.0.0.1', port: 0 } }, membership, collectingLog([]))
    cleanups.push(() => host.stop())
    hosts.push(host)
  }
  const [a, b] = hosts as [Host, Host]
  const relay = await countingRelay(Number(b.address().split(':').at(-1)))
  return { a, b, relay, toB: { nodeId: 'b', name: 'b', peerId: b.peerId, address: `127.0.0.1:${relay.port}` } }
}

test('a message is one record, not one for the frame\'s header and one for its body; all bytes arrive in order', async () => {
  const { a, b, relay, toB } = await openPair()
  const arrived: Buffer[] = []
  const done = Promise.withResolvers<void>()
  await b.serve(protocol, async (stream) => {
    for await (const bytes of stream) {
      arrived.push(Buffer.from(bytes.subarray()))
      if (arrived.reduce((sum, each) => sum + each.length, 0) >= messages * 4) done.resolve()
    }
  })
  const connection = await a.dial(toB, AbortSignal.timeout(5000))
  const stream = await connection.newStream(protocol, { signal: AbortSignal.timeout(5000) })
  const before = relay.records()
  for (let number = 0; number < messages; number++) {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(number)
    stream.send(bytes)
    // While a record is on its way what follows is gathered anyway: the next message comes when all is quiet again.
    for (let turn = 0; turn < quietTurns; turn++) await nextTurn()
  }
  await done.promise
  const received = Buffer.concat(arrived)
  for (let number = 0; number < messages; number++) expect(received.readUInt32BE(number * 4)).toBe(number)
  // Gossip and identify say something too.
  const records = relay.records() - before
  expect(records).toBeGreaterThanOrEqual(messages)
  expect(records).toBeLessThan(messages * 1.5)
})
