// The core's whole face, used as somebody would who knows docs/raft.md only: every call, every option, every free function.
import { describe, expect, test } from 'vitest'
import { enterJoint, leaveJoint, simpleChange } from '../../../src/raft/confchange.ts'
import { RaftNode, type RestoredRaft } from '../../../src/raft/node.ts'
import type { RaftNodeOptions } from '../../../src/raft/options.ts'
import { committedIndex, emptyConfiguration, voteResult } from '../../../src/raft/quorum.ts'
import type { Configuration, Entry, LogIndex, Message, RaftId, ReadState, Ready } from '../../../src/raft/types.ts'

const abc = ['a', 'b', 'c']
const text = (words: string): Uint8Array => new TextEncoder().encode(words)
const fresh = { hardState: null, snapshot: null, entries: [] }
const configuration = (voters: readonly RaftId[], rest: Partial<Configuration> = {}): Configuration => ({ ...emptyConfiguration, voters, ...rest })
const create = (id: RaftId, options: Partial<RaftNodeOptions> = {}, restored: Partial<RestoredRaft> = { voters: abc }): RaftNode =>
  new RaftNode({ id, random: () => 0, ...options }, { ...fresh, ...restored })

/** A driver as the contract of Ready wants it, and no more: messages wait in `mail` until they are delivered. */
class World {
  readonly nodes = new Map<RaftId, RaftNode>()
  readonly applied = new Map<RaftId, Entry[]>()
  readonly reads: ReadState[] = []
  mail: Message[] = []

  constructor(ids: readonly RaftId[], options: Partial<RaftNodeOptions> = {}, restored: Partial<RestoredRaft> = { voters: ids }) {
    for (const id of ids) this.nodes.set(id, create(id, options, restored))
  }

  node(id: RaftId): RaftNode {
    return this.nodes.get(id)!
  }

  /** One Ready from beginning to end; null when there is none. */
  ready(id: RaftId): Ready | null {
    const node = this.node(id)
    if (!node.hasReady()) return null
    const ready = node.ready()
    this.mail.push(...ready.messages)
    for (const message of ready.messagesAfterSync) {
      if (message.to === id) node.step(message)
      else this.mail.push(message)
    }
    this.reads.push(...ready.readStates)
    for (const entry of ready.committed) {
      if (entry.kind === 'config') node.applyConfChange(entry)
      this.applied.set(id, [...(this.applied.get(id) ?? []), entry])
    }
    node.advance()
    return ready
  }

  settle(isLost: (message: Message) => boolean = () => false): this {
    for (let isBusy = true; isBusy; ) {
      isBusy = false
      for (const id of this.nodes.keys()) while (this.ready(id) !== null) isBusy = true
      const mail = this.mail
      this.mail = []
      for (const message of mail) {
        isBusy = true
        if (!isLost(message)) this.nodes.get(message.to)?.step(message)
      }
    }
    return this
  }

  elect(id: RaftId): this {
    this.node(id).campaign()
    return this.settle()
  }

  texts(id: RaftId): string[] {
    return (this.applied.get(id) ?? []).map((entry) => (entry.kind === 'config' ? 'change' : new TextDecoder().decode(entry.data)))
  }
}

