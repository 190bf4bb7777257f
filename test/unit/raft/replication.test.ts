// Replication: probing, streaming, flow control, commit at followers, bounds; statements 12-19.
import { describe, expect, test } from 'vitest'
import { RaftAssertion } from '../../../src/raft/assertion.ts'
import type { Message } from '../../../src/raft/types.ts'
import { RaftNetwork } from './network.ts'
import { Rig, entriesOf } from './rig.ts'

const data = (bytes: number): Uint8Array => new Uint8Array(bytes)
const toB = (messages: readonly Message[]): Message[] => messages.filter((message) => message.to === 'b')
const appendsToB = (rig: Rig): Extract<Message, { kind: 'append' }>[] => rig.take('append').filter((message) => message.to === 'b')

describe('followers', () => {
  test.each([
    { name: 'what the message verified', prev: 1, terms: [1], commit: 9, expected: 2 },
    { name: 'the leader’s commit', prev: 1, terms: [1, 1], commit: 2, expected: 2 },
    { name: 'not the unverified rest of the own log', prev: 1, terms: [], commit: 3, expected: 1 },
  ])('statement 15: follower commit = min(leaderCommit, last verified index): $name', ({ prev, terms, commit, expected }) => {
    const rig = new Rig({ hardState: { term: 1, vote: null, commit: 0 }, entries: entriesOf([1, 1, 1]) })
    rig.receive({ kind: 'append', term: 2, prevIndex: prev, prevTerm: 1, entries: entriesOf(terms, prev + 1), commit })
    expect(rig.node.status().commit).toBe(expected)
  })

  test('statement 15: a heartbeat carries no more than what the follower acknowledged', () => {
    const rig = new Rig().becomeLeader()
    rig.receive({ kind: 'appendResponse', from: 'c', index: 1 })
    rig.take()
    rig.tick()
    expect(rig.take('heartbeat')).toMatchObject([{ to: 'b', commit: 0 }, { to: 'c', commit: 1 }])
  })

  test('statement 14: a late, shorter append neither shortens the log nor moves the commit back', () => {
    const rig = new Rig()
    rig.receive({ kind: 'append', term: 1, prevIndex: 0, prevTerm: 0, entries: entriesOf([1, 1, 1]), commit: 1 })
    rig.take()
    rig.receive({ kind: 'append', term: 1, prevIndex: 1, prevTerm: 1, entries: entriesOf([1], 2), commit: 0 })
    expect(rig.node.status()).toMatchObject({ lastIndex: 3, commit: 1 })
    expect(rig.take('appendResponse')).toMatchObject([{ index: 2, reject: false }])
    rig.receive({ kind: 'append', term: 1, prevIndex: 0, prevTerm: 0, entries: entriesOf([1]), commit: 0 })
    expect(rig.take('appendResponse')).toMatchObject([{ index: 1, reject: false }])
  })

  test('statement 43: a heartbeat that speaks of entries we lost crashes nobody and commits nothing', () => {
    const rig = new Rig()
    rig.receive({ kind: 'heartbeat', term: 1, commit: 10 })
    expect(rig.node.status().commit).toBe(0)
  })

  test('an entry that contradicts a committed one stops the node', () => {
    const rig = new Rig({ hardState: { term: 1, vote: null, commit: 2 }, entries: entriesOf([1, 1]), applied: 2 })
    expect(() => rig.receive({ kind: 'append', term: 2, prevIndex: 2, prevTerm: 1, entries: entriesOf([2], 2) })).toThrow(RaftAssertion)
  })

  test('two leaders in one term stop the node', () => {
    const rig = new Rig()
    rig.receive({ kind: 'heartbeat', from: 'b', term: 1 })
    expect(() => rig.receive({ kind: 'heartbeat', from: 'c', term: 1 })).toThrow(RaftAssertion)
  })

  test('statement 19: a restart during the paging of committed entries skips none', () => {
    const entries = entriesOf([1, 1, 1, 1, 1])
    const before = new Rig({ hardState: { term: 1, vote: null, commit: 5 }, entries }, { committedBytesMax: 1 })
    const first = before.node.ready()
    expect(first.committed.map((entry) => entry.index)).toEqual([1])
    before.node.advance()
    expect(before.node.ready().committed.map((entry) => entry.index)).toEqual([2])
    const after = new Rig({ hardState: { term: 1, vote: null, commit: 5 }, entries, applied: 1 }, { committedBytesMax: 1 }).run()
    expect(after.committed.map((entry) => entry.index)).toEqual([2, 3, 4, 5])
  })

  test('the state may be durable further than the hard state’s commit', () => {
    const rig = new Rig({ hardState: { term: 1, vote: null, commit: 1 }, entries: entriesOf([1, 1, 1]), applied: 3 }).run()
    expect(rig.node.status()).toMatchObject({ commit: 3, applied: 3 })
    expect(rig.committed).toEqual([])
  })

  test('a log that ends before its commit is not believed', () => {
    expect(() => new Rig({ hardState: { term: 1, vote: null, commit: 3 }, entries: entriesOf([1]) })).toThrow(RaftAssertion)
  })
})

