// Lease reads: statement 24, and what a promise binds a member to.
import { describe, expect, test } from 'vitest'
import type { Message } from '../../../src/raft/types.ts'
import { RaftNetwork, seededRandom } from './network.ts'
import { Rig } from './rig.ts'

const durationMs = 800

/** A leader whose clock the test moves; its heartbeats are answered with or without a promise. */
class LeaseRig extends Rig {
  nowMs = 0

  constructor(options: { readonly lease?: boolean } = {}) {
    const clock = { read: () => 0 }
    const lease = options.lease === false ? null : { durationMs, monotonicMs: () => clock.read() }
    super({}, { lease })
    clock.read = () => this.nowMs
    this.becomeLeader().acknowledgeAll()
  }

  /** A round of heartbeats leaves; `from` answer it. */
  beat(from: readonly string[], promise = true): this {
    this.tick()
    const [heartbeat] = this.take('heartbeat')
    for (const peer of from) this.receive({ kind: 'heartbeatResponse', from: peer, context: heartbeat?.context ?? '', promise })
    this.take()
    return this
  }

  /** Is a read answered without asking anybody? */
  readsAtOnce(): boolean {
    this.reads = []
    this.node.readIndex('r')
    this.run()
    const isAnswered = this.reads.length > 0
    this.node.step({ kind: 'heartbeatResponse', from: 'b', to: 'a', term: 1, context: this.take('heartbeat')[0]?.context ?? '', promise: false })
    this.run().take()
    return isAnswered
  }
}

describe('statement 24: lease reads', () => {
  test('statement 24: are off by default: every read takes a round', () => {
    const rig = new LeaseRig({ lease: false }).beat(['b', 'c'])
    expect(rig.readsAtOnce()).toBe(false)
    expect(rig.reads).toEqual([{ context: 'r', index: 1 }])
  })

  test('statement 24: a quorum’s promise answers reads at once, at the commit index', () => {
    const rig = new LeaseRig()
    expect(rig.readsAtOnce()).toBe(false)
    rig.beat(['b'])
    expect(rig.readsAtOnce()).toBe(true)
    expect(rig.reads).toEqual([{ context: 'r', index: 1 }])
  })

  test('statement 24: a member whose own time-out is too short for the leader’s lease promises nothing', () => {
    const follower = (ownMs: number) => {
      const rig = new Rig({}, { lease: { durationMs: ownMs, monotonicMs: () => 0 } })
      rig.receive({ kind: 'heartbeat', from: 'b', term: 1, leaseMs: durationMs })
      return rig.take('heartbeatResponse')
    }
    expect(follower(durationMs)).toMatchObject([{ promise: true }])
    expect(follower(durationMs - 1)).toMatchObject([{ promise: false }])
    expect(new LeaseRig().tick().take('heartbeat')).toMatchObject([{ leaseMs: durationMs }, { leaseMs: durationMs }])
  })

  test('statement 24: an answer without a promise, from a member without the flag, backs no lease', () => {
    expect(new LeaseRig().beat(['b', 'c'], false).readsAtOnce()).toBe(false)
  })

  test('statement 24: the lease counts from when the heartbeat was sent, not from its answer', () => {
    const rig = new LeaseRig()
    rig.tick()
    const [heartbeat] = rig.take('heartbeat')
    rig.nowMs = durationMs - 1
    rig.receive({ kind: 'heartbeatResponse', context: heartbeat?.context ?? '', promise: true })
    expect(rig.readsAtOnce()).toBe(true)
    rig.nowMs = durationMs
    expect(rig.readsAtOnce()).toBe(false)
  })

  test('statement 24: a process that was stopped gives no stale read, though no tick passed for it', () => {
    const rig = new LeaseRig().beat(['b', 'c'])
    // Meanwhile the others elected somebody else and wrote; no tick and no message came in between.
    rig.nowMs += 10_000
    rig.node.readIndex('late')
    rig.run()
    expect(rig.reads).toEqual([])
    rig.receive({ kind: 'append', from: 'c', term: 2, prevIndex: 1, prevTerm: 1 })
    expect(rig.reads).toEqual([{ context: 'late', index: null }])
  })

  test('statement 24: is off during a transfer, and for the rest of the term once the word was given', () => {
    const rig = new LeaseRig().beat(['b', 'c'])
    rig.node.transferLeadership('b')
    rig.run().take()
    expect(rig.readsAtOnce()).toBe(false)
    rig.tick(10).beat(['b', 'c'])
    expect(rig.node.status().transferee).toBeNull()
    expect(rig.readsAtOnce()).toBe(false)
  })

  test('statement 24: a leader reads by lease only once an entry of its own term is committed', () => {
    let nowMs = 0
    const rig = new Rig({}, { lease: { durationMs, monotonicMs: () => nowMs } }).becomeLeader().tick()
    nowMs += 1
    const [heartbeat] = rig.take('heartbeat')
    rig.receive({ kind: 'heartbeatResponse', context: heartbeat?.context ?? '', promise: true })
    rig.node.readIndex('r')
    expect(rig.run().reads).toEqual([])
    expect(rig.acknowledgeAll(['b']).reads).toEqual([{ context: 'r', index: 1 }])
  })
})

