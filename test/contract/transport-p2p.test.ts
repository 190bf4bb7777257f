// The transport contract on real libp2p hosts, and what strangers and members gone bad may try there.
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { identityCertificate } from '../../src/drivers/crypto/authority.ts'
import { BinaryWriter } from '../../src/p2p/binary.ts'
import { FrameStream, frameOf } from '../../src/p2p/framing.ts'
import { sayHello } from '../../src/p2p/hello.ts'
import { openHost, type Host } from '../../src/p2p/host.ts'
import { Membership } from '../../src/p2p/membership.ts'
import { encodeMessage } from '../../src/p2p/message-codec.ts'
import { peerIdOfPrivateKey } from '../../src/p2p/peer-id.ts'
import { encodeRequestFrame } from '../../src/p2p/request-codec.ts'
import type { Member } from '../../src/ports/transport.ts'
import type { Message } from '../../src/raft/types.ts'
import { collectingLog, openReal, type RealFixture } from './transport-real.ts'
import { heartbeat, pattern, transportContract } from './transport.ts'

transportContract('libp2p', openReal)

const deadlineMs = 5000

describe('strangers and rogues', () => {
  let fixture: RealFixture
  const rogues: Host[] = []

  beforeEach(async () => {
    fixture = await openReal()
    await fixture.until(() => fixture.nodes.every((node) => node.connected.size === 2), 'everybody is connected')
  })
  afterEach(async () => {
    await Promise.all(rogues.splice(0).map((rogue) => rogue.stop()))
    await fixture.stop()
  })

  /** A bare host with this key that knows node a, to be used without any of our good manners. */
  async function rogueWith(privateKey: Uint8Array, nodeId: string): Promise<{ host: Host; member: Member }> {
    const member = { nodeId: 'a', name: 'a', peerId: peerIdOfPrivateKey(fixture.key('a')), address: fixture.address('a') }
    const membership = new Membership(nodeId)
    membership.set([member])
    const host = await openHost({ privateKey, certificate: await identityCertificate(privateKey, { nodeId, nowMs: Date.now() }), nodeId, listen: { host: '127.0.0.1', port: 0 } }, membership, collectingLog([]))
    rogues.push(host)
    return { host, member }
  }

  /** Node c's key in the hands of somebody else; its own process is stopped. */
  async function rogueMember(): Promise<{ host: Host; member: Member }> {
    await fixture.crash('c')
    return rogueWith(fixture.key('c'), 'c')
  }

  async function openStream({ host, member }: { host: Host; member: Member }, protocol: string, greet = true): Promise<FrameStream> {
    const signal = AbortSignal.timeout(deadlineMs)
    const connection = await host.dial(member, signal)
    const stream = new FrameStream(await connection.newStream(protocol, { signal }))
    if (greet) await sayHello(stream, host, 'a', signal)
    return stream
  }

  test('a member of before the cluster was founded anew hears why it is refused, and nothing else is taken from it', async () => {
    const [a, b] = [fixture.node('a'), fixture.node('b')]
    fixture.setMembers('a', ['a'])
    a.transport.setDismissed?.({ epoch: 7, peers: [{ nodeId: 'b', peerId: peerIdOfPrivateKey(fixture.key('b')) }] })
    await fixture.until(() => b.events.includes('superseded a 7'), 'b is told')
    const before = a.received.length
    b.transport.send(heartbeat('b', 'a', 1))
    await expect(b.transport.request('a', 'echo', pattern(8), { timeoutMs: 500 })).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' })
    expect(a.received.length).toBe(before)
    expect(a.connected.has('b')).toBe(false)
    // c was left out as well, but not dismissed: a stranger, who is told nothing.
    expect(fixture.node('c').events.filter((event) => event.startsWith('superseded'))).toEqual([])
    // Once it is a member again it is welcome.
    fixture.setMembers('a', ['a', 'b'])
    await fixture.until(() => a.connected.has('b') && b.connected.has('a'), 'they are connected again')
  })

  async function endOf(stream: FrameStream): Promise<string> {
    try {
      for (;;) if ((await stream.frame(1 << 24)) === null) return 'ended'
    } catch (error) {
      return error instanceof Error ? error.name : 'unknown'
    }
  }

  test('a stranger gets no stream', async () => {
    const rogue = await rogueWith(new Uint8Array(randomBytes(32)), 'b')
    await expect(openStream(rogue, '/novacron/raft/1')).rejects.toThrow()
    expect(fixture.node('a').received).toEqual([])
  })

  test('a node that dials another one than it thinks finds out', async () => {
    const { host, member } = await rogueMember()
    const other = new Membership('c')
    other.set([{ ...member, address: fixture.address('b') }])
    await expect(host.dial({ ...member, address: fixture.address('b') }, AbortSignal.timeout(deadlineMs))).rejects.toThrow()
  })

  test('a member that says it is another member is refused with a reason', async () => {
    await fixture.crash('c')
    const liar = await rogueWith(fixture.key('c'), 'b')
    await expect(openStream(liar, '/novacron/raft/1')).rejects.toMatchObject({ code: 'FORBIDDEN', message: 'The key belongs to another node.' })
  })

  test('another protocol version is refused with a reason', async () => {
    const stream = await openStream(await rogueMember(), '/novacron/raft/1', false)
    stream.sendFrame(Buffer.from(JSON.stringify({ version: 99, nodeId: 'c', instance: 'x' })))
    expect(JSON.parse(Buffer.from((await stream.frame(4096))!).toString())).toMatchObject({ ok: false, code: 'FORBIDDEN' })
    expect(await endOf(stream)).toBe('ended')
  })

  const garbage: readonly (readonly [string, string, () => Uint8Array])[] = [
    ['an unknown kind', '/novacron/raft/1', () => frameOf(Uint8Array.of(200, 1, 99, 1, 97, 1))],
    ['a frame longer than any may be', '/novacron/raft/1', () => Uint8Array.of(255, 255, 255, 127)],
    ['a frame that ends too early', '/novacron/raft/1', () => frameOf(Uint8Array.of(6, 1, 99))],
    ['bytes left over', '/novacron/raft/1', () => encoded(heartbeat('c', 'a', 1), [0])],
    ['a message in another node\'s name', '/novacron/raft/1', () => encoded(heartbeat('b', 'a', 1))],
    ['a message for another node', '/novacron/raft/1', () => encoded(heartbeat('c', 'b', 1))],
    ['entries with a gap', '/novacron/raft/1', () => encoded({ kind: 'append', from: 'c', to: 'a', term: 1, prevIndex: 4, prevTerm: 1, commit: 0, entries: [{ index: 7, term: 1, kind: 'normal', data: new Uint8Array(0) }] })],
    ['an unknown request frame', '/novacron/request/1', () => frameOf(Uint8Array.of(9, 1))],
    ['a snapshot bigger than any may be', '/novacron/snapshot/1', () => snapshotHeader(300 * 1024 * 1024)],
    ['a header that is no JSON', '/novacron/stream/1', () => frameOf(Buffer.from('{{{'))],
    ['a header of another shape', '/novacron/stream/1', () => frameOf(Buffer.from('{"purpose": 5}'))],
  ]

  test.each(garbage)('%s on %s costs the stream, and nothing else', async (_what, protocol, bytes) => {
    const rogue = await rogueMember()
    const stream = await openStream(rogue, protocol)
    stream.send(bytes())
    expect(await endOf(stream)).toBe('StreamClosed')
    await fixture.until(() => fixture.log.some((line) => line.message === 'peer sent something malformed' && line.fields['protocol'] === protocol), 'it was logged')
    expect(fixture.node('a').received).toEqual([])
    expect(fixture.node('a').connected.has('b')).toBe(true)
    const good = await openStream(rogue, '/novacron/raft/1')
    good.send(encoded(heartbeat('c', 'a', 5)))
    await fixture.until(() => fixture.node('a').received.length === 1, 'the next good one is heard')
  })

  test('bytes that are no TLS, and connections that say nothing or vanish, harm nobody', async () => {
    const port = Number(fixture.address('a').split(':').at(-1))
    const sockets = Array.from({ length: 60 }, (_, at) => {
      const socket = connect({ host: '127.0.0.1', port })
      socket.on('error', () => undefined)
      socket.on('connect', () => {
        if (at % 3 === 0) socket.write(randomBytes(500))
        if (at % 3 === 1) socket.write('\u0013/multistream/1.0.0\n')
        if (at % 5 === 0) socket.resetAndDestroy()
      })
      return socket
    })
    await fixture.pass(300)
    const answer = await fixture.node('b').transport.request('a', 'echo', pattern(10), { timeoutMs: deadlineMs })
    expect(answer).toEqual(pattern(10))
    for (const socket of sockets) socket.destroy()
  })

  test('a hello that never comes is not waited for', async () => {
    const stream = await openStream(await rogueMember(), '/novacron/raft/1', false)
    expect(await endOf(stream)).toBe('StreamClosed')
  })

  test('a listener that stumbles over a gossiped message costs neither the process nor the other listeners', async () => {
    const heard: string[] = []
    const listener = fixture.node('a')
    listener.gossip.subscribe('presence', () => {
      throw new Error('planted')
    })
    listener.gossip.subscribe('presence', (from) => heard.push(from))
    fixture.node('b').gossip.subscribe('presence', () => undefined)
    await fixture.until(() => {
      fixture.node('b').gossip.publish('presence', new Uint8Array(randomBytes(8)))
      return heard.includes('b')
    }, 'the other listener heard it')
    expect(fixture.log.some((line) => line.level === 'error' && line.message === 'a listener of gossip failed')).toBe(true)
  })

  test('statement 38: a snapshot with a damaged chunk is not delivered', async () => {
    const stream = await openStream(await rogueMember(), '/novacron/snapshot/1')
    stream.send(snapshotHeader(10))
    expect(JSON.parse(Buffer.from((await stream.frame(4096))!).toString())).toEqual({ ok: true })
    stream.sendFrame(Buffer.concat([Buffer.of(1, 2, 3, 4), pattern(10)]))
    expect(await endOf(stream)).toBe('StreamClosed')
    expect(fixture.node('a').received).toEqual([])
  })

  test('a member that reads none of its answers is cut off, and memory stays bounded', async () => {
    const rogue = await rogueMember()
    const stream = await openStream(rogue, '/novacron/request/1')
    fixture.node('a').answer = async () => new Uint8Array(4 * 1024 * 1024)
    // Nobody calls frame(), so the answers stay unread and the window closes.
    for (let id = 1; id <= 100; id++) stream.sendFrame(encodeRequestFrame({ kind: 'request', id, method: 'big', body: new Uint8Array(0) }))
    await fixture.until(() => !stream.open, 'the stream was cut')
  })

  test('a restarted process whose old connections are still open takes their place', async () => {
    // The second host with c's key stands for the new process; the old one was never stopped.
    const rogue = await rogueWith(fixture.key('c'), 'c')
    const before = fixture.node('a').events.length
    await openStream(rogue, '/novacron/raft/1')
    await fixture.until(() => fixture.node('a').events.slice(before).includes('disconnected c'), 'the connection to the old process was given up')
  })
})

function encoded(message: Message, extra: readonly number[] = []): Uint8Array {
  const writer = new BinaryWriter()
  encodeMessage(message, writer)
  return frameOf(Buffer.concat([writer.finish(), Uint8Array.from(extra)]))
}

function snapshotHeader(totalBytes: number): Uint8Array {
  const writer = new BinaryWriter()
  writer.varint(totalBytes)
  const configuration = { voters: ['a'], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false }
  encodeMessage({ kind: 'snapshot', from: 'c', to: 'a', term: 1, snapshot: { index: 1, term: 1, configuration, data: new Uint8Array(0) } }, writer)
  return frameOf(writer.finish())
}
