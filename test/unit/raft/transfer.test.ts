// Leadership transfer: statement 35.
import { describe, expect, test } from 'vitest'
import { RaftNetwork } from './network.ts'
import { Rig, configurationOf } from './rig.ts'

const data = new Uint8Array([1])

describe('statement 35: leadership transfer', () => {
  test('an up-to-date voter is told at once, and leads although everybody hears from the old leader', () => {
    const network = new RaftNetwork({ ids: ['a', 'b', 'c'], seed: 1 })
    network.elect('a')
    network.node('a').transferLeadership('b')
    network.settle()
    expect(network.leader()?.id).toBe('b')
    expect(network.node('a').status()).toMatchObject({ role: 'follower', leader: 'b', transferee: null })
  })

  test('a voter that is behind is told when it has caught up', () => {
    const rig = new Rig().becomeLeader()
    rig.receive({ kind: 'appendResponse', from: 'c', index: 1 })
    rig.node.transferLeadership('b')
    rig.run()
    expect(rig.take('timeoutNow')).toEqual([])
    rig.receive({ kind: 'appendResponse', from: 'b', index: 1 })
    expect(rig.take('timeoutNow')).toMatchObject([{ to: 'b' }])
  })

  test('only a voter is a target', () => {
    const configuration = configurationOf(['a', 'b'], { learners: ['l'] })
    const rig = new Rig({ snapshot: { index: 1, term: 1, configuration }, hardState: { term: 1, vote: null, commit: 1 } }).becomeLeader()
    for (const to of ['l', 'z', 'a']) {
      rig.node.transferLeadership(to)
      expect(rig.node.status().transferee).toBeNull()
    }
  })

  test('proposals are held off for one election time-out at most, then taken again', () => {
    const rig = new Rig().becomeLeader().acknowledgeAll()
    rig.node.transferLeadership('b')
    expect(rig.node.propose(data)).toEqual({ kind: 'refused', reason: 'transferring' })
    expect(rig.node.proposeConfChange({ transition: 'auto', steps: [] })).toEqual({ kind: 'refused', reason: 'transferring' })
    rig.tick(5).receive({ kind: 'heartbeatResponse', from: 'c' })
    rig.tick(4)
    expect(rig.node.propose(data).kind).toBe('refused')
    rig.tick()
    expect(rig.node.status()).toMatchObject({ role: 'leader', transferee: null })
    expect(rig.node.propose(data).kind).toBe('appended')
  })

  test('a lost word is said again', () => {
    const rig = new Rig().becomeLeader().acknowledgeAll()
    rig.node.transferLeadership('b')
    rig.run().take()
    rig.receive({ kind: 'heartbeatResponse', from: 'b' })
    expect(rig.take('timeoutNow')).toMatchObject([{ to: 'b' }])
  })

  test('another target replaces the first, and the leader itself ends the transfer', () => {
    const rig = new Rig().becomeLeader().acknowledgeAll()
    rig.node.transferLeadership('b')
    rig.node.transferLeadership('c')
    expect(rig.node.status().transferee).toBe('c')
    rig.node.transferLeadership('a')
    expect(rig.node.status().transferee).toBeNull()
  })

  test('a follower passes the wish on', () => {
    const network = new RaftNetwork({ ids: ['a', 'b', 'c'], seed: 2 })
    network.elect('a')
    network.node('b').transferLeadership('c')
    network.settle()
    expect(network.leader()?.id).toBe('c')
  })

  test('a target that is removed ends the transfer', () => {
    const rig = new Rig().becomeLeader().acknowledgeAll()
    rig.node.proposeConfChange({ transition: 'auto', steps: [{ kind: 'remove', id: 'b' }] })
    rig.run()
    rig.node.transferLeadership('b')
    rig.receive({ kind: 'appendResponse', from: 'c', index: 2 })
    expect(rig.node.status()).toMatchObject({ transferee: null, configuration: { voters: ['a', 'c'] } })
  })

  test('a non-voter that is told to campaign does not', () => {
    const configuration = configurationOf(['b', 'c'], { learners: ['a'] })
    const rig = new Rig({ snapshot: { index: 1, term: 1, configuration }, hardState: { term: 1, vote: null, commit: 1 } })
    expect(rig.receive({ kind: 'timeoutNow', term: 1 }).node.status()).toMatchObject({ role: 'follower', term: 1 })
  })
})