describe('a node', () => {
  test('is created from voters, or from snapshot, log and hard state', () => {
    expect(create('a').status()).toMatchObject({
      id: 'a', role: 'follower', term: 0, vote: null, leader: null, commit: 0, applied: 0, firstIndex: 1, lastIndex: 0, configuration: configuration(abc), progress: {},
    })
    const entries: Entry[] = [{ index: 6, term: 2, kind: 'normal', data: text('x') }]
    const joint = configuration(['a', 'b'], { votersOutgoing: ['a', 'c'], learners: ['l'] })
    const node = create('a', {}, { snapshot: { index: 5, term: 2, configuration: joint }, entries, hardState: { term: 3, vote: 'b', commit: 6 }, applied: 5 })
    expect(node.status()).toMatchObject({ term: 3, vote: 'b', commit: 6, applied: 5, firstIndex: 6, lastIndex: 6, configuration: joint })
    expect(node.ready().committed).toEqual(entries)
  })

  test('ticks in integers: it campaigns after electionTicks plus what the random source says, and a leader beats every heartbeatTicks', () => {
    for (const drawn of [0, 4]) {
      const node = create('a', { electionTicks: 5, heartbeatTicks: 2, random: () => drawn })
      for (let tick = 1; tick < 5 + drawn; tick += 1) node.tick()
      expect(node.status().role).toBe('follower')
      node.tick()
      expect(node.status().role).toBe('preCandidate')
    }
    const world = new World(abc, { electionTicks: 5, heartbeatTicks: 2 }).elect('a')
    world.node('a').tick()
    expect(world.node('a').hasReady()).toBe(false)
    world.node('a').tick()
    expect(world.node('a').ready().messages.map(({ kind, to }) => `${kind} ${to}`)).toEqual(['heartbeat b', 'heartbeat c'])
  })

  test('hands out one Ready at a time: words that need the disk after the others, its own back to itself', () => {
    const node = create('a', { preVote: false })
    node.campaign()
    const vote = node.ready()
    expect(vote).toMatchObject({ softState: { role: 'candidate', leader: null }, hardState: { term: 1, vote: 'a', commit: 0 }, messages: [], mustSync: true })
    expect(vote.messagesAfterSync.map(({ kind, to }) => `${kind} ${to}`)).toEqual(['voteResponse a', 'vote b', 'vote c'])
    expect(node.hasReady()).toBe(false)
    expect(() => node.ready()).toThrow('outstanding')
    node.step(vote.messagesAfterSync[0]!)
    node.step({ kind: 'voteResponse', from: 'b', to: 'a', term: 1, reject: false })
    expect(node.status().role).toBe('leader')
    node.advance()
    const first = node.ready()
    expect(first.messages).toMatchObject([{ kind: 'append', to: 'b', entries: [{ index: 1, term: 1 }] }, { kind: 'append', to: 'c' }])
    expect(first.entries).toEqual([{ index: 1, term: 1, kind: 'normal', data: new Uint8Array(0) }])
    node.step({ kind: 'appendResponse', from: 'b', to: 'a', term: 1, index: 1, reject: false, hintIndex: 0, hintTerm: 0 })
    // One of two votes is its own, and that is not on the disk yet.
    expect(node.status().commit).toBe(0)
    for (const message of first.messagesAfterSync) node.step(message)
    expect(node.status().commit).toBe(1)
    node.advance()
    expect(node.ready()).toMatchObject({ committed: [{ index: 1 }], hardState: { commit: 1 }, mustSync: false })
  })

  test('goes on where it stopped', () => {
    const world = new World(['a']).elect('a')
    const written: Entry[] = []
    world.node('a').propose(text('x'))
    const ready = world.ready('a')!
    written.push(...world.applied.get('a')!, ...ready.entries)
    const again = create('a', {}, { voters: ['a'], hardState: { term: 1, vote: 'a', commit: 1 }, entries: written, applied: 1 })
    expect(again.hasReady()).toBe(false)
    again.campaign()
    expect(again.status()).toMatchObject({ role: 'candidate', term: 2, commit: 1, lastIndex: 2 })
  })
})

