// Snapshots: sending, installing, what is kept of the log; statements 36, 37, 39.
import { describe, expect, test } from 'vitest'
import type { Snapshot } from '../../../src/raft/types.ts'
import { RaftNetwork } from './network.ts'
import { Rig, configurationOf, entriesOf } from './rig.ts'

const abc = ['a', 'b', 'c']
const image = (index: number, term: number, voters: readonly string[] = abc): Snapshot => ({
  index, term, configuration: configurationOf(voters), data: new Uint8Array([7]),
})
const base = { index: 5, term: 1, configuration: configurationOf(abc) }

function leaderBehindSnapshot(): Rig {
  const rig = new Rig({ snapshot: base, hardState: { term: 1, vote: null, commit: 5 } }).becomeLeader()
  rig.receive({ kind: 'appendResponse', from: 'c', index: 6 })
  rig.take()
  return rig.receive({ kind: 'appendResponse', from: 'b', reject: true, index: 5, hintIndex: 2, hintTerm: 1 })
}

describe('at the leader', () => {
  test('a peer whose next entry is compacted gets the state as applied, by name', () => {
    const rig = leaderBehindSnapshot()
    expect(rig.take('snapshot')).toMatchObject([{ to: 'b', snapshot: { index: 6, term: 2, configuration: { voters: abc }, data: new Uint8Array(0) } }])
    expect(rig.node.status().progress['b']).toMatchObject({ state: 'snapshot', pendingSnapshot: 6, next: 7 })
  })

  test('the name is that of the state before the committed entries of the same Ready', () => {
    const rig = new Rig({ snapshot: base, hardState: { term: 1, vote: null, commit: 5 } }).becomeLeader()
    rig.node.step({ kind: 'appendResponse', from: 'c', to: 'a', term: 2, index: 6, reject: false, hintIndex: 0, hintTerm: 0 })
    rig.node.step({ kind: 'appendResponse', from: 'b', to: 'a', term: 2, index: 5, reject: true, hintIndex: 2, hintTerm: 1 })
    const ready = rig.node.ready()
    expect(ready.committed).toMatchObject([{ index: 6 }])
    expect(ready.messages.find((message) => message.kind === 'snapshot')).toMatchObject({ snapshot: { index: 5, term: 1 } })
  })

  test('nothing is sent meanwhile, and nothing to a silent peer', () => {
    const rig = leaderBehindSnapshot()
    rig.take()
    rig.node.propose(new Uint8Array([1]))
    rig.run().receive({ kind: 'heartbeatResponse', from: 'b' })
    expect(rig.take().filter((message) => message.to === 'b')).toEqual([])
    const silent = new Rig({ snapshot: base, hardState: { term: 1, vote: null, commit: 5 } }).becomeLeader()
    silent.receive({ kind: 'appendResponse', from: 'c', index: 6 })
    silent.take()
    silent.node.compact(6)
    silent.node.reportUnreachable('b')
    silent.tick(3)
    expect(silent.take('snapshot')).toEqual([])
    silent.receive({ kind: 'heartbeatResponse', from: 'b' })
    expect(silent.take('snapshot')).toMatchObject([{ to: 'b' }])
  })

  test.each([
    { outcome: 'finished', next: 7 },
    { outcome: 'failed', next: 1 },
  ] as const)('statement 37: reported as $outcome, the peer is probed after its next sign of life', ({ outcome, next }) => {
    const rig = leaderBehindSnapshot()
    rig.take()
    rig.node.reportSnapshot('b', outcome)
    rig.run()
    expect(rig.take()).toEqual([])
    expect(rig.node.status().progress['b']).toMatchObject({ state: 'probe', next })
    rig.receive({ kind: 'heartbeatResponse', from: 'b' })
    expect(rig.take().map((message) => message.kind)).toEqual([outcome === 'finished' ? 'append' : 'snapshot'])
  })

  test.each([5, 6])('statement 37: an acknowledgement of %d, pending snapshot or not, ends in replicate', (index) => {
    const rig = leaderBehindSnapshot()
    rig.receive({ kind: 'appendResponse', from: 'b', index })
    expect(rig.node.status().progress['b']).toMatchObject({ state: 'replicate', match: index })
  })

  test('statement 39: the pending snapshot is visible, so that the engine can keep what follows it', () => {
    expect(leaderBehindSnapshot().node.status().progress['b']?.pendingSnapshot).toBe(6)
  })
})

