// What an engine asks of the core where its disk, or a peer's, is not to be relied on.
import { describe, expect, test } from 'vitest'
import { Rig } from './rig.ts'

const data = new Uint8Array([1])

describe('statement 44: a node that is not electable', () => {
  test('does not campaign, neither by time-out nor when it is handed leadership, and votes all the same', () => {
    const rig = new Rig()
    rig.node.setElectionPriority('none')
    rig.tick(100)
    rig.receive({ kind: 'timeoutNow', from: 'b', term: 1 })
    expect(rig.take('preVote')).toEqual([])
    expect(rig.take('vote')).toEqual([])
    rig.receive({ kind: 'vote', from: 'b', term: 2 })
    expect(rig.take('voteResponse')).toMatchObject([{ to: 'b', reject: false }])
    rig.node.setElectionPriority('normal')
    rig.tick(10)
    expect(rig.take('preVote')).toHaveLength(2)
  })

  test('a leader steps down in its term, and leads again only in another', () => {
    const rig = new Rig().becomeLeader().acknowledgeAll()
    const { term } = rig.node.status()
    rig.node.stepDown()
    expect(rig.node.status()).toMatchObject({ role: 'follower', leader: null, term })
    expect(rig.node.propose(data)).toEqual({ kind: 'notLeader', leader: null })
    rig.take()
    rig.tick(10)
    expect(rig.take('preVote')).toMatchObject([{ term: term + 1 }, { term: term + 1 }])
  })
})

describe('statement 43: a peer that begins anew', () => {
  test('is taken at no former word: what it acknowledged counts no more, and it is probed from the end', () => {
    const rig = new Rig().becomeLeader().acknowledgeAll()
    expect(rig.node.status().progress['b']).toMatchObject({ state: 'replicate', match: 1, recentActive: true })
    rig.node.renewProgress('b')
    expect(rig.node.status().progress['b']).toMatchObject({ state: 'probe', match: 0, recentActive: false })
    rig.tick(2).run().take()
    rig.receive({ kind: 'appendResponse', from: 'b', index: 1, reject: true, hintIndex: 0, hintTerm: 0 })
    expect(rig.node.status().progress['b']?.match).toBe(0)
  })

  test('only a leader forgets, and never what it holds itself', () => {
    const follower = new Rig()
    follower.node.renewProgress('b')
    const rig = new Rig().becomeLeader().acknowledgeAll()
    rig.node.renewProgress('a')
    rig.node.renewProgress('z')
    expect(rig.node.status().progress['a']?.match).toBe(1)
    expect(Object.keys(rig.node.status().progress)).toEqual(['a', 'b', 'c'])
  })
})