describe('a promise', () => {
  const lease = { durationMs, monotonicMs: () => 0 }
  const ask = (term: number, transfer = false): Partial<Message> & { kind: 'vote' } => ({ kind: 'vote', from: 'c', term, lastIndex: 9, lastTerm: 9, transfer })
  const follower = (options: Partial<ConstructorParameters<typeof Rig>[1]> = { lease }): Rig =>
    new Rig({ hardState: { term: 1, vote: null, commit: 0 }, entries: [] }, options).tick(10)

  test('binds for one election time-out, also when a higher term comes by', () => {
    const rig = follower()
    rig.receive({ kind: 'heartbeat', term: 1 })
    expect(rig.take('heartbeatResponse')).toMatchObject([{ promise: true }])
    rig.receive({ kind: 'appendResponse', from: 'c', term: 5 })
    expect(rig.node.status()).toMatchObject({ term: 5, leader: null })
    expect(rig.tick(9).receive(ask(5)).take('voteResponse')).toEqual([])
    expect(rig.tick(1).receive(ask(5)).take('voteResponse')).toMatchObject([{ reject: false }])
  })

  test('binds after a restart, and lets the leader’s own successor pass', () => {
    const rig = new Rig({ hardState: { term: 1, vote: null, commit: 0 } }, { lease })
    expect(rig.receive(ask(2)).take('voteResponse')).toEqual([])
    expect(rig.receive(ask(2, true)).take('voteResponse')).toMatchObject([{ reject: false }])
    expect(new Rig({ hardState: { term: 1, vote: null, commit: 0 } }).receive(ask(2)).take('voteResponse')).toMatchObject([{ reject: false }])
  })

  test('keeps its giver from campaigning by hand and from forgetting the leader', () => {
    const rig = follower()
    rig.receive({ kind: 'heartbeat', term: 1 })
    rig.node.campaign()
    rig.node.forgetLeader()
    rig.receive({ kind: 'forget' })
    expect(rig.node.status()).toMatchObject({ role: 'follower', term: 1, leader: 'b' })
    expect(rig.receive({ kind: 'timeoutNow' }).node.status()).toMatchObject({ role: 'candidate' })
  })

  test('binds nobody who votes alone', () => {
    const rig = new Rig({ hardState: { term: 1, vote: 'a', commit: 0 }, voters: ['a'] }, { lease })
    rig.node.campaign()
    expect(rig.run().node.status()).toMatchObject({ role: 'leader', term: 2 })
  })

  test('is not given without the flag, and the flag needs check-quorum', () => {
    const rig = follower({})
    expect(rig.receive({ kind: 'heartbeat', term: 1 }).take('heartbeatResponse')).toMatchObject([{ promise: false }])
    expect(() => new Rig({}, { lease, checkQuorum: false })).toThrow('checkQuorum')
  })
})

