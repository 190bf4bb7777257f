// The contract of Transport, PeerStreams and Gossip, run on libp2p and on the simulated network: whoever passes may carry a cluster.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { OperationalError } from '../../src/model/error.ts'
import type { Gossip, PeerStreams, Transport } from '../../src/ports/transport.ts'
import type { Message } from '../../src/raft/types.ts'

/** One node as the tests see it: its ports, what it received, and what it answers. */
export type TransportNode = {
  readonly nodeId: string
  readonly transport: Transport
  readonly streams: PeerStreams
  readonly gossip: Gossip
  readonly received: Message[]
  readonly connected: Set<string>
  readonly events: string[]
  answer: (from: string, method: string, body: Uint8Array) => Promise<Uint8Array>
}

export type TransportFixture = {
  readonly nodes: readonly TransportNode[]
  node(nodeId: string): TransportNode
  /** Lets time go on until the condition holds; fails after 30 s of that time. */
  until(condition: () => boolean, what: string): Promise<void>
  /** Lets time go on until the promise is settled. */
  during<T>(promise: Promise<T>): Promise<T>
  /** Lets so much time go by. */
  pass(durationMs: number): Promise<void>
  /** Gives the node this list of members (node ids), itself included. */
  setMembers(nodeId: string, members: readonly string[]): void
  partition(groups: readonly (readonly string[])[]): void
  heal(): void
  crash(nodeId: string): Promise<void>
  /** A new process of a crashed node: same identity, same address, all members. */
  restart(nodeId: string): Promise<void>
  stop(): Promise<void>
}

const configuration = { voters: ['a', 'b', 'c'], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false }

export function heartbeat(from: string, to: string, commit: number): Message {
  return { kind: 'heartbeat', from, to, term: 1, commit, context: '' }
}

export function append(from: string, to: string, index: number, data: Uint8Array): Message {
  return { kind: 'append', from, to, term: 1, prevIndex: index - 1, prevTerm: 1, commit: 0, entries: [{ index, term: 1, kind: 'normal', data }] }
}

/** Bytes that differ everywhere, so that a lost or swapped piece shows. */
export function pattern(length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = 1
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[at] = state >>> 24
  }
  return bytes
}

function oneOfEachKind(from: string, to: string): Message[] {
  const envelope = { from, to, term: 7 }
  return [
    { ...envelope, kind: 'vote', lastIndex: 5, lastTerm: 4, transfer: true },
    { ...envelope, kind: 'preVote', lastIndex: 0, lastTerm: 0, transfer: false },
    { ...envelope, kind: 'voteResponse', reject: true },
    { ...envelope, kind: 'preVoteResponse', reject: false },
    { ...envelope, kind: 'append', prevIndex: 3, prevTerm: 2, commit: 2 ** 48 - 1, entries: [{ index: 4, term: 7, kind: 'normal', data: pattern(300_000) }, { index: 5, term: 7, kind: 'config', data: new Uint8Array(0) }] },
    { ...envelope, kind: 'appendResponse', index: 9, reject: true, hintIndex: 8, hintTerm: 1 },
    { ...envelope, kind: 'heartbeat', commit: 4, context: 'ctx-ä' },
    { ...envelope, kind: 'heartbeatResponse', context: '', promise: true },
    { ...envelope, kind: 'timeoutNow' },
    { ...envelope, kind: 'transferLeader', transferee: 'c' },
    { ...envelope, kind: 'readIndex', context: 'r1' },
    { ...envelope, kind: 'readIndexResponse', context: 'r1', index: 12, reject: false },
    { ...envelope, kind: 'forget' },
  ]
}

async function refusal(promise: Promise<unknown>): Promise<OperationalError> {
  try {
    await promise
  } catch (error) {
    if (error instanceof OperationalError) return error
    throw error
  }
  throw new Error('it was not refused')
}

async function readAll(readable: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of readable) chunks.push(new Uint8Array(chunk))
  return new Uint8Array(Buffer.concat(chunks))
}

const bytesOf = (text: string) => new Uint8Array(Buffer.from(text))
const textOf = (bytes: Uint8Array) => Buffer.from(bytes).toString()