describe('leaders', () => {
  test('proposals made before a Ready share one append, also to the disk', () => {
    const rig = new Rig().becomeLeader().acknowledgeAll()
    rig.take()
    for (let count = 0; count < 5; count += 1) rig.node.propose(data(1))
    const ready = rig.node.ready()
    expect(ready.entries).toHaveLength(5)
    expect(toB(ready.messages)).toMatchObject([{ kind: 'append', prevIndex: 1 }])
    expect(ready.messagesAfterSync).toMatchObject([{ to: 'a', index: 6 }])
  })

  test('statement 18: the beginning of the log is named only as such; compacted entries become a snapshot', () => {
    const rig = new Rig().becomeLeader()
    expect(appendsToB(rig)).toMatchObject([{ prevIndex: 0, prevTerm: 0 }])
    rig.acknowledgeAll(['c'])
    rig.node.compact(1)
    rig.receive({ kind: 'appendResponse', from: 'b', reject: true, index: 0 })
    expect(rig.take().map((message) => message.kind)).toContain('snapshot')
  })

  test('probing: one append at a time, and a heartbeat’s answer allows the next', () => {
    const rig = new Rig().becomeLeader()
    rig.take()
    rig.node.propose(data(1))
    rig.run()
    expect(appendsToB(rig)).toEqual([])
    rig.receive({ kind: 'heartbeatResponse' })
    expect(appendsToB(rig)).toMatchObject([{ prevIndex: 0 }])
    rig.receive({ kind: 'appendResponse', index: 1 })
    expect(appendsToB(rig)).toMatchObject([{ prevIndex: 1, entries: [{ index: 2 }] }])
    expect(rig.node.status().progress['b']?.state).toBe('replicate')
  })

  test('flow control: the window bounds appends in flight, by count', () => {
    const rig = new Rig({}, { inflightMessagesMax: 3, messageBytesMax: 1 }).becomeLeader().acknowledgeAll()
    rig.take()
    for (let count = 0; count < 10; count += 1) rig.node.propose(data(1))
    rig.run()
    expect(appendsToB(rig).map((append) => append.prevIndex)).toEqual([1, 2, 3])
    rig.receive({ kind: 'appendResponse', index: 3 })
    expect(appendsToB(rig).map((append) => append.prevIndex)).toEqual([4, 5])
    expect(rig.node.status().progress['b']).toMatchObject({ inflight: 3, match: 3, next: 7 })
    // Lost answers: a sign of life draws one empty append although the window is full.
    rig.receive({ kind: 'heartbeatResponse' })
    expect(appendsToB(rig)).toMatchObject([{ prevIndex: 6, entries: [] }])
    rig.receive({ kind: 'appendResponse', index: 6 })
    expect(appendsToB(rig)).toHaveLength(3)
  })

  test('flow control: the window bounds appends in flight, by bytes', () => {
    const rig = new Rig({}, { inflightBytesMax: 100, messageBytesMax: 1 }).becomeLeader().acknowledgeAll()
    rig.take()
    for (let count = 0; count < 10; count += 1) rig.node.propose(data(40))
    rig.run()
    expect(appendsToB(rig)).toHaveLength(2)
  })

  test('a lost append is noticed by the next one, and probed for', () => {
    const rig = new Rig().becomeLeader().acknowledgeAll()
    rig.node.propose(data(1))
    rig.run()
    rig.take()
    rig.receive({ kind: 'heartbeatResponse' })
    expect(appendsToB(rig)).toMatchObject([{ prevIndex: 2, entries: [] }])
    rig.receive({ kind: 'appendResponse', reject: true, index: 2, hintIndex: 1, hintTerm: 1 })
    expect(appendsToB(rig)).toMatchObject([{ prevIndex: 1, entries: [{ index: 2 }] }])
  })

  test('a stale rejection is ignored', () => {
    const rig = new Rig().becomeLeader().acknowledgeAll()
    rig.take()
    rig.receive({ kind: 'appendResponse', reject: true, index: 1, hintIndex: 0 })
    expect(rig.node.status().progress['b']).toMatchObject({ state: 'replicate', match: 1 })
    expect(appendsToB(rig)).toEqual([])
  })

  test('an unreachable peer is probed', () => {
    const rig = new Rig().becomeLeader().acknowledgeAll()
    rig.node.reportUnreachable('b')
    expect(rig.node.status().progress['b']).toMatchObject({ state: 'probe', next: 2 })
  })

  test('statement 16: an acknowledgement of an earlier term is ignored', () => {
    const rig = new Rig({ hardState: { term: 3, vote: null, commit: 0 }, entries: entriesOf([1]) }).becomeLeader()
    for (const from of ['b', 'c']) rig.receive({ kind: 'appendResponse', from, term: 3, index: 2 })
    expect(rig.node.status()).toMatchObject({ commit: 0, progress: { b: { match: 0 } } })
  })

  test('statement 17: a leader without a majority refuses proposals beyond its bound, and recovers', () => {
    const rig = new Rig({}, { uncommittedBytesMax: 100 }).becomeLeader().acknowledgeAll()
    expect(rig.node.propose(data(80)).kind).toBe('appended')
    expect(rig.node.propose(data(30))).toEqual({ kind: 'refused', reason: 'uncommittedBytesMax' })
    expect(rig.node.propose(data(0)).kind).toBe('appended')
    rig.run().acknowledgeAll()
    expect(rig.node.propose(data(30)).kind).toBe('appended')
  })

  test('a proposal is refused where it cannot be appended', () => {
    const rig = new Rig({}, { entryBytesMax: 10 })
    expect(rig.node.propose(data(1))).toEqual({ kind: 'notLeader', leader: null })
    rig.becomeLeader()
    expect(rig.node.propose(data(11))).toEqual({ kind: 'refused', reason: 'tooLarge' })
    expect(rig.node.propose(data(10))).toEqual({ kind: 'appended', index: 2, term: 1 })
  })

  test('commit reaches idle followers without waiting for a heartbeat', () => {
    const network = new RaftNetwork({ ids: ['a', 'b', 'c'], seed: 1 })
    network.elect('a')
    network.propose('a', 'x')
    network.settle()
    for (const id of ['a', 'b', 'c']) expect(network.applied(id).join()).toContain('x')
  })

  test('statement 12: heartbeats that could not leave during a long sync leave once, not by the hundred', () => {
    const rig = new Rig({}, { checkQuorum: false }).becomeLeader().acknowledgeAll()
    rig.node.propose(data(1))
    rig.node.ready()
    for (let tick = 0; tick < 100; tick += 1) rig.node.tick()
    rig.node.advance()
    expect(rig.node.ready().messages.filter((message) => message.kind === 'heartbeat')).toHaveLength(2)
  })
})

describe('Ready', () => {
  test('only one is outstanding', () => {
    const { node } = new Rig({ voters: ['a'] })
    node.campaign()
    node.ready()
    expect(node.hasReady()).toBe(false)
    expect(() => node.ready()).toThrow(RaftAssertion)
    node.advance()
    expect(() => {
      node.advance()
    }).toThrow(RaftAssertion)
  })

  test('a commit alone needs no sync, and nothing is left when nothing happened', () => {
    const rig = new Rig().becomeLeader()
    rig.run()
    expect(rig.node.hasReady()).toBe(false)
    rig.node.step({ kind: 'appendResponse', from: 'b', to: 'a', term: 1, index: 1, reject: false, hintIndex: 0, hintTerm: 0 })
    expect(rig.node.hasReady()).toBe(true)
    const ready = rig.node.ready()
    expect(ready).toMatchObject({ hardState: { term: 1, vote: 'a', commit: 1 }, mustSync: false, committed: [{ index: 1 }] })
  })

  test('soft state is told when it changes', () => {
    const { node } = new Rig({ voters: ['a'] })
    node.campaign()
    expect(node.ready().softState).toEqual({ role: 'candidate', leader: null })
  })
})
