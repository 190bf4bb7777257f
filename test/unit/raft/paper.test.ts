// The tables of the Raft paper: figure 2's rules, figures 7 and 8, §5.4.1 and §5.4.2.
import { describe, expect, test } from 'vitest'
import type { Message, Term } from '../../../src/raft/types.ts'
import { RaftNetwork } from './network.ts'
import { Rig, entriesOf } from './rig.ts'

const hard = (term: Term, commit = 0, vote: string | null = null): { term: Term; vote: string | null; commit: number } => ({ term, vote, commit })

describe('figure 2, all servers', () => {
  test.each(['append', 'heartbeat', 'vote', 'appendResponse', 'heartbeatResponse', 'voteResponse', 'timeoutNow'] as const)(
    'a higher term in %s makes a follower of everybody',
    (kind) => {
      for (const make of [(rig: Rig) => rig, (rig: Rig) => (rig.node.campaign(), rig.run()), (rig: Rig) => rig.becomeLeader()]) {
        const rig = make(new Rig({}, { checkQuorum: false, preVote: false }))
        rig.receive({ kind, term: 9 })
        expect(rig.node.status().term).toBeGreaterThanOrEqual(9)
        if (kind !== 'timeoutNow') expect(rig.node.status().role).toBe('follower')
      }
    },
  )

  test('commit moves, then entries are applied in order', () => {
    const rig = new Rig({ hardState: hard(1), entries: entriesOf([1, 1, 1]) })
    rig.receive({ kind: 'append', term: 1, prevIndex: 3, prevTerm: 1, commit: 2 })
    expect(rig.committed.map((entry) => entry.index)).toEqual([1, 2])
  })
})

describe('figure 2, RequestVote', () => {
  test.each([
    { name: 'an older term is refused', own: hard(3), term: 2, last: [9, 9], granted: false, answerTerm: 3 },
    { name: 'a free vote is given', own: hard(2), term: 2, last: [2, 2], granted: true, answerTerm: 2 },
    { name: 'the same candidate gets it again', own: hard(2, 0, 'b'), term: 2, last: [2, 2], granted: true, answerTerm: 2 },
    { name: 'another candidate does not', own: hard(2, 0, 'c'), term: 2, last: [9, 9], granted: false, answerTerm: 2 },
    { name: 'a new term frees the vote', own: hard(2, 0, 'c'), term: 3, last: [2, 2], granted: true, answerTerm: 3 },
    { name: 'but not for a less complete log', own: hard(2), term: 3, last: [1, 2], granted: false, answerTerm: 3 },
  ])('$name', ({ own, term, last, granted, answerTerm }) => {
    const rig = new Rig({ hardState: own, entries: entriesOf([1, 2]) })
    rig.receive({ kind: 'vote', term, lastIndex: last[0] as number, lastTerm: last[1] as number })
    expect(rig.take('voteResponse')).toMatchObject([{ to: 'b', term: answerTerm, reject: !granted }])
    expect(rig.node.status().vote).toBe(granted ? 'b' : term > own.term ? null : own.vote)
  })
})

describe('figure 2, AppendEntries', () => {
  test.each([
    { name: 'an older term is answered with ours', term: 1, prev: [2, 2], terms: [], reject: false, index: 0, log: [1, 2] },
    { name: 'no entry at prevIndex', term: 2, prev: [3, 3], terms: [2], reject: true, index: 3, log: [1, 2] },
    { name: 'another term at prevIndex', term: 3, prev: [2, 3], terms: [3], reject: true, index: 2, log: [1, 2] },
    { name: 'a conflict is cut off', term: 3, prev: [1, 1], terms: [3, 3], reject: false, index: 3, log: [1, 3, 3] },
    { name: 'what is there already stays', term: 3, prev: [0, 0], terms: [1], reject: false, index: 1, log: [1, 2] },
    { name: 'new entries are appended', term: 3, prev: [2, 2], terms: [3], reject: false, index: 3, log: [1, 2, 3] },
  ])('$name', ({ term, prev, terms, reject, index, log }) => {
    const rig = new Rig({ hardState: hard(2), entries: entriesOf([1, 2]) })
    const [prevIndex = 0, prevTerm = 0] = prev
    rig.receive({ kind: 'append', term, prevIndex, prevTerm, entries: entriesOf(terms, prevIndex + 1) })
    expect(rig.take('appendResponse')).toMatchObject([{ term: Math.max(term, 2), reject, index }])
    expect(rig.node.status().lastIndex).toBe(log.length)
  })
})