describe('at the follower', () => {
  test('statement 36: installing replaces log, commit and configuration in one Ready', () => {
    const rig = new Rig({ hardState: { term: 1, vote: null, commit: 1 }, entries: entriesOf([1, 1, 1]) })
    rig.run()
    rig.node.step({ kind: 'snapshot', from: 'b', to: 'a', term: 2, snapshot: image(9, 2, ['a', 'b']) })
    const ready = rig.node.ready()
    expect(ready).toMatchObject({
      snapshot: { index: 9, term: 2, data: new Uint8Array([7]) }, hardState: { term: 2, commit: 9 }, entries: [], mustSync: true,
      messagesAfterSync: [{ kind: 'appendResponse', to: 'b', index: 9, reject: false }], messages: [],
    })
    rig.node.advance()
    expect(rig.node.status()).toMatchObject({ firstIndex: 10, lastIndex: 9, commit: 9, applied: 9, configuration: { voters: ['a', 'b'] } })
  })

  test('statement 36: when the entry at its end matches, the suffix is kept and nothing is installed', () => {
    const rig = new Rig({ hardState: { term: 1, vote: null, commit: 0 }, entries: entriesOf([1, 1, 1]) })
    rig.receive({ kind: 'snapshot', term: 1, snapshot: image(2, 1) })
    expect(rig.node.status()).toMatchObject({ lastIndex: 3, commit: 2, applied: 2, firstIndex: 1 })
    expect(rig.snapshots).toEqual([])
    expect(rig.take('appendResponse')).toMatchObject([{ index: 2 }])
  })

  test('statement 36: when it conflicts, the log is dropped', () => {
    const rig = new Rig({ hardState: { term: 2, vote: null, commit: 0 }, entries: entriesOf([1, 1, 1]) })
    rig.receive({ kind: 'snapshot', term: 2, snapshot: image(2, 2) })
    expect(rig.node.status()).toMatchObject({ firstIndex: 3, lastIndex: 2, commit: 2 })
  })

  test('an old snapshot is answered with what we have', () => {
    const rig = new Rig({ hardState: { term: 1, vote: null, commit: 3 }, entries: entriesOf([1, 1, 1]) })
    rig.run().receive({ kind: 'snapshot', term: 1, snapshot: image(2, 1) })
    expect(rig.snapshots).toEqual([])
    expect(rig.take('appendResponse')).toMatchObject([{ index: 3 }])
  })

  test('statement 37: a second snapshot while the first is being written follows it', () => {
    const rig = new Rig()
    rig.node.step({ kind: 'snapshot', from: 'b', to: 'a', term: 1, snapshot: image(4, 1) })
    const first = rig.node.ready()
    rig.node.step({ kind: 'snapshot', from: 'b', to: 'a', term: 1, snapshot: image(8, 1) })
    rig.node.advance()
    expect(first.snapshot?.index).toBe(4)
    const second = rig.node.ready()
    expect(second.snapshot?.index).toBe(8)
    rig.node.advance()
    expect(rig.run().node.status()).toMatchObject({ applied: 8, commit: 8 })
  })

  test('entries that follow a snapshot are applied after it, in the same Ready', () => {
    const rig = new Rig()
    rig.node.step({ kind: 'snapshot', from: 'b', to: 'a', term: 1, snapshot: image(4, 1) })
    rig.node.step({ kind: 'append', from: 'b', to: 'a', term: 1, prevIndex: 4, prevTerm: 1, entries: entriesOf([1], 5), commit: 5 })
    expect(rig.node.ready()).toMatchObject({ snapshot: { index: 4 }, entries: [{ index: 5 }], committed: [{ index: 5 }] })
  })

  test('no campaign while a snapshot is being installed', () => {
    const rig = new Rig()
    rig.node.step({ kind: 'snapshot', from: 'b', to: 'a', term: 1, snapshot: image(4, 1) })
    rig.node.campaign()
    expect(rig.node.status().role).toBe('follower')
  })

  test('statement 37: a follower that crashes while it installs the image gets it again, and ends in replicate', () => {
    const network = new RaftNetwork({ ids: abc, seed: 1 })
    network.elect('a')
    network.crash('c')
    network.propose('a', 'x')
    network.settle()
    network.compact('a', 2)
    network.restart('c')
    let crashes = 0
    for (let round = 0; round < 6; round += 1) {
      network.tick('a')
      network.settleReadys()
      while (network.inFlight.length > 0) {
        const isImage = network.inFlight[0]?.kind === 'snapshot' && crashes === 0
        network.deliver(0)
        if (isImage) {
          // Taken in, told as arrived, and gone before the disk had it.
          expect(network.beginReady('c')).toBe(true)
          network.crash('c')
          network.restart('c')
          crashes += 1
        }
        network.settleReadys()
      }
    }
    expect(crashes).toBe(1)
    expect(network.applied('c')).toEqual(network.applied('a'))
    expect(network.node('a').status().progress['c']).toMatchObject({ state: 'replicate', match: 2 })
  })

  test('statement 37: a follower that was away behind the compaction catches up, with a lost snapshot on the way', () => {
    const network = new RaftNetwork({ ids: abc, seed: 1 })
    network.elect('a')
    network.crash('c')
    for (let count = 0; count < 20; count += 1) network.propose('a', `value ${count}`)
    network.settle()
    network.compact('a', network.node('a').status().applied)
    network.restart('c')
    let lost = 0
    for (let round = 0; round < 10; round += 1) {
      for (const id of abc) network.tick(id)
      network.settleReadys()
      while (network.inFlight.length > 0) {
        const isFirstSnapshot = network.inFlight[0]?.kind === 'snapshot' && lost === 0
        if (isFirstSnapshot) {
          lost += 1
          network.lose(0)
        } else network.deliver(0)
        network.settleReadys()
      }
    }
    expect(lost).toBe(1)
    expect(network.applied('c')).toEqual(network.applied('a'))
    expect(network.node('a').status().progress['c']?.state).toBe('replicate')
  })
})