describe('statement 24: a leader cut off and stopped with its lease', () => {
  const ways = ['timeout', 'campaign', 'restart', 'forget'] as const

  test.each(ways)('statement 24: reads nothing stale, when the others come to a new one by %s', (way) => {
    const network = cutOff(way, durationMs / 100)
    expect(network.leader()?.id).not.toBe('a')
    expect(network.readsAnswered).toBeGreaterThan(2)
  })

  test('statement 24: a lease that outlives the promise is found out', () => {
    expect(() => cutOff('timeout', 60)).toThrow('stale read')
  })
})

/** One tick a millisecond. The network throws when a read is answered below what was committed anywhere when it was asked for. */
function cutOff(way: 'timeout' | 'campaign' | 'restart' | 'forget', leaseMs: number): RaftNetwork {
  let nowMs = 0
  const network = new RaftNetwork({ ids: ['a', 'b', 'c'], seed: 7, node: { lease: { durationMs: leaseMs, monotonicMs: () => nowMs } } })
  network.elect('a')
  network.propose('a', 'x')
  network.tickAll()
  network.isolated.add('a')
  if (way === 'restart') {
    network.crash('c')
    network.restart('c')
  }
  for (; nowMs < 60; nowMs += 1) {
    if (way === 'campaign') network.node('b').campaign()
    if (way === 'forget') network.node('c').forgetLeader()
    for (const id of ['b', 'c']) {
      network.tick(id)
      network.settle()
      network.propose(id, 'y')
      network.settle()
    }
    network.read('a', String(nowMs))
    network.settle()
  }
  return network
}

/** Leaders are stopped and cut off with their lease all the time, while followers restart, forget, campaign and hand over. Returns how many reads were answered. */
function hunt(seed: number, leaseMs: number): number {
  let nowMs = 0
  const random = seededRandom(seed)
  const ids = ['a', 'b', 'c']
  const network = new RaftNetwork({ ids, seed, node: { preVote: random(2) === 0, lease: { durationMs: leaseMs, monotonicMs: () => nowMs } } })
  let stopped: { readonly id: string; readonly untilMs: number } | null = null
  const act = (id: string): void => {
    const node = network.node(id)
    switch (random(8)) {
      case 0:
        network.crash(id)
        return network.restart(id)
      case 1: return node.forgetLeader()
      case 2: return node.campaign()
      case 3: return node.transferLeadership(ids[random(3)] ?? 'a')
      default: return
    }
  }
  for (; nowMs < 400; nowMs += 1) {
    if (stopped !== null && nowMs >= stopped.untilMs) {
      network.isolated.clear()
      stopped = null
    }
    const leader = network.leader()
    if (stopped === null && leader !== null && random(20) === 0) {
      stopped = { id: leader.id, untilMs: nowMs + 5 + random(40) }
      network.isolated.add(leader.id)
    }
    for (const id of ids) if (id !== stopped?.id) network.tick(id)
    const id = ids[random(3)] ?? 'a'
    if (id !== stopped?.id && random(3) === 0) act(id)
    network.settle()
    for (const each of ids) if (each !== stopped?.id) network.propose(each, String(nowMs))
    network.settle()
    // The stopped leader is asked too: its process just came back for long enough to answer.
    for (const each of ids) network.read(each, `${each} ${nowMs}`)
    network.settle()
  }
  return network.readsAnswered
}

describe('statement 24: leaders that are stopped and cut off at random', () => {
  test('statement 24: read nothing stale', () => {
    let answered = 0
    for (let seed = 1; seed <= 60; seed += 1) answered += hunt(seed, 8)
    expect(answered).toBeGreaterThan(60 * 400)
  }, 60_000)

  test('statement 24: are found out where the lease outlives the promise', () => {
    expect(() => Array.from({ length: 20 }, (_, seed) => hunt(seed, 25))).toThrow('stale read')
  }, 60_000)
})
