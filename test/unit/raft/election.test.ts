// Elections: who campaigns, who votes, who stays; statements 1-10, 17's neighbours, 31-33.
import { describe, expect, test } from 'vitest'
import type { ElectionPriority } from '../../../src/raft/types.ts'
import { RaftNetwork } from './network.ts'
import { Rig, configEntry, configurationOf, entriesOf } from './rig.ts'

const abc = ['a', 'b', 'c']

describe('durability before words', () => {
  test('statement 1: a vote leaves only after term and vote are handed out for the disk', () => {
    const { node } = new Rig()
    node.step({ kind: 'vote', from: 'b', to: 'a', term: 3, lastIndex: 0, lastTerm: 0, transfer: false })
    const ready = node.ready()
    expect(ready.messages).toEqual([])
    expect(ready.hardState).toEqual({ term: 3, vote: 'b', commit: 0 })
    expect(ready.mustSync).toBe(true)
    expect(ready.messagesAfterSync).toMatchObject([{ kind: 'voteResponse', to: 'b', term: 3, reject: false }])
  })

  test('statement 1: an append is acknowledged only after its entries are handed out for the disk', () => {
    const { node } = new Rig()
    node.step({ kind: 'append', from: 'b', to: 'a', term: 1, prevIndex: 0, prevTerm: 0, entries: entriesOf([1]), commit: 0 })
    const ready = node.ready()
    expect(ready.messages).toEqual([])
    expect(ready.entries).toHaveLength(1)
    expect(ready.messagesAfterSync).toMatchObject([{ kind: 'appendResponse', index: 1, reject: false }])
  })

  test('statement 2: a single node leads and commits only after its own vote and entry came back from the disk', () => {
    const { node } = new Rig({ voters: ['a'] })
    node.campaign()
    expect(node.status().role).toBe('candidate')
    const vote = node.ready()
    expect(node.status().role).toBe('candidate')
    for (const message of vote.messagesAfterSync) node.step(message)
    node.advance()
    expect(node.status()).toMatchObject({ role: 'leader', commit: 0 })
    const entry = node.ready()
    expect(entry.entries).toHaveLength(1)
    expect(node.status().commit).toBe(0)
    for (const message of entry.messagesAfterSync) node.step(message)
    node.advance()
    expect(node.status().commit).toBe(1)
  })

  test('statement 2: a leader does not count its own unsynced entry', () => {
    const rig = new Rig().becomeLeader().acknowledgeAll()
    rig.node.propose(new Uint8Array([1]))
    const ready = rig.node.ready()
    rig.node.step({ kind: 'appendResponse', from: 'b', to: 'a', term: 1, index: 2, reject: false, hintIndex: 0, hintTerm: 0 })
    expect(rig.node.status().commit).toBe(1)
    for (const message of ready.messagesAfterSync) rig.node.step(message)
    expect(rig.node.status().commit).toBe(2)
  })

  test('statement 3: requests for votes wait for the disk too, or one term could be won twice', () => {
    const { node } = new Rig({}, { preVote: false })
    node.campaign()
    const ready = node.ready()
    expect(ready.messages).toEqual([])
    expect(ready.messagesAfterSync.map((message) => [message.kind, message.to])).toEqual([
      ['voteResponse', 'a'], ['vote', 'b'], ['vote', 'c'],
    ])
  })
})

