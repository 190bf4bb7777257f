// Plays a text transcript: lines that begin with ">" are commands, what they bring about is written below them.
import type { ConfChange, ConfChangeStep, Configuration, ElectionPriority, Entry, Message, ProposeResult, RaftId, Ready } from '../../../src/raft/types.ts'
import { RaftNetwork, textOf } from './network.ts'

type Player = { network: RaftNetwork | null; lines: string[] }

/** The transcript as it should read: comments, blank lines and commands as given, outcomes as they are. */
export function playTranscript(text: string): string {
  const player: Player = { network: null, lines: [] }
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) player.lines.push(line)
    if (!line.startsWith('> ')) continue
    player.lines.push(line)
    perform(player, line.slice(2).split(' '))
  }
  return player.lines.join('\n')
}

/** Commands: see docs/raft.md. */
function perform(player: Player, words: readonly string[]): void {
  const [command, id = '', ...rest] = words
  if (command === 'nodes') {
    player.network = createNetwork(player, words.slice(1))
    return
  }
  const network = player.network
  if (network === null) throw new Error('a transcript begins with "> nodes …"')
  const note = (line: string): void => void player.lines.push(line)
  switch (command) {
    case 'elect': return quietly(player, () => network.elect(id))
    case 'campaign': return network.node(id).campaign()
    case 'propose': return note(showResult(network.propose(id, rest.join(' '))))
    case 'change': return note(showResult(network.change(id, parseChange(rest))))
    case 'transfer': return network.node(id).transferLeadership(rest[0] ?? '')
    case 'read': return network.read(id, rest[0] ?? '')
    case 'forget': return network.node(id).forgetLeader()
    case 'unreachable': return network.node(id).reportUnreachable(rest[0] ?? '')
    case 'compact': return network.compact(id, Number(rest[0]))
    case 'crash': return network.crash(id)
    case 'restart': return network.restart(id)
    case 'given': return network.given(id, parseLog(rest))
    case 'priority': return network.node(id).setElectionPriority(rest[0] as ElectionPriority)
    case 'isolate': return void network.isolated.add(id)
    case 'heal': return network.isolated.clear()
    case 'ready': return void (network.beginReady(id) && network.finishSync(id))
    case 'settle': return network.settle()
    case 'tick':
      for (let time = Number(rest[0] ?? 1); time > 0; time -= 1) network.tick(id)
      return
    case 'deliver': return eachMessage(network, words.slice(1), (position) => network.deliver(position))
    case 'repeat': return repeatMessages(network, words.slice(1))
    case 'late': return lateMessages(network, words.slice(1))
    case 'lose': return eachMessage(network, words.slice(1), (position) => network.lose(position))
    case 'status': return note(showStatus(network, id))
    case 'log': return note(showLog(network, id))
    default: throw new Error(`unknown command: ${command ?? ''}`)
  }
}

/** Leaves out what is the same everywhere. */
function quietly(player: Player, act: () => void): void {
  const { length } = player.lines
  act()
  player.lines.length = length
}

/** `nodes a b c blank=d,e preVote=false electionTicks=5 lease=4`; the clock of leases goes on when a member ticks a second time. */
function createNetwork(player: Player, words: readonly string[]): RaftNetwork {
  const settings = new Map(words.filter((word) => word.includes('=')).map((word) => word.split('=') as [string, string]))
  const node = Object.fromEntries(
    [...settings].filter(([name]) => name !== 'blank' && name !== 'lease').map(([name, value]) => [name, value === 'true' || (value !== 'false' && Number(value))]),
  )
  const trace = {
    ready: (id: RaftId, ready: Ready): void => void player.lines.push(...showReady(id, ready)),
    message: (message: Message, isLost: boolean): void => void player.lines.push(`  ${isLost ? 'lost ' : ''}${showMessage(message)}`),
  }
  const durationMs = Number(settings.get('lease') ?? 0)
  const lease = durationMs === 0 ? {} : { lease: { durationMs, monotonicMs: (): number => network.nowTicks } }
  const network: RaftNetwork = new RaftNetwork({
    ids: words.filter((word) => !word.includes('=')),
    blank: settings.get('blank')?.split(',') ?? [],
    seed: 1,
    node: { random: () => 0, ...node, ...lease },
    trace,
  })
  return network
}

type Matcher = (message: Message) => boolean

/** `a b append`: messages in flight from a to b of that kind; `*` and absence match everything. */
function matcherOf([from = '*', to = '*', kind = '*']: readonly string[]): Matcher {
  return (message) => (from === '*' || message.from === from) && (to === '*' || message.to === to) && (kind === '*' || message.kind === kind)
}

function eachMessage(network: RaftNetwork, words: readonly string[], act: (position: number) => void): void {
  const matches = matcherOf(words)
  for (let left = network.inFlight.filter(matches).length; left > 0; left -= 1) act(network.inFlight.findIndex(matches))
}

/** The same messages once more, behind all others. */
function repeatMessages(network: RaftNetwork, words: readonly string[]): void {
  network.inFlight.push(...network.inFlight.filter(matcherOf(words)))
}

/** They fall behind all others. */
function lateMessages(network: RaftNetwork, words: readonly string[]): void {
  const matches = matcherOf(words)
  network.inFlight = [...network.inFlight.filter((message) => !matches(message)), ...network.inFlight.filter(matches)]
}

