// Membership: simple and joint changes, learners, removal of the leader; statements 26-32 and 34.
import { describe, expect, test } from 'vitest'
import type { ConfChange, ConfChangeStep, ProposeResult } from '../../../src/raft/types.ts'
import { RaftNetwork } from './network.ts'
import { Rig, configEntry, configurationOf, entriesOf } from './rig.ts'

const abc = ['a', 'b', 'c']
const add = (id: string): ConfChangeStep => ({ kind: 'addVoter', id })
const learn = (id: string): ConfChangeStep => ({ kind: 'addLearner', id })
const remove = (id: string): ConfChangeStep => ({ kind: 'remove', id })
const change = (...steps: ConfChangeStep[]): ConfChange => ({ transition: 'auto', steps })
const leave: ConfChange = { transition: 'auto', steps: [] }
const appended = (result: ProposeResult): boolean => result.kind === 'appended'

function started(seed = 1, options: { readonly ids?: readonly string[]; readonly blank?: readonly string[] } = {}): RaftNetwork {
  const network = new RaftNetwork({ ids: options.ids ?? abc, blank: options.blank ?? ['d', 'e'], seed })
  network.elect('a')
  return network
}

describe('one change at a time', () => {
  test('statement 26: no change while an entry from before the leader’s term may be unapplied', () => {
    const rig = new Rig({ hardState: { term: 1, vote: null, commit: 0 }, entries: entriesOf([1, 1]) }).becomeLeader()
    expect(rig.node.proposeConfChange(change(add('d')))).toEqual({ kind: 'refused', reason: 'changePending' })
    rig.run().acknowledgeAll()
    expect(appended(rig.node.proposeConfChange(change(add('d'))))).toBe(true)
  })

  test('statement 28: a second change is refused and leaves an empty entry, until the first is applied', () => {
    const rig = new Rig().becomeLeader().acknowledgeAll()
    expect(rig.node.proposeConfChange(change(add('d')))).toEqual({ kind: 'appended', index: 2, term: 1 })
    expect(rig.node.proposeConfChange(change(add('e')))).toEqual({ kind: 'refused', reason: 'changePending' })
    rig.run()
    expect(rig.written.slice(-2).map((entry) => [entry.index, entry.kind, entry.data.length > 0])).toEqual([[2, 'config', true], [3, 'normal', false]])
    rig.acknowledgeAll()
    expect(rig.node.status().configuration.voters).toEqual(['a', 'b', 'c', 'd'])
    expect(appended(rig.node.proposeConfChange(change(add('e'))))).toBe(true)
  })

  test('statement 28: a new leader counts uncommitted changes in its log as pending', () => {
    const entries = [configEntry(1, 1, change(add('d')))]
    const rig = new Rig({ hardState: { term: 1, vote: null, commit: 0 }, entries }).becomeLeader()
    expect(rig.node.proposeConfChange(change(add('e')))).toMatchObject({ reason: 'changePending' })
    rig.run().acknowledgeAll()
    expect(rig.node.status().configuration.voters).toEqual(['a', 'b', 'c', 'd'])
  })

  test('statement 27: what the configuration does not allow is refused', () => {
    const rig = new Rig().becomeLeader().acknowledgeAll()
    for (const refused of [leave, { transition: 'simple', steps: [add('d'), add('e')] }, change(remove('a'), remove('b'), remove('c'))] as const) {
      expect(rig.node.proposeConfChange(refused)).toEqual({ kind: 'refused', reason: 'invalidChange' })
      rig.run().acknowledgeAll()
    }
    expect(rig.node.status()).toMatchObject({ lastIndex: 4, commit: 4, configuration: { voters: abc, votersOutgoing: [] } })
  })

  test('a change takes effect when it is applied, not when it is appended', () => {
    const rig = new Rig().becomeLeader().acknowledgeAll()
    rig.node.proposeConfChange(change(add('d')))
    const ready = rig.node.ready()
    expect(rig.node.status().configuration.voters).toEqual(abc)
    for (const message of ready.messagesAfterSync) rig.node.step(message)
    rig.node.advance()
    rig.acknowledgeAll()
    expect(rig.node.status().configuration.voters).toEqual(['a', 'b', 'c', 'd'])
  })

  test('after a restart the configuration is that of the applied entries', () => {
    const entries = [configEntry(1, 1, change(add('b'))), configEntry(2, 1, change(learn('c'))), configEntry(3, 1, change(add('d')))]
    const rig = new Rig({ hardState: { term: 1, vote: null, commit: 2 }, entries, applied: 2, voters: ['a'] })
    expect(rig.node.status().configuration).toEqual(configurationOf(['a', 'b'], { learners: ['c'] }))
  })
})