describe('votes', () => {
  test('statement 3: after a crash between write and reply the vote is still given', () => {
    const rig = new Rig({ hardState: { term: 4, vote: 'c', commit: 0 } })
    rig.receive({ kind: 'vote', from: 'b', term: 4 })
    expect(rig.take('voteResponse')).toMatchObject([{ reject: true }])
    rig.receive({ kind: 'vote', from: 'c', term: 4 })
    expect(rig.take('voteResponse')).toMatchObject([{ to: 'c', reject: false }])
  })

  test('statement 3: a pre-vote changes neither term nor vote, on both sides', () => {
    const rig = new Rig({ hardState: { term: 4, vote: 'c', commit: 0 } })
    rig.receive({ kind: 'preVote', term: 5 })
    expect(rig.take('preVoteResponse')).toMatchObject([{ term: 5, reject: false }])
    rig.node.campaign()
    rig.run()
    expect(rig.node.status()).toMatchObject({ term: 4, vote: 'c', role: 'preCandidate' })
    expect(rig.take('preVote')).toMatchObject([{ term: 5 }, { term: 5 }])
  })

  test('statement 3: answers to a pre-vote are no votes, and votes no answers to a pre-vote', () => {
    const rig = new Rig()
    rig.node.campaign()
    rig.run()
    rig.receive({ kind: 'voteResponse', term: 0 })
    expect(rig.node.status().role).toBe('preCandidate')
    rig.receive({ kind: 'preVoteResponse', from: 'b', term: 1 })
    expect(rig.node.status()).toMatchObject({ role: 'candidate', term: 1 })
    rig.receive({ kind: 'preVoteResponse', from: 'c', term: 1 })
    rig.receive({ kind: 'preVoteResponse', from: 'c', term: 2 })
    expect(rig.node.status().role).toBe('candidate')
    rig.receive({ kind: 'voteResponse', from: 'c', term: 1 })
    expect(rig.node.status().role).toBe('leader')
  })

  test('statement 3: a grant for an earlier pre-vote does not count for the next', () => {
    const rig = new Rig({ hardState: { term: 1, vote: null, commit: 0 } })
    rig.node.campaign()
    rig.receive({ kind: 'preVoteResponse', from: 'b', term: 2 })
    expect(rig.node.status()).toMatchObject({ role: 'candidate', term: 2 })
    rig.tick(10)
    expect(rig.node.status()).toMatchObject({ role: 'preCandidate', term: 2 })
    rig.receive({ kind: 'preVoteResponse', from: 'c', term: 2 })
    expect(rig.node.status().role).toBe('preCandidate')
  })

  test('a lost ballot ends the campaign', () => {
    const rig = new Rig({}, { preVote: false })
    rig.node.campaign()
    rig.run()
    rig.receive({ kind: 'voteResponse', from: 'b', reject: true })
    expect(rig.node.status().role).toBe('candidate')
    rig.receive({ kind: 'voteResponse', from: 'c', reject: true })
    expect(rig.node.status().role).toBe('follower')
  })

  test('a repeated answer counts once', () => {
    const rig = new Rig({ voters: ['a', 'b', 'c', 'd', 'e'] }, { preVote: false })
    rig.node.campaign()
    rig.run()
    for (let time = 0; time < 3; time += 1) rig.receive({ kind: 'voteResponse', from: 'b' })
    expect(rig.node.status().role).toBe('candidate')
  })

  test('statement 33: a learner asked for its vote grants it', () => {
    const rig = new Rig({ snapshot: { index: 1, term: 1, configuration: configurationOf(['b', 'c'], { learners: ['a'] }) }, hardState: { term: 1, vote: null, commit: 1 } })
    rig.receive({ kind: 'preVote', term: 2, lastIndex: 1, lastTerm: 1 })
    expect(rig.take('preVoteResponse')).toMatchObject([{ reject: false }])
    rig.receive({ kind: 'vote', term: 2, lastIndex: 1, lastTerm: 1 })
    expect(rig.take('voteResponse')).toMatchObject([{ reject: false }])
    rig.tick(50)
    expect(rig.node.status()).toMatchObject({ role: 'follower', term: 2 })
  })
})