/** `open` gives three nodes a, b and c that know each other and are started. */
export function transportContract(name: string, open: () => Promise<TransportFixture>): void {
  describe(name, () => {
    let fixture: TransportFixture
    const node = (nodeId: string) => fixture.node(nodeId)
    const allConnected = () => fixture.nodes.every((each) => each.connected.size === fixture.nodes.length - 1)
    const heartbeats = (at: string, from: string) => node(at).received.filter((message) => message.kind === 'heartbeat' && message.from === from).length

    beforeEach(async () => {
      fixture = await open()
      await fixture.until(allConnected, 'everybody is connected')
    })
    afterEach(async () => {
      await fixture.stop()
    })

    describe('messages', () => {
      test('of every kind arrive intact and in order', async () => {
        const sent = oneOfEachKind('a', 'b')
        for (const message of sent) node('a').transport.send(message)
        await fixture.until(() => node('b').received.length === sent.length, 'all arrived')
        expect(node('b').received).toEqual(sent)
        expect(node('c').received).toEqual([])
      })

      test('many arrive in the order in which they were sent', async () => {
        for (let index = 1; index <= 3000; index++) {
          node('a').transport.send(append('a', 'b', index, pattern(200)))
          if (index % 100 === 0) await fixture.until(() => node('b').received.length >= index - 1000, 'it goes on')
        }
        await fixture.until(() => node('b').received.length === 3000, 'all arrived')
        expect(node('b').received.map((message) => message.kind === 'append' && message.prevIndex)).toEqual(Array.from({ length: 3000 }, (_, at) => at))
      })

      test('what the sender changes afterwards does not travel', async () => {
        const data = pattern(10)
        node('a').transport.send(append('a', 'b', 1, data))
        await fixture.until(() => node('b').received.length === 1, 'it arrived')
        const before = structuredClone(node('b').received[0])
        data.fill(0)
        expect(node('b').received[0]).toEqual(before)
      })

      test('to a node that does not exist go nowhere and throw nothing', async () => {
        node('a').transport.send(heartbeat('a', 'nobody', 1))
        node('a').transport.send(heartbeat('a', 'b', 2))
        await fixture.until(() => node('b').received.length === 1, 'the other arrived')
      })
    })

    describe('requests', () => {
      test('carry bytes there and back, many at once', async () => {
        node('b').answer = async (from, method, body) => bytesOf(`${from} ${method} ${body.length}`)
        const answers = await fixture.during(Promise.all(Array.from({ length: 200 }, (_, at) => node('a').transport.request('b', 'echo', new Uint8Array(at), { timeoutMs: 5000 }))))
        expect(answers.map(textOf)).toEqual(Array.from({ length: 200 }, (_, at) => `a echo ${at}`))
      })

      test('carry 4 MiB both ways', async () => {
        const body = pattern(4 * 1024 * 1024)
        node('b').answer = async (_from, _method, received) => received
        expect(Buffer.compare(await fixture.during(node('a').transport.request('b', 'echo', body, { timeoutMs: 20_000 })), body)).toBe(0)
      })

      test('bring back the code, message and data of a refusal', async () => {
        node('b').answer = async () => {
          throw new OperationalError('NO_FIT', 'It fits nowhere.', { data: { fields: [{ path: 'spec.cpus', message: 'too many' }] } })
        }
        const error = await fixture.during(refusal(node('a').transport.request('b', 'place', new Uint8Array(0), { timeoutMs: 5000 })))
        expect([error.code, error.message, error.data]).toEqual(['NO_FIT', 'It fits nowhere.', { fields: [{ path: 'spec.cpus', message: 'too many' }] }])
      })

      test('that are not answered in time are PEER_UNREACHABLE, perhaps done', async () => {
        node('b').answer = () => new Promise(() => undefined)
        const error = await fixture.during(refusal(node('a').transport.request('b', 'hang', new Uint8Array(0), { timeoutMs: 300 })))
        expect([error.code, error.data['sent']]).toEqual(['PEER_UNREACHABLE', true])
      })

      test('to nobody are PEER_UNREACHABLE at once, surely not done', async () => {
        const error = await fixture.during(refusal(node('a').transport.request('nobody', 'x', new Uint8Array(0), { timeoutMs: 60_000 })))
        expect([error.code, error.data['sent']]).toEqual(['PEER_UNREACHABLE', false])
      })

      test('end with their signal', async () => {
        node('b').answer = () => new Promise(() => undefined)
        const controller = new AbortController()
        const asked = node('a').transport.request('b', 'hang', new Uint8Array(0), { timeoutMs: 60_000, signal: controller.signal })
        controller.abort(new Error('changed my mind'))
        await expect(asked).rejects.toThrow('changed my mind')
      })

      test('under way fail when the peer dies', async () => {
        node('b').answer = () => new Promise(() => undefined)
        const asked = refusal(node('a').transport.request('b', 'hang', new Uint8Array(0), { timeoutMs: 60_000 }))
        await fixture.pass(50)
        await fixture.crash('b')
        expect((await fixture.during(asked)).code).toBe('PEER_UNREACHABLE')
      })
    })

    describe('snapshots', () => {
      const snapshot = (to: string, data: Uint8Array): Message => ({ kind: 'snapshot', from: 'a', to, term: 3, snapshot: { index: 9, term: 2, configuration, data } })

      test('of 20 MiB arrive whole while heartbeats go on', async () => {
        const data = pattern(20 * 1024 * 1024)
        let outcome = ''
        node('a').transport.send(snapshot('b', data), (fate) => {
          outcome = fate
        })
        let sent = 0
        let seenMeanwhile = 0
        while (outcome === '') {
          node('a').transport.send(heartbeat('a', 'b', ++sent))
          await fixture.pass(5)
          if (!node('b').received.some((message) => message.kind === 'snapshot')) seenMeanwhile = heartbeats('b', 'a')
        }
        expect(outcome).toBe('finished')
        expect(seenMeanwhile).toBeGreaterThan(3)
        const arrived = node('b').received.find((message) => message.kind === 'snapshot')
        expect(arrived?.kind === 'snapshot' && arrived.snapshot.index).toBe(9)
        expect(arrived?.kind === 'snapshot' && arrived.snapshot.configuration).toEqual(configuration)
        expect(arrived?.kind === 'snapshot' && Buffer.compare(arrived.snapshot.data, data)).toBe(0)
      })

      test('without data arrive too', async () => {
        let outcome = ''
        node('a').transport.send(snapshot('c', new Uint8Array(0)), (fate) => {
          outcome = fate
        })
        await fixture.until(() => outcome !== '', 'its fate is known')
        expect([outcome, node('c').received.length]).toEqual(['finished', 1])
      })

      test('to a dead node fail', async () => {
        await fixture.crash('b')
        await fixture.until(() => !node('a').connected.has('b'), 'it is known to be away')
        let outcome = ''
        node('a').transport.send(snapshot('b', pattern(1000)), (fate) => {
          outcome = fate
        })
        await fixture.until(() => outcome !== '', 'its fate is known')
        expect(outcome).toBe('failed')
      })

      test('cut by a partition fail, and the next try after it works', async () => {
        const fates: string[] = []
        node('a').transport.send(snapshot('b', pattern(30 * 1024 * 1024)), (fate) => fates.push(fate))
        fixture.partition([['a'], ['b', 'c']])
        await fixture.until(() => fates.length === 1, 'its fate is known')
        expect(fates).toEqual(['failed'])
        fixture.heal()
        await fixture.until(() => node('a').connected.has('b'), 'they are connected again')
        node('a').transport.send(snapshot('b', pattern(1000)), (fate) => fates.push(fate))
        await fixture.until(() => fates.length === 2, 'its fate is known')
        expect(fates).toEqual(['failed', 'finished'])
      })
    })

    describe('membership', () => {
      test('a member left out is cut off at once and may come back', async () => {
        fixture.setMembers('a', ['a', 'b'])
        await fixture.until(() => !node('a').connected.has('c') && !node('c').connected.has('a'), 'both sides know')
        expect(node('a').transport.peers().map((peer) => peer.nodeId)).toEqual(['b'])
        node('c').transport.send(heartbeat('c', 'a', 1))
        expect((await fixture.during(refusal(node('c').transport.request('a', 'x', new Uint8Array(0), { timeoutMs: 500 })))).code).toBe('PEER_UNREACHABLE')
        await fixture.pass(1000)
        expect(node('a').received).toEqual([])
        fixture.setMembers('a', ['a', 'b', 'c'])
        await fixture.until(() => node('a').connected.has('c') && node('c').connected.has('a'), 'they are connected again')
        node('c').transport.send(heartbeat('c', 'a', 2))
        await fixture.until(() => node('a').received.length === 1, 'messages flow again')
      })
    })

    describe('faults', () => {
      test('a node that was restarted is reached again, and the others never noticed', async () => {
        await fixture.crash('b')
        await fixture.until(() => !node('a').connected.has('b') && !node('c').connected.has('b'), 'its death is known')
        await fixture.restart('b')
        await fixture.until(allConnected, 'everybody is connected again')
        node('a').transport.send(heartbeat('a', 'b', 1))
        node('b').transport.send(heartbeat('b', 'a', 2))
        await fixture.until(() => heartbeats('b', 'a') === 1 && heartbeats('a', 'b') === 1, 'messages flow both ways')
        expect(node('a').events).not.toContain('disconnected c')
        expect(node('c').events).not.toContain('disconnected a')
      })

      test('a partition is noticed, the rest goes on, and healing mends it', async () => {
        fixture.partition([['a'], ['b', 'c']])
        node('b').transport.send(heartbeat('b', 'c', 1))
        await fixture.until(() => heartbeats('c', 'b') === 1, 'the other side works')
        await fixture.until(() => !node('a').connected.has('b') && !node('b').connected.has('a'), 'both sides know')
        expect(node('b').connected.has('c')).toBe(true)
        expect((await fixture.during(refusal(node('a').transport.request('b', 'x', new Uint8Array(0), { timeoutMs: 500 })))).code).toBe('PEER_UNREACHABLE')
        fixture.heal()
        await fixture.until(allConnected, 'everybody is connected again')
        node('a').transport.send(heartbeat('a', 'b', 2))
        await fixture.until(() => heartbeats('b', 'a') === 1, 'messages flow again')
      })

      test('a node restarted behind a partition is adopted anew after it', async () => {
        fixture.partition([['a'], ['b', 'c']])
        await fixture.crash('b')
        await fixture.restart('b')
        fixture.heal()
        await fixture.until(() => node('b').connected.has('a') && node('a').connected.has('b'), 'they are connected')
        await fixture.until(() => {
          node('a').transport.send(heartbeat('a', 'b', 3))
          return heartbeats('b', 'a') > 0
        }, 'messages reach the new process')
      })

      test('messages for a node that cannot be reached do not pile up', async () => {
        fixture.partition([['a'], ['b', 'c']])
        const data = pattern(60_000)
        for (let round = 0; round < 100; round++) {
          for (let at = 0; at < 20; at++) node('a').transport.send(append('a', 'b', round * 20 + at + 1, data))
          await fixture.pass(1)
        }
        const queuedBytes = node('a').transport.peers().find((peer) => peer.nodeId === 'b')?.queuedBytes ?? 0
        expect(queuedBytes).toBeLessThan(48 * 1024 * 1024)
      })
    })

    describe('gossip', () => {
      test('reaches all others with its author, and a lonely node may publish too', async () => {
        const heard: string[] = []
        for (const each of fixture.nodes) each.gossip.subscribe('presence', (from, data) => heard.push(`${each.nodeId} heard ${textOf(data)} from ${from}`))
        await fixture.pass(1500)
        node('a').gossip.publish('presence', bytesOf('hello'))
        await fixture.until(() => heard.length >= 2, 'both heard it')
        await fixture.pass(300)
        expect(heard.toSorted()).toEqual(['b heard hello from a', 'c heard hello from a'])
        fixture.partition([['a'], ['b', 'c']])
        node('a').gossip.publish('presence', bytesOf('alone'))
        node('a').gossip.publish('nobody-listens', bytesOf('alone'))
        await fixture.pass(300)
      })

      test('goes on after a partition and after a restart', async () => {
        const heard: string[] = []
        const listen = (nodeId: string) => node(nodeId).gossip.subscribe('presence', (from, data) => heard.push(`${nodeId} ${from} ${textOf(data)}`))
        for (const each of ['a', 'b', 'c']) listen(each)
        fixture.partition([['a'], ['b', 'c']])
        await fixture.until(() => !node('a').connected.has('b') && !node('b').connected.has('a'), 'both sides know')
        fixture.heal()
        await fixture.crash('c')
        await fixture.restart('c')
        listen('c')
        await fixture.until(allConnected, 'everybody is connected again')
        let round = 0
        const wanted = ['a b', 'a c', 'b a', 'b c', 'c a', 'c b']
        await fixture.until(() => {
          round++
          for (const each of ['a', 'b', 'c']) node(each).gossip.publish('presence', bytesOf(`${round}`))
          return wanted.every((pair) => heard.some((line) => line.startsWith(pair)))
        }, 'everybody hears everybody')
      })

      test('of a node that was removed is not heard', async () => {
        const heard: string[] = []
        for (const each of fixture.nodes) each.gossip.subscribe('presence', (from) => heard.push(`${each.nodeId} ${from}`))
        await fixture.pass(1500)
        for (const each of ['a', 'b']) fixture.setMembers(each, ['a', 'b'])
        await fixture.pass(500)
        heard.length = 0
        node('c').gossip.publish('presence', bytesOf('still here'))
        node('a').gossip.publish('presence', bytesOf('me too'))
        await fixture.until(() => heard.includes('b a'), 'members hear members')
        expect(heard).toEqual(['b a'])
      })
    })

    describe('byte streams', () => {
      const never = new AbortController().signal
      const header = { purpose: 'echo', parameters: { vm: 'web' } }

      test('carry bytes both ways and end on their own in each direction', async () => {
        const data = pattern(3 * 1024 * 1024)
        let asked = ''
        node('b').streams.handle('echo', async (from, received, stream) => {
          asked = `${from} ${received.purpose} ${received.parameters['vm']}`
          const all = await readAll(stream.readable)
          await stream.write(all)
          await stream.end()
        })
        const stream = await fixture.during(node('a').streams.open('b', header, never))
        const echoed = readAll(stream.readable)
        const written = (async () => {
          for (let at = 0; at < data.length; at += 100_000) await stream.write(data.slice(at, at + 100_000))
          await stream.end()
        })()
        await fixture.during(written)
        expect(Buffer.compare(await fixture.during(echoed), data)).toBe(0)
        expect(asked).toBe('a echo web')
      })

      test('are refused with the code of the handler, or NOT_FOUND without one', async () => {
        node('b').streams.handle('console', async () => {
          throw new OperationalError('CONSOLE_BUSY', 'Somebody has it open.')
        })
        const open = (purpose: string, to = 'b') => fixture.during(refusal(node('a').streams.open(to, { purpose, parameters: {} }, never)))
        expect((await open('console')).code).toBe('CONSOLE_BUSY')
        expect((await open('unheard-of')).code).toBe('NOT_FOUND')
        expect((await open('echo', 'nobody')).code).toBe('PEER_UNREACHABLE')
      })

      test('make a writer wait for a reader that does not read', async () => {
        let release = () => {}
        const reading = new Promise<void>((resolve) => {
          release = resolve
        })
        node('b').streams.handle('slow', async (_from, _header, stream) => {
          await stream.write(bytesOf('ready'))
          await reading
          expect((await readAll(stream.readable)).length).toBe(64 * 1024 * 1024)
          await stream.write(bytesOf('done'))
        })
        const stream = await fixture.during(node('a').streams.open('b', { purpose: 'slow', parameters: {} }, never))
        const back = stream.readable[Symbol.asyncIterator]()
        await fixture.during(back.next())
        let written = 0
        const chunk = pattern(64 * 1024)
        const writing = (async () => {
          for (let count = 0; count < 1024; count++) {
            await stream.write(chunk)
            written += chunk.length
          }
          await stream.end()
        })()
        await fixture.pass(500)
        expect(written).toBeLessThan(16 * 1024 * 1024)
        release()
        await fixture.during(writing)
        const last = await fixture.during(back.next())
        expect(textOf(last.value ?? new Uint8Array(0))).toBe('done')
      })

      test('break on both sides when one aborts', async () => {
        let outcome = ''
        node('b').streams.handle('watch', async (_from, _header, stream) => {
          await stream.write(bytesOf('ready'))
          await readAll(stream.readable).then(() => { outcome = 'ended' }, () => { outcome = 'broken' })
        })
        const stream = await fixture.during(node('a').streams.open('b', { purpose: 'watch', parameters: {} }, never))
        await fixture.during(stream.readable[Symbol.asyncIterator]().next())
        stream.abort(new Error('enough'))
        await fixture.until(() => outcome !== '', 'the other side knows')
        expect(outcome).toBe('broken')
        await expect(stream.write(bytesOf('x'))).rejects.toThrow()
      })

      test('break when the peer dies, and in a partition', async () => {
        for (const to of ['b', 'c']) {
          node(to).streams.handle('watch', async (_from, _header, stream) => {
            await stream.write(bytesOf('ready'))
            await readAll(stream.readable)
          })
        }
        const open = (to: string) => fixture.during(node('a').streams.open(to, { purpose: 'watch', parameters: {} }, never))
        const outcomes: string[] = []
        for (const to of ['b', 'c']) {
          const stream = await open(to)
          void readAll(stream.readable).then(() => outcomes.push(`${to} ended`), () => outcomes.push(`${to} broke`))
        }
        await fixture.crash('b')
        await fixture.until(() => outcomes.length === 1, 'the first broke')
        fixture.partition([['a'], ['c']])
        await fixture.until(() => outcomes.length === 2, 'the second broke')
        expect(outcomes[1]).toBe('c broke')
      })
    })
  })
}