describe('new members', () => {
  test('a learner catches up by snapshot, follows, does not vote, and is promoted', () => {
    const network = started()
    network.propose('a', 'one')
    network.change('a', change(learn('d')))
    network.tickAll(5)
    expect(network.applied('d')).toEqual(network.applied('a'))
    expect(network.snapshotsInstalled).toBe(1)
    expect(network.node('a').status().progress['d']).toMatchObject({ isLearner: true, state: 'replicate' })
    network.change('a', change(add('d')))
    network.tickAll(5)
    for (const id of [...abc, 'd']) expect(network.node(id).status().configuration.voters).toEqual(['a', 'b', 'c', 'd'])
  })

  test('a member born of nothing does not take the log from its beginning, which lacks the first configuration', () => {
    const network = started(2, { ids: ['a'], blank: ['b'] })
    network.change('a', change(learn('b')))
    network.tickAll(5)
    expect(network.node('b').status().configuration).toEqual(configurationOf(['a'], { learners: ['b'] }))
  })

  test('statement 34: adding a dead node does not stall commits', () => {
    const network = started()
    network.crash('d')
    network.change('a', change(learn('d')))
    network.settle()
    network.propose('a', 'goes on')
    network.settle()
    expect(network.applied('c').join()).toContain('goes on')
    network.tickAll(50)
    expect(network.leader()?.id).toBe('a')
  })

  test('statement 34: a learner has caught up when a whole round took no longer than an election time-out, and loses that when one takes longer', () => {
    const configuration = configurationOf(['a'], { learners: ['l'] })
    const rig = new Rig({ snapshot: { index: 1, term: 1, configuration }, hardState: { term: 1, vote: null, commit: 1 } }).becomeLeader()
    const isCaughtUp = (): boolean | undefined => rig.node.status().progress['l']?.isCaughtUp
    const acknowledge = (index: number): Rig => rig.receive({ kind: 'appendResponse', from: 'l', index })
    acknowledge(1)
    rig.tick()
    expect(isCaughtUp()).toBe(false)
    // The first round, up to entry 2, takes too long, whatever the leader appends meanwhile.
    for (let index = 3; index < 14; index += 1) {
      rig.node.propose(new Uint8Array([index]))
      rig.tick()
    }
    acknowledge(13).tick()
    expect(isCaughtUp()).toBe(false)
    acknowledge(13).tick(2)
    expect(isCaughtUp()).toBe(true)
    rig.node.propose(new Uint8Array([1]))
    rig.tick(12)
    expect(isCaughtUp()).toBe(false)
  })

  test('a new voter does not cost the leader its quorum before it could answer', () => {
    const network = started(3, { ids: ['a', 'b'], blank: ['c'] })
    network.crash('c')
    network.change('a', change(add('c')))
    network.tickAll(25)
    expect(network.leader()?.id).toBe('a')
  })
})

describe('joint consensus', () => {
  test('auto: two voters at once go through a joint configuration that leaves itself', () => {
    const network = started(4)
    network.change('a', change(add('d'), add('e')))
    network.tickAll(10)
    for (const id of [...abc, 'd', 'e']) expect(network.node(id).status().configuration).toEqual(configurationOf(['a', 'b', 'c', 'd', 'e']))
  })

  test('explicit: the joint configuration stays until it is left', () => {
    const network = started(5)
    network.change('a', { transition: 'explicit', steps: [add('d'), learn('a')] })
    network.tickAll(10)
    expect(network.node('b').status().configuration).toEqual(
      configurationOf(['b', 'c', 'd'], { votersOutgoing: abc, learnersNext: ['a'] }),
    )
    expect(network.change('a', change(add('e')))).toMatchObject({ reason: 'invalidChange' })
    network.settle()
    network.change('a', leave)
    network.tickAll(10)
    expect(network.node('b').status().configuration).toEqual(configurationOf(['b', 'c', 'd'], { learners: ['a'] }))
    expect(network.node('a').status().role).toBe('follower')
  })

  test('statement 29: while joint, neither half alone commits, nor leaves', () => {
    const configuration = configurationOf(['a', 'd', 'e'], { votersOutgoing: abc, autoLeave: true })
    const rig = new Rig({ snapshot: { index: 1, term: 1, configuration }, hardState: { term: 1, vote: null, commit: 1 } }).becomeLeader()
    const acknowledge = (from: string, index: number): Rig => rig.receive({ kind: 'appendResponse', from, index })
    // The leave is appended at once, behind the leader's own entry, and like it takes both halves.
    expect(rig.node.status()).toMatchObject({ lastIndex: 3, commit: 1 })
    acknowledge('b', 3)
    acknowledge('c', 3)
    expect(rig.node.status().commit).toBe(1)
    acknowledge('d', 2)
    expect(rig.node.status().commit).toBe(2)
    expect(rig.node.status().configuration.votersOutgoing).toEqual(abc)
    acknowledge('d', 3)
    expect(rig.node.status().configuration).toEqual(configurationOf(['a', 'd', 'e']))
  })

  test('statement 29: an election in a joint configuration takes both halves', () => {
    const configuration = configurationOf(['a', 'd', 'e'], { votersOutgoing: abc })
    const rig = new Rig({ snapshot: { index: 1, term: 1, configuration }, hardState: { term: 1, vote: null, commit: 1 } }, { preVote: false })
    rig.node.campaign()
    rig.run()
    for (const from of ['d', 'e']) rig.receive({ kind: 'voteResponse', from })
    expect(rig.node.status().role).toBe('candidate')
    rig.receive({ kind: 'voteResponse', from: 'b' })
    expect(rig.node.status().role).toBe('leader')
  })

  test('statement 30: auto-leave happens although the leader changes in between', () => {
    const network = started(6)
    network.change('a', change(add('d'), add('e')))
    // The joint configuration is committed and applied at the leader, then it is lost before the leave gets out.
    for (let steps = 0; network.node('a').status().configuration.votersOutgoing.length === 0; steps += 1) {
      if (steps > 50) throw new Error('never joint')
      network.settleReadys()
      network.deliver(0)
    }
    network.inFlight = []
    network.crash('a')
    network.tickAll(120)
    expect(network.leader()).not.toBeNull()
    network.restart('a')
    network.tickAll(40)
    for (const id of [...abc, 'd', 'e']) expect(network.node(id).status().configuration).toEqual(configurationOf(['a', 'b', 'c', 'd', 'e']))
  })
})