describe('convergence', () => {
  test('statement 5: a pre-vote from a smaller term is refused with our term, and the asker catches up', () => {
    const ahead = new Rig({ hardState: { term: 7, vote: 'c', commit: 0 } }, { id: 'b' })
    ahead.receive({ kind: 'preVote', from: 'a', term: 3, lastIndex: 5, lastTerm: 2 })
    const [refusal] = ahead.take('preVoteResponse')
    expect(refusal).toMatchObject({ term: 7, reject: true })
    const behind = new Rig({ hardState: { term: 2, vote: null, commit: 0 }, entries: entriesOf([1, 1, 2, 2, 2]) })
    behind.node.campaign()
    behind.run()
    behind.receive({ kind: 'preVoteResponse', term: 7, reject: true })
    expect(behind.node.status()).toMatchObject({ term: 7, role: 'follower' })
  })

  test('statement 6: the cohort with the longest log and the one with the highest term elect a leader together', () => {
    const network = new RaftNetwork({ ids: abc, seed: 6 })
    network.elect('a')
    network.isolated.add('c')
    network.propose('a', 'longer log on the old term')
    network.settle()
    network.crash('b')
    const c = network.member('c')
    c.disk.hardState = { term: 9, vote: null, commit: c.disk.hardState?.commit ?? 0 }
    network.crash('c')
    network.restart('c')
    network.crash('a')
    network.restart('a')
    network.isolated.clear()
    network.tickAll(60)
    expect(network.leader()?.id).toBe('a')
    expect(network.node('c').status()).toMatchObject({ leader: 'a', lastIndex: network.node('a').status().lastIndex })
  })

  test('statement 7: pre-vote is enabled by restarting one node after the other, with a leader all the while', () => {
    const network = new RaftNetwork({ ids: abc, seed: 7, node: { preVote: false } })
    network.elect('a')
    for (const id of abc) {
      network.crash(id)
      network.tickAll(40)
      expect(network.leader(), `without ${id}`).not.toBeNull()
      network.restart(id)
      const mixed = network.member(id)
      mixed.node = new Rig({ ...mixed.disk, applied: mixed.disk.image.index, voters: abc }, { id, preVote: true, random: network.random }).node
      network.tickAll(40)
      expect(network.leader(), `with ${id} upgraded`).not.toBeNull()
    }
  })

  test('statement 8: a pre-candidate forgets the leader, so two of them agree', () => {
    const rig = new Rig()
    rig.receive({ kind: 'heartbeat', term: 1 })
    expect(rig.node.status().leader).toBe('b')
    rig.tick(10)
    expect(rig.node.status()).toMatchObject({ role: 'preCandidate', leader: null })
    rig.receive({ kind: 'preVote', from: 'c', term: 2 })
    expect(rig.take('preVoteResponse')).toMatchObject([{ to: 'c', reject: false }])
  })

  test('statement 8: pre-vote with check-quorum converges after the leader is gone', () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const network = new RaftNetwork({ ids: ['a', 'b', 'c', 'd', 'e'], seed })
      network.elect('a')
      network.crash('a')
      network.crash('b')
      network.tickAll(100)
      expect(network.leader(), `seed ${seed}`).not.toBeNull()
    }
  })

  test('statement 8: a stale leader with a smaller term is told ours', () => {
    const rig = new Rig({ hardState: { term: 5, vote: null, commit: 0 } })
    rig.receive({ kind: 'heartbeat', term: 4 })
    expect(rig.take('appendResponse')).toMatchObject([{ term: 5, index: 0 }])
    expect(rig.node.status().leader).toBeNull()
  })

  test('time-outs are drawn from [electionTicks, 2 * electionTicks)', () => {
    for (const drawn of [0, 5, 9]) {
      const rig = new Rig({}, { random: () => drawn })
      rig.tick(10 + drawn - 1)
      expect(rig.node.status().role).toBe('follower')
      rig.tick()
      expect(rig.node.status().role).toBe('preCandidate')
    }
  })
})

