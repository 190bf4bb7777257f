// Linearizable reads: statements 9 and 20-23.
import { describe, expect, test } from 'vitest'
import { pendingReadsMax } from '../../../src/raft/read-queue.ts'
import { RaftNetwork } from './network.ts'
import { Rig, configurationOf } from './rig.ts'

const contextOf = (rig: Rig): string => rig.take('heartbeat')[0]?.context ?? ''

describe('at the leader', () => {
  test('statement 20: a read waits for a committed entry of the leader’s own term', () => {
    const rig = new Rig().becomeLeader()
    rig.node.readIndex('early')
    rig.run()
    rig.take()
    rig.receive({ kind: 'heartbeatResponse', from: 'b' })
    expect(rig.reads).toEqual([])
    rig.receive({ kind: 'appendResponse', from: 'b', index: 1 })
    const context = contextOf(rig)
    expect(context).not.toBe('')
    rig.receive({ kind: 'heartbeatResponse', from: 'b', context })
    expect(rig.reads).toEqual([{ context: 'early', index: 1 }])
  })

  test('statement 21: the quorum is confirmed after the index was taken and before the answer', () => {
    const rig = new Rig().becomeLeader().acknowledgeAll()
    rig.tick()
    rig.take()
    rig.node.readIndex('r')
    rig.run()
    const context = contextOf(rig)
    // An answer to the heartbeat of before the read proves nothing about now.
    rig.receive({ kind: 'heartbeatResponse', from: 'b', context: '' })
    expect(rig.reads).toEqual([])
    rig.receive({ kind: 'heartbeatResponse', from: 'b', context })
    expect(rig.reads).toEqual([{ context: 'r', index: 1 }])
  })

  test('statement 22: a late answer to an earlier attempt never confirms a new one', () => {
    const rig = new Rig({ voters: ['a', 'b', 'c', 'd', 'e'] }).becomeLeader().acknowledgeAll(['b', 'c', 'd', 'e'])
    rig.take()
    rig.node.readIndex('same')
    rig.run()
    const first = contextOf(rig)
    rig.receive({ kind: 'heartbeatResponse', from: 'b', context: first })
    rig.receive({ kind: 'heartbeatResponse', from: 'c', context: first })
    expect(rig.reads).toHaveLength(1)
    rig.node.readIndex('same')
    rig.run()
    const second = contextOf(rig)
    expect(second).not.toBe(first)
    for (const from of ['b', 'c', 'd', 'e']) rig.receive({ kind: 'heartbeatResponse', from, context: first })
    expect(rig.reads).toHaveLength(1)
    for (const from of ['d', 'e']) rig.receive({ kind: 'heartbeatResponse', from, context: second })
    expect(rig.reads).toHaveLength(2)
  })

  test('an answer to a later round confirms the earlier ones, and reads made together share a round', () => {
    const rig = new Rig().becomeLeader().acknowledgeAll()
    rig.take()
    rig.node.readIndex('one')
    rig.node.readIndex('two')
    rig.run()
    expect(rig.take('heartbeat')).toHaveLength(2)
    rig.node.readIndex('three')
    rig.run()
    rig.receive({ kind: 'heartbeatResponse', from: 'b', context: contextOf(rig) })
    expect(rig.reads.map((read) => read.context)).toEqual(['one', 'two', 'three'])
  })

  test('a repeated answer by one member is no quorum of five, a learner’s is none at all', () => {
    const configuration = configurationOf(['a', 'b', 'c', 'd', 'e'], { learners: ['l'] })
    const rig = new Rig({ snapshot: { index: 1, term: 1, configuration }, hardState: { term: 1, vote: null, commit: 1 } }).becomeLeader()
    rig.acknowledgeAll(['b', 'c', 'd', 'e', 'l'])
    rig.take()
    rig.node.readIndex('r')
    rig.run()
    const context = contextOf(rig)
    for (const from of ['b', 'b', 'l', 'b', 'z']) rig.receive({ kind: 'heartbeatResponse', from, context })
    expect(rig.reads).toEqual([])
    rig.receive({ kind: 'heartbeatResponse', from: 'c', context })
    expect(rig.reads).toHaveLength(1)
  })

  test('a lost heartbeat is made good by the next', () => {
    const rig = new Rig().becomeLeader().acknowledgeAll()
    rig.node.readIndex('r')
    rig.run()
    rig.take()
    rig.tick()
    rig.receive({ kind: 'heartbeatResponse', from: 'c', context: contextOf(rig) })
    expect(rig.reads).toEqual([{ context: 'r', index: 1 }])
  })

  test('statements 9 and 23: pending reads fail when the leader steps down', () => {
    const rig = new Rig().becomeLeader().acknowledgeAll()
    rig.node.readIndex('own')
    rig.receive({ kind: 'readIndex', from: 'c', context: 'of c' })
    rig.take()
    rig.tick(20)
    expect(rig.node.status().role).toBe('follower')
    expect(rig.reads).toEqual([{ context: 'own', index: null }])
    expect(rig.take('readIndexResponse')).toMatchObject([{ to: 'c', context: 'of c', reject: true }])
  })

  test('a single voter answers itself', () => {
    const rig = new Rig({ voters: ['a'] }).becomeLeader()
    rig.node.readIndex('r')
    rig.run()
    expect(rig.reads).toEqual([{ context: 'r', index: 1 }])
  })

  test('the number of pending reads is bounded', () => {
    const rig = new Rig().becomeLeader()
    for (let count = 0; count <= pendingReadsMax; count += 1) rig.node.readIndex(`r${count}`)
    expect(rig.run().reads).toEqual([{ context: `r${pendingReadsMax}`, index: null }])
  })
})