describe('calls', () => {
  test('propose: to the leader only, which says where it stands', () => {
    const world = new World(abc).elect('b')
    expect(world.node('a').propose(text('x'))).toEqual({ kind: 'notLeader', leader: 'b' })
    expect(world.node('b').propose(text('x'))).toEqual({ kind: 'appended', index: 2, term: 1 })
    world.settle()
    for (const id of abc) expect(world.texts(id)).toEqual(['', 'x'])
    expect(world.node('b').status().progress).toEqual(Object.fromEntries(abc.map((id) => [id, {
      match: 2, next: 3, state: 'replicate', pendingSnapshot: 0, recentActive: true, inflight: 0, isPaused: false, isCaughtUp: false, isLearner: false,
    }])))
  })

  test('proposeConfChange: simple, joint that leaves itself, explicit, and its leave', () => {
    const world = new World(abc).elect('a')
    const outcomes: string[] = []
    const change = (transition: 'auto' | 'simple' | 'implicit' | 'explicit', ...ids: string[]): void => {
      const steps = ids.map((id) => ({ kind: id.startsWith('-') ? ('remove' as const) : id.startsWith('+') ? ('addVoter' as const) : ('addLearner' as const), id: id.slice(1) }))
      const { kind } = world.node('a').proposeConfChange({ transition, steps })
      world.settle((message) => !abc.includes(message.to))
      const { voters, votersOutgoing, learners, learnersNext } = world.node('a').status().configuration
      outcomes.push(`${kind} ${[voters, votersOutgoing, learners, learnersNext].map((each) => each.join('')).join('/')}`)
    }
    change('auto', '~d')
    change('auto', '+d')
    change('auto', '-d', '~c')
    change('implicit', '+c')
    change('explicit', '+d', '~b')
    change('auto', '+e')
    change('auto')
    change('simple', '+b', '-d')
    expect(outcomes).toEqual([
      'appended abc//d/', 'appended abcd///', 'appended ab//c/', 'appended abc///', 'appended acd/abc//b', 'refused acd/abc//b', 'appended acd//b/', 'refused acd//b/',
    ])
  })

  test('proposeConfChange: a refused one leaves an empty entry; the context comes back', () => {
    const world = new World(abc).elect('a')
    const add = (id: string) => ({ transition: 'auto' as const, steps: [{ kind: 'addLearner' as const, id }], context: text(id) })
    expect(world.node('a').proposeConfChange(add('d')).kind).toBe('appended')
    expect(world.node('a').proposeConfChange(add('e'))).toEqual({ kind: 'refused', reason: 'changePending' })
    const { entries } = world.node('a').ready()
    expect(entries.map(({ kind, data }) => [kind, data.length > 0])).toEqual([['config', true], ['normal', false]])
    expect(new TextDecoder().decode(entries[0]!.data)).toContain('d')
  })

  test('campaign, transferLeadership, forgetLeader', () => {
    const world = new World(abc).elect('a')
    world.elect('b')
    expect(world.node('a').status().role).toBe('leader')
    world.node('a').transferLeadership('c')
    expect(world.node('a').status().transferee).toBe('c')
    world.settle()
    expect(world.node('c').status()).toMatchObject({ role: 'leader', term: 2 })
    world.node('a').forgetLeader()
    expect(world.node('a').status().leader).toBeNull()
    world.node('a').transferLeadership('b')
    world.node('c').forgetLeader()
    expect(world.settle().node('c').status().role).toBe('leader')
    world.node('b').transferLeadership('b')
    expect(world.settle().node('b').status()).toMatchObject({ role: 'leader', term: 3 })
  })

  test('readIndex: at the leader, at a follower, and without a leader', () => {
    const world = new World(abc).elect('a')
    world.node('a').readIndex('one')
    world.node('b').readIndex('two')
    expect(world.settle().reads).toEqual([{ context: 'one', index: 1 }, { context: 'two', index: 1 }])
    const alone = create('a')
    alone.readIndex('three')
    expect(alone.ready().readStates).toEqual([{ context: 'three', index: null }])
  })

  test('reportUnreachable and reportSnapshot', () => {
    const world = new World(abc).elect('a')
    const leader = world.node('a')
    const progressOfC = () => leader.status().progress['c']
    leader.reportUnreachable('c')
    expect(progressOfC()).toMatchObject({ state: 'probe', match: 1, next: 2 })
    leader.propose(text('x'))
    world.settle(({ to }) => to === 'c')
    expect(leader.compact(2)).toBe(2)
    leader.tick()
    // What is refused behind a lost append shows that the entries needed are gone.
    const isImage = (message: Message): boolean => message.kind === 'snapshot'
    world.settle(isImage)
    expect(progressOfC()).toMatchObject({ state: 'snapshot', pendingSnapshot: 2, isPaused: true })
    leader.reportSnapshot('c', 'failed')
    expect(progressOfC()).toMatchObject({ state: 'probe', next: 2, isPaused: true })
    leader.tick()
    world.settle(isImage)
    leader.reportSnapshot('c', 'finished')
    expect(progressOfC()).toMatchObject({ state: 'probe', next: 3 })
  })

  test('step: an image that comes in replaces the log and is applied before what follows', () => {
    const node = create('c', {}, {})
    const snapshot = { index: 9, term: 2, configuration: configuration(['a', 'b'], { learners: ['c'] }), data: text('image') }
    node.step({ kind: 'snapshot', from: 'a', to: 'c', term: 2, snapshot })
    const ready = node.ready()
    expect(ready).toMatchObject({ snapshot, hardState: { term: 2, vote: null, commit: 9 }, entries: [], committed: [], mustSync: true })
    expect(ready.messagesAfterSync).toMatchObject([{ kind: 'appendResponse', to: 'a', index: 9, reject: false }])
    node.advance()
    expect(node.status()).toMatchObject({ commit: 9, applied: 9, firstIndex: 10, leader: 'a', configuration: snapshot.configuration })
  })
})