describe('figure 7', () => {
  const leaderLog = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6]
  test.each([
    ['a', [1, 1, 1, 4, 4, 5, 5, 6, 6]],
    ['b', [1, 1, 1, 4]],
    ['c', [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6]],
    ['d', [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7]],
    ['e', [1, 1, 1, 4, 4, 4, 4]],
    ['f', [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]],
  ])('follower (%s) ends with the log of the leader of term 8', (_name, terms) => {
    const leader = new Rig({ hardState: hard(7, 0), entries: entriesOf(leaderLog), voters: ['a', 'b', 'c'] }, { messageBytesMax: 1 })
    const follower = new Rig({ hardState: hard(7, 0), entries: entriesOf(terms), voters: ['a', 'b', 'c'] }, { id: 'b' })
    leader.node.campaign()
    leader.run()
    for (const kind of ['preVoteResponse', 'voteResponse'] as const) leader.receive({ kind, from: 'c', term: 8 })
    expect(leader.node.status()).toMatchObject({ role: 'leader', term: 8, lastIndex: 11 })
    let rounds = 0
    for (let isBusy = true; isBusy; rounds += 1) {
      const toFollower = leader.take().filter((message) => message.to === 'b')
      for (const message of toFollower) follower.node.step(message)
      const toLeader = follower.run().take().filter((message) => message.to === 'a')
      for (const message of toLeader) leader.node.step(message)
      leader.run()
      isBusy = toFollower.length + toLeader.length > 0
    }
    expect(follower.node.status()).toMatchObject({ lastIndex: 11, leader: 'a', term: 8, commit: 11 })
    expect(follower.committed.map((entry) => entry.term)).toEqual([...leaderLog, 8])
    // Whole terms are skipped, so even (f) is found after a few probes, with one entry per message.
    expect(rounds).toBeLessThan(20)
  })
})

/** Elects `id`; of its appends only what is older than its new term arrives, otherwise their head: it learns how far the others are. */
function electMuffled(network: RaftNetwork, id: string): void {
  const isOfNewTerm = (message: Message): boolean =>
    message.kind === 'append' && message.from === id && message.entries.some((entry) => entry.term === message.term)
  for (let round = 0; round < 4 && network.leader()?.id !== id; round += 1) {
    network.node(id).campaign()
    network.settleReadys()
    for (let steps = 0; network.inFlight.length > 0 && steps < 500; steps += 1) {
      const [next] = network.inFlight.splice(0, 1)
      if (next?.kind === 'append' && isOfNewTerm(next)) network.receive({ ...next, entries: [] })
      else if (next !== undefined) network.receive(next)
      network.settleReadys()
    }
  }
  expect(network.leader()?.id).toBe(id)
}

describe('figure 8, §5.4.2', () => {
  test('statement 13: only entries of the current term are committed by counting', () => {
    // (c): S1 leads term 4 and has brought index 2 of term 2 to a majority, but nothing of term 4.
    const rig = new Rig({ hardState: hard(3), entries: entriesOf([1, 2]), voters: ['a', 'b', 'c', 'd', 'e'] }).becomeLeader()
    expect(rig.node.status()).toMatchObject({ term: 4, lastIndex: 3 })
    for (const from of ['b', 'c', 'd', 'e']) rig.receive({ kind: 'appendResponse', from, index: 2 })
    expect(rig.node.status().commit).toBe(0)
    // (e): once an entry of term 4 is on a majority, everything before it is committed with it.
    rig.receive({ kind: 'appendResponse', from: 'b', index: 3 })
    expect(rig.node.status().commit).toBe(0)
    rig.receive({ kind: 'appendResponse', from: 'c', index: 3 })
    expect(rig.node.status().commit).toBe(3)
  })

  test('(a)-(d): an entry of term 2 on a majority may still be overwritten, and nobody applied it', () => {
    const network = new RaftNetwork({ ids: ['a', 'b', 'c', 'd', 'e'], seed: 8, node: { preVote: false, checkQuorum: false, messageBytesMax: 1 } })
    const only = (...ids: string[]): void => {
      network.isolated.clear()
      for (const id of network.members.keys()) if (!ids.includes(id)) network.isolated.add(id)
    }
    network.elect('a')
    only('a', 'b')
    network.propose('a', 'two')
    network.settle()
    network.crash('a')
    only('c', 'd', 'e')
    electMuffled(network, 'e')
    only('e')
    network.propose('e', 'three')
    network.settle()
    network.crash('e')
    network.restart('a')
    only('a', 'b', 'c')
    // S1 leads again; its entry "two" reaches S3, the entry of its new term nobody.
    electMuffled(network, 'a')
    const holders = ['a', 'b', 'c'].filter((id) => network.member(id).disk.entries.some((entry) => new TextDecoder().decode(entry.data) === 'two'))
    expect(holders).toEqual(['a', 'b', 'c'])
    network.crash('a')
    network.restart('e')
    only('b', 'c', 'd', 'e')
    for (let round = 0; round < 8 && network.leader()?.id !== 'e'; round += 1) network.elect('e')
    network.settle()
    expect(network.leader()?.id).toBe('e')
    const applied = network.applied('c').join()
    expect(applied).toContain('three')
    expect(applied).not.toContain('two')
  })
})

describe('§5.4.1', () => {
  test('statement 4: a candidate that lacks a committed entry cannot win', () => {
    const network = new RaftNetwork({ ids: ['a', 'b', 'c'], seed: 1 })
    network.elect('a')
    network.isolated.add('c')
    network.propose('a', 'committed without c')
    network.settle()
    network.crash('a')
    network.isolated.clear()
    for (let round = 0; round < 3; round += 1) {
      network.node('b').forgetLeader()
      network.elect('c')
      expect(network.node('c').status().role).not.toBe('leader')
    }
    network.node('c').forgetLeader()
    network.elect('b')
    expect(network.node('b').status().role).toBe('leader')
    expect(network.applied('c').join()).toContain('committed without c')
  })
})