describe('at a follower', () => {
  const following = (): Rig => {
    const rig = new Rig().receive({ kind: 'heartbeat', term: 1 })
    rig.take()
    return rig
  }

  test('reads made together go to the leader in one question', () => {
    const rig = following()
    rig.node.readIndex('one')
    rig.node.readIndex('two')
    rig.run()
    const questions = rig.take('readIndex')
    expect(questions).toHaveLength(1)
    rig.receive({ kind: 'readIndexResponse', context: questions[0]?.context ?? '', index: 7 })
    expect(rig.reads).toEqual([{ context: 'one', index: 7 }, { context: 'two', index: 7 }])
  })

  test('statement 22: a repeated or unknown answer answers nothing', () => {
    const rig = following()
    rig.node.readIndex('r')
    rig.run()
    const first = rig.take('readIndex')[0]?.context ?? ''
    rig.receive({ kind: 'readIndexResponse', context: first, index: 7 })
    rig.node.readIndex('r')
    rig.run()
    rig.receive({ kind: 'readIndexResponse', context: first, index: 7 })
    rig.receive({ kind: 'readIndexResponse', context: 'r', index: 7 })
    expect(rig.reads).toEqual([{ context: 'r', index: 7 }])
  })

  test('statement 22: the questions of two lives of a node differ', () => {
    const draws = [5, 6].map((drawn) => {
      const rig = new Rig({}, { random: (bound) => (bound > 100 ? drawn : 0) }).receive({ kind: 'heartbeat', term: 1 })
      rig.take()
      rig.node.readIndex('r')
      return rig.run().take('readIndex')[0]?.context
    })
    expect(draws[0]).not.toBe(draws[1])
  })

  test('statement 23: a read without a leader, refused by it, or lost with it, is answered as dropped', () => {
    const alone = new Rig()
    alone.node.readIndex('no leader')
    expect(alone.run().reads).toEqual([{ context: 'no leader', index: null }])
    const refused = following()
    refused.node.readIndex('refused')
    refused.run()
    refused.receive({ kind: 'readIndexResponse', context: refused.take('readIndex')[0]?.context ?? '', reject: true })
    expect(refused.reads).toEqual([{ context: 'refused', index: null }])
    const forgotten = following()
    forgotten.node.readIndex('leader forgotten')
    forgotten.run().node.campaign()
    expect(forgotten.run().reads).toEqual([{ context: 'leader forgotten', index: null }])
    const changed = following()
    changed.node.readIndex('leader changed')
    changed.run()
    changed.receive({ kind: 'heartbeat', from: 'c', term: 2 })
    expect(changed.reads).toEqual([{ context: 'leader changed', index: null }])
  })

  test('statement 23: a question lost in the network is given up after one election time-out', () => {
    const rig = following()
    rig.node.readIndex('lost')
    rig.run()
    for (let tick = 0; tick < 10; tick += 1) {
      expect(rig.reads).toEqual([])
      rig.tick().receive({ kind: 'heartbeat', term: 1 })
    }
    expect(rig.reads).toEqual([{ context: 'lost', index: null }])
  })

  test('a leader deposed by a partition answers no read, the new one does', () => {
    const network = new RaftNetwork({ ids: ['a', 'b', 'c'], seed: 3 })
    network.elect('a')
    network.isolated.add('a')
    network.tickAll(30)
    expect(network.leader()?.id).not.toBe('a')
    network.propose(network.leader()?.id ?? '', 'new')
    network.settle()
    network.read('a', 'stale')
    network.read('b', 'fresh')
    network.settle()
    network.tickAll(30)
    expect([network.readsAnswered, network.readsDropped]).toEqual([1, 1])
  })
})