describe('statement 31: a leader that is removed', () => {
  test('does not count itself, and steps down when the removal is applied', () => {
    const rig = new Rig().becomeLeader().acknowledgeAll()
    rig.node.proposeConfChange(change(remove('a')))
    rig.run().receive({ kind: 'appendResponse', from: 'b', index: 2 })
    expect(rig.node.status()).toMatchObject({ role: 'follower', leader: null, configuration: { voters: ['b', 'c'] } })
  })

  test('or stays, uncounted and refusing proposals, when the option says so', () => {
    const rig = new Rig({}, { stepDownOnRemoval: false }).becomeLeader().acknowledgeAll()
    rig.node.proposeConfChange(change(remove('a')))
    rig.node.propose(new Uint8Array([1]))
    rig.run().receive({ kind: 'appendResponse', from: 'b', index: 2 })
    expect(rig.node.status()).toMatchObject({ role: 'leader', commit: 2 })
    rig.receive({ kind: 'appendResponse', from: 'b', index: 3 })
    expect(rig.node.status().commit).toBe(2)
    rig.receive({ kind: 'appendResponse', from: 'c', index: 3 })
    expect(rig.node.status().commit).toBe(3)
    expect(rig.node.propose(new Uint8Array([1]))).toEqual({ kind: 'refused', reason: 'notMember' })
  })

  test('of an earlier term: stays until its own empty entry is committed by the others', () => {
    const entries = [configEntry(1, 1, change(remove('a')))]
    const rig = new Rig({ hardState: { term: 1, vote: null, commit: 0 }, entries }).becomeLeader()
    rig.node.step({ kind: 'appendResponse', from: 'b', to: 'a', term: 2, index: 2, reject: false, hintIndex: 0, hintTerm: 0 })
    rig.run()
    // Committed by a and b of three; the entry of term 2 stands behind the removal and is committed with it.
    expect(rig.node.status()).toMatchObject({ commit: 2, applied: 2, role: 'follower' })
  })

  test('the others elect a leader', () => {
    const network = started(7)
    network.change('a', change(remove('a')))
    network.tickAll(40)
    expect(['b', 'c']).toContain(network.leader()?.id)
  })

  test('of two: even if the word of the commit was lost and its log is longer, the other leads in the end', () => {
    const network = started(8, { ids: ['a', 'b'], blank: [] })
    network.change('a', change(remove('a')))
    network.settleReadys()
    // b has the removal; a appends one more entry, and is cut off right after b's acknowledgement arrives.
    while (network.inFlight.some((message) => message.to === 'b')) network.deliver(network.inFlight.findIndex((message) => message.to === 'b'))
    network.settleReadys()
    network.propose('a', 'behind the removal')
    network.cutLinks.add('a>b')
    network.settle()
    expect(network.node('a').status()).toMatchObject({ role: 'follower', configuration: { voters: ['b'] } })
    expect(network.node('b').status().configuration.voters).toEqual(['a', 'b'])
    network.cutLinks.clear()
    network.tickAll(60)
    expect(network.node('b').status()).toMatchObject({ role: 'leader', configuration: { voters: ['b'] } })
    expect(network.node('a').status().role).toBe('follower')
  })

  test('statement 10: a removed server with an up-to-date log cannot depose the leader', () => {
    const network = started(9)
    network.change('a', change(remove('c')))
    network.tickAll(5)
    for (let round = 0; round < 5; round += 1) {
      network.node('c').campaign()
      network.tickAll(20)
    }
    expect(network.leader()?.id).toBe('a')
    expect(network.elections).toBe(1)
  })
})