describe('stability', () => {
  test('statement 9: a leader without a quorum for one election time-out steps down, in its term', () => {
    const rig = new Rig().becomeLeader().acknowledgeAll()
    rig.tick(10)
    expect(rig.node.status().role).toBe('leader')
    rig.receive({ kind: 'heartbeatResponse', from: 'b' })
    rig.tick(10)
    expect(rig.node.status().role).toBe('leader')
    rig.tick(10)
    expect(rig.node.status()).toMatchObject({ role: 'follower', term: 1, leader: null })
  })

  test('statement 9: without check-quorum it stays', () => {
    expect(new Rig({}, { checkQuorum: false }).becomeLeader().tick(50).node.status().role).toBe('leader')
  })

  test('statement 10: who hears from a leader ignores requests for votes, unless the leader sent them', () => {
    const rig = new Rig()
    rig.receive({ kind: 'heartbeat', term: 1 })
    rig.take()
    for (const kind of ['vote', 'preVote'] as const) rig.receive({ kind, from: 'c', term: 9, lastIndex: 9, lastTerm: 8 })
    expect(rig.take()).toEqual([])
    expect(rig.node.status()).toMatchObject({ term: 1, leader: 'b' })
    rig.receive({ kind: 'vote', from: 'c', term: 9, lastIndex: 9, lastTerm: 8, transfer: true })
    expect(rig.take('voteResponse')).toMatchObject([{ to: 'c', term: 9, reject: false }])
  })

  test('statement 10: a leader with a quorum is not deposed by a higher term in a request', () => {
    const rig = new Rig().becomeLeader()
    rig.receive({ kind: 'vote', from: 'c', term: 9, lastIndex: 9, lastTerm: 8 })
    expect(rig.node.status()).toMatchObject({ role: 'leader', term: 1 })
  })

  test('statement 10: a partitioned server comes back without a new election', () => {
    const network = new RaftNetwork({ ids: abc, seed: 10 })
    network.elect('a')
    network.isolated.add('c')
    network.tickAll(100)
    network.isolated.clear()
    network.tickAll(20)
    expect(network.elections).toBe(1)
    expect(network.node('c').status()).toMatchObject({ leader: 'a', term: 1 })
  })

  test('forgetLeader frees the vote before the time-out', () => {
    const rig = new Rig()
    rig.receive({ kind: 'heartbeat', term: 1 })
    rig.node.forgetLeader()
    rig.receive({ kind: 'preVote', from: 'c', term: 2 })
    expect(rig.take('preVoteResponse')).toMatchObject([{ to: 'c', reject: false }])
  })

  test('statement 32: a node with an unapplied membership change does not campaign', () => {
    const change = configEntry(1, 1, { transition: 'auto', steps: [{ kind: 'addVoter', id: 'd' }] })
    const { node } = new Rig({ hardState: { term: 1, vote: null, commit: 1 }, entries: [change], voters: abc })
    node.campaign()
    expect(node.status().role).toBe('follower')
    const ready = node.ready()
    node.applyConfChange(ready.committed[0] as typeof change)
    node.advance()
    node.campaign()
    expect(node.status().role).toBe('preCandidate')
  })

  test('a node without a configuration never campaigns', () => {
    expect(new Rig({ voters: [] }).tick(100).node.status()).toMatchObject({ role: 'follower', term: 0 })
  })
})

describe('election priority', () => {
  const waitsFor = (priority: ElectionPriority): number => {
    const rig = new Rig()
    rig.node.setElectionPriority(priority)
    for (let ticks = 1; ticks <= 100; ticks += 1) if (rig.tick().node.status().role !== 'follower') return ticks
    return Infinity
  }

  test('who is not well campaigns an election time-out later, or not at all', () => {
    expect([waitsFor('normal'), waitsFor('low'), waitsFor('none')]).toEqual([10, 20, Infinity])
  })

  test('a healthy node is elected before one that is not, whatever they draw', () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const network = new RaftNetwork({ ids: abc, seed })
      network.node('a').setElectionPriority('low')
      network.node('b').setElectionPriority('low')
      network.tickAll(30)
      expect(network.leader()?.id, `seed ${seed}`).toBe('c')
    }
  })

  test('where nobody else can, one of low priority leads', () => {
    const network = new RaftNetwork({ ids: abc, seed: 1 })
    network.node('a').setElectionPriority('low')
    network.node('b').setElectionPriority('none')
    network.crash('c')
    network.tickAll(60)
    expect(network.leader()?.id).toBe('a')
  })

  test('who may not lead votes all the same, follows no word to take over, and may lead again later', () => {
    const rig = new Rig()
    rig.node.setElectionPriority('none')
    rig.receive({ kind: 'vote', term: 2 })
    expect(rig.take('voteResponse')).toMatchObject([{ reject: false }])
    rig.receive({ kind: 'timeoutNow', term: 2 })
    rig.node.campaign()
    expect(rig.node.status()).toMatchObject({ role: 'follower', term: 2, priority: 'none' })
    rig.node.setElectionPriority('normal')
    rig.node.campaign()
    expect(rig.node.status().role).toBe('preCandidate')
  })
})