/** `1,1,4 term=6 commit=2`: the terms of entries 1, 2, 3. */
function parseLog(words: readonly string[]): Parameters<RaftNetwork['given']>[1] {
  const settings = new Map(words.filter((word) => word.includes('=')).map((word) => word.split('=') as [string, string]))
  const terms = words.filter((word) => !word.includes('=')).flatMap((word) => word.split(',').map(Number))
  return { terms, term: Number(settings.get('term') ?? terms.at(-1) ?? 0), commit: Number(settings.get('commit') ?? 0) }
}

/** `explicit va lb rc`: transition, then voters to add, learners to add, members to remove. */
function parseChange(words: readonly string[]): ConfChange {
  const kinds: Readonly<Record<string, ConfChangeStep['kind']>> = { v: 'addVoter', l: 'addLearner', r: 'remove' }
  const [transition, ...steps] = words
  return {
    transition: transition as ConfChange['transition'],
    steps: steps.map((step) => ({ kind: kinds[step.slice(0, 1)] ?? 'remove', id: step.slice(1) })),
  }
}

function showReady(id: RaftId, ready: Ready): string[] {
  const parts: string[] = []
  if (ready.softState !== null) parts.push(`${ready.softState.role} leader=${ready.softState.leader ?? '-'}`)
  if (ready.hardState !== null) {
    const { term, vote, commit } = ready.hardState
    parts.push(`hard(term=${term} vote=${vote ?? '-'} commit=${commit})`)
  }
  if (ready.snapshot !== null) parts.push(`snapshot(${ready.snapshot.term}/${ready.snapshot.index} ${showConfiguration(ready.snapshot.configuration)})`)
  if (ready.entries.length > 0) parts.push(`write[${showEntries(ready.entries)}]`)
  if (ready.committed.length > 0) parts.push(`apply[${showEntries(ready.committed)}]`)
  for (const read of ready.readStates) parts.push(`read(${read.context} ${read.index ?? 'dropped'})`)
  return parts.length === 0 ? [] : [`${id}: ${parts.join(' ')}${ready.mustSync ? ' sync' : ''}`]
}

function showMessage(message: Message): string {
  return `${message.from}→${message.to} ${message.kind} t${message.term}${showFields(message)}`
}

function showFields(message: Message): string {
  switch (message.kind) {
    case 'vote':
    case 'preVote':
      return ` last=${message.lastTerm}/${message.lastIndex}${message.transfer ? ' transfer' : ''}`
    case 'voteResponse':
    case 'preVoteResponse':
      return message.reject ? ' no' : ' yes'
    case 'append':
      return ` prev=${message.prevTerm}/${message.prevIndex} commit=${message.commit} [${showEntries(message.entries)}]`
    case 'appendResponse':
      return message.reject ? ` refused=${message.index} hint=${message.hintTerm}/${message.hintIndex}` : ` match=${message.index}`
    case 'heartbeat':
      return ` commit=${message.commit}${message.context === '' ? '' : ` round=${message.context}`}`
    case 'heartbeatResponse':
      return `${message.context === '' ? '' : ` round=${message.context}`}${message.promise ? ' promise' : ''}`
    case 'snapshot':
      return ` ${message.snapshot.term}/${message.snapshot.index} ${showConfiguration(message.snapshot.configuration)}`
    case 'transferLeader':
      return ` to=${message.transferee}`
    case 'readIndex':
      return ` ${message.context}`
    case 'readIndexResponse':
      return ` ${message.context} ${message.reject ? 'dropped' : message.index}`
    case 'timeoutNow':
    case 'forget':
      return ''
  }
}

function showEntries(entries: readonly Entry[]): string {
  return entries.map((entry) => `${entry.term}/${entry.index}${entry.kind === 'config' ? ' change' : entry.data.length > 0 ? ` ${textOf(entry.data)}` : ''}`).join(', ')
}

function showConfiguration(configuration: Configuration): string {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = configuration
  const halves = votersOutgoing.length > 0 ? `(${voters.join(' ')})&(${votersOutgoing.join(' ')})` : `(${voters.join(' ')})`
  const rest = [learners.length > 0 ? ` learners=${learners.join(' ')}` : '', learnersNext.length > 0 ? ` next=${learnersNext.join(' ')}` : '', autoLeave ? ' auto' : '']
  return `${halves}${rest.join('')}`
}

function showResult(result: ProposeResult): string {
  switch (result.kind) {
    case 'appended': return `appended ${result.term}/${result.index}`
    case 'notLeader': return `not the leader, that is ${result.leader ?? 'nobody'}`
    case 'refused': return `refused: ${result.reason}`
  }
}

function showStatus(network: RaftNetwork, id: RaftId): string {
  const { role, term, leader, commit, lastIndex, configuration, transferee, progress } = network.node(id).status()
  const peers = Object.entries(progress)
    .filter(([peer]) => peer !== id)
    .map(([peer, { state, match, next, inflight, pendingSnapshot }]) =>
      `\n  ${peer}: ${state} match=${match} next=${next}${inflight > 0 ? ` inflight=${inflight}` : ''}${pendingSnapshot > 0 ? ` pending=${pendingSnapshot}` : ''}`)
  const transfer = transferee === null ? '' : ` transfer=${transferee}`
  return `${role} term=${term} leader=${leader ?? '-'} commit=${commit} last=${lastIndex} ${showConfiguration(configuration)}${transfer}${peers.join('')}`
}

function showLog(network: RaftNetwork, id: RaftId): string {
  const { entries, snapshot } = network.member(id).disk
  return `${snapshot === null ? '' : `after ${snapshot.term}/${snapshot.index}: `}${showEntries(entries)}`
}