describe('every option is a switch', () => {
  test('preVote and checkQuorum off: a campaign deposes a leader at once, and a leader without a quorum stays', () => {
    const world = new World(abc, { preVote: false, checkQuorum: false }).elect('a').elect('b')
    expect(world.node('b').status()).toMatchObject({ role: 'leader', term: 2 })
    for (let tick = 0; tick < 50; tick += 1) world.node('b').tick()
    expect(world.node('b').status().role).toBe('leader')
  })

  test('stepDownOnRemoval off: a removed leader leads on, appends nothing more, and does not count itself', () => {
    for (const stepDownOnRemoval of [true, false]) {
      const world = new World(abc, { stepDownOnRemoval }).elect('a')
      world.node('a').proposeConfChange({ transition: 'auto', steps: [{ kind: 'remove', id: 'a' }] })
      world.settle()
      expect(world.node('a').status().role).toBe(stepDownOnRemoval ? 'follower' : 'leader')
      expect(world.node('a').propose(text('x'))).toEqual(stepDownOnRemoval ? { kind: 'notLeader', leader: null } : { kind: 'refused', reason: 'notMember' })
    }
  })

  test('the window, by messages and by bytes', () => {
    for (const window of [{ inflightMessagesMax: 2 }, { inflightBytesMax: 40 }]) {
      const world = new World(abc, { messageBytesMax: 1, ...window }).elect('a')
      for (const words of ['1234', '2345', '3456', '4567']) world.node('a').propose(text(words))
      const { messages } = world.node('a').ready()
      expect(messages.filter(({ to }) => to === 'b')).toHaveLength(2)
      expect(world.node('a').status().progress['b']).toMatchObject({ inflight: 2, isPaused: true, next: 4 })
    }
  })

  test('committedBytesMax: committed entries are handed out in pages', () => {
    const world = new World(['a'], { committedBytesMax: 1 }).elect('a')
    for (const words of ['1', '2', '3']) world.node('a').propose(text(words))
    const pages: LogIndex[][] = []
    for (let ready = world.ready('a'); ready !== null; ready = world.ready('a')) pages.push(ready.committed.map(({ index }) => index))
    expect(pages).toEqual([[], [2], [3], [4]])
  })

  test('uncommittedBytesMax and entryBytesMax: what is beyond is refused and not appended', () => {
    const world = new World(abc, { uncommittedBytesMax: 10, entryBytesMax: 9 }).elect('a')
    expect(world.node('a').propose(text('0123456789'))).toEqual({ kind: 'refused', reason: 'tooLarge' })
    expect(world.node('a').propose(text('012345678')).kind).toBe('appended')
    expect(world.node('a').propose(text('01'))).toEqual({ kind: 'refused', reason: 'uncommittedBytesMax' })
    expect(world.settle().node('a').propose(text('01')).kind).toBe('appended')
  })

  test('values that cannot work are refused at once', () => {
    for (const options of [{ electionTicks: 1 }, { heartbeatTicks: 0 }, { inflightMessagesMax: 0 }, { electionTicks: 2.5 }, { id: '' }]) {
      expect(() => create('a', options), JSON.stringify(options)).toThrow()
    }
  })
})

describe('functions of their own', () => {
  test('committedIndex: majority, joint, nobody', () => {
    const acked = new Map([['a', 5], ['b', 3], ['c', 9], ['d', 1]])
    expect(committedIndex(configuration(abc), acked)).toBe(5)
    expect(committedIndex(configuration(abc, { votersOutgoing: ['a', 'b', 'd'] }), acked)).toBe(3)
    expect(committedIndex(configuration(['a', 'x']), acked)).toBe(0)
    expect(committedIndex(emptyConfiguration, acked)).toBe(Infinity)
  })

  test('voteResult: majority, joint, nobody', () => {
    const votes = new Map([['a', true], ['b', true], ['d', false], ['e', false]])
    expect(voteResult(configuration(abc), votes)).toBe('won')
    expect(voteResult(configuration(['c', 'd', 'e']), votes)).toBe('lost')
    expect(voteResult(configuration(abc, { votersOutgoing: ['a', 'c', 'd'] }), votes)).toBe('pending')
    expect(voteResult(configuration(abc, { votersOutgoing: ['c', 'd', 'e'] }), votes)).toBe('lost')
    expect(voteResult(emptyConfiguration, votes)).toBe('won')
  })

  test('the configuration changer: simple, into a joint configuration, out of it', () => {
    expect(simpleChange(configuration(abc), [{ kind: 'addVoter', id: 'd' }])).toEqual({ kind: 'changed', configuration: configuration(['a', 'b', 'c', 'd']) })
    expect(simpleChange(configuration(abc), [{ kind: 'addVoter', id: 'd' }, { kind: 'remove', id: 'a' }]).kind).toBe('invalid')
    const joint = enterJoint(configuration(abc), [{ kind: 'addLearner', id: 'a' }, { kind: 'addVoter', id: 'd' }], true)
    const expected = configuration(['b', 'c', 'd'], { votersOutgoing: abc, learnersNext: ['a'], autoLeave: true })
    expect(joint).toEqual({ kind: 'changed', configuration: expected })
    expect(enterJoint(expected, [], true).kind).toBe('invalid')
    expect(leaveJoint(expected)).toEqual({ kind: 'changed', configuration: configuration(['b', 'c', 'd'], { learners: ['a'] }) })
    expect(leaveJoint(configuration(abc)).kind).toBe('invalid')
  })
})
