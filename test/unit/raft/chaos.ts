// One seeded run of a small cluster under faults, then healed: what the network checks on the way must hold, and it must make progress again.
import type { RaftNodeOptions } from '../../../src/raft/options.ts'
import type { ConfChange, Message, RaftId } from '../../../src/raft/types.ts'
import { RaftNetwork, seededRandom } from './network.ts'

export type ChaosOptions = {
  readonly seed: number
  readonly steps: number
  readonly node?: Partial<RaftNodeOptions>
}

export type ChaosReport = { readonly network: RaftNetwork; readonly faults: Readonly<Record<string, number>> }

type Run = {
  readonly network: RaftNetwork
  readonly random: (bound: number) => number
  readonly isStorm: boolean
  readonly faults: Record<string, number>
  readonly late: Message[]
  serial: number
}

const all = ['a', 'b', 'c', 'd', 'e']
/** Messages kept back for a very late second delivery. */
const lateMessagesMax = 16

/** Throws with what was violated. Each seed draws which faults it has. */
export function runChaos(options: ChaosOptions): ChaosReport {
  const { seed, steps } = options
  const random = seededRandom(seed ^ 0x5eed)
  // In a storm nobody is held back from campaigning, and leaders follow each other fast.
  const isStorm = random(3) === 0
  const votersCount = random(3) === 0 ? 5 : random(4) === 0 ? 2 : 3
  const node = {
    electionTicks: 2 + random(9),
    inflightMessagesMax: 1 + random(4),
    messageBytesMax: random(2) === 0 ? 1 : 100,
    committedBytesMax: 1 + random(100),
  }
  // Lease reads on every second seed: while the lease lasts no member has as many ticks as it promised.
  const hasLease = !isStorm && seed % 2 === 1 && node.electionTicks > 3
  const lease = { durationMs: node.electionTicks - 2, monotonicMs: (): number => network.nowTicks }
  const network: RaftNetwork = new RaftNetwork({
    ids: all.slice(0, votersCount),
    blank: all.slice(votersCount),
    seed,
    node: { ...node, ...(hasLease ? { lease } : {}), ...(isStorm ? { preVote: false, checkQuorum: false } : {}), ...options.node },
  })
  const run: Run = { network, random, isStorm, faults: {}, serial: 0, late: [] }
  const events = drawEvents(run)
  for (let step = 0; step < steps; step += 1) {
    const event = events[run.random(events.length)]
    event?.()
  }
  heal(run)
  return { network, faults: run.faults }
}

/** The events of this seed, frequent ones repeated; faults are in or out by the toss of a coin. */
function drawEvents(run: Run): readonly (() => void)[] {
  const { network, random } = run
  const pick = <Value>(values: readonly Value[]): Value => values[random(values.length)] as Value
  const member = (): RaftId => pick(all)
  const position = (): number => random(network.inFlight.length)
  const isAnyInFlight = (): boolean => network.inFlight.length > 0
  const fault = (name: string, act: () => boolean): (() => void) => () => {
    if (act()) run.faults[name] = (run.faults[name] ?? 0) + 1
  }
  const events: (() => void)[] = []
  const add = (times: number, act: () => void): void => {
    for (let time = 0; time < times; time += 1) events.push(act)
  }
  const maybe = (times: number, act: () => void): void => {
    if (random(2) === 0) add(times, act)
  }
  // A queue that grows for ever would only mean that nothing ever arrives in time.
  add(20, () => {
    for (let backlog = 1 + Math.floor(network.inFlight.length / 10); backlog > 0; backlog -= 1) network.deliver(0)
  })
  add(20, () => anyMember(run, (id) => network.beginReady(id)))
  add(20, () => anyMember(run, (id) => network.finishSync(id)))
  add(random(12) + 1, () => network.tick(member()))
  add(4, () => propose(run, member()))
  add(4, () => propose(run, network.leader()?.id ?? member()))
  add(2, () => read(run, member()))
  maybe(8, fault('reorder', () => isAnyInFlight() && (network.deliver(position()), true)))
  maybe(1 + random(4), fault('lose', () => isAnyInFlight() && (network.lose(position()), true)))
  maybe(3, fault('repeat', () => isAnyInFlight() && network.inFlight.length < 200 && repeat(run, position())))
  maybe(3, fault('late', () => late(run)))
  maybe(1, fault('crash', () => random(run.isStorm ? 1 : 4) === 0 && crash(run, member())))
  maybe(1, fault('crashLeader', () => random(run.isStorm ? 1 : 5) === 0 && crash(run, network.leader()?.id ?? member())))
  maybe(1, fault('isolate', () => random(6) === 0 && network.isolated.size < 2 && (network.isolated.add(member()), true)))
  maybe(1 + random(2), fault('regroup', () => random(3) === 0 && regroup(run)))
  maybe(1, fault('cutLink', () => random(4) === 0 && network.cutLinks.size < 3 && (network.cutLinks.add(`${member()}>${member()}`), true)))
  maybe(1 + random(4), fault('campaign', () => random(run.isStorm ? 3 : 6) === 0 && (up(run, member(), (id) => network.node(id).campaign()), true)))
  maybe(1, fault('transfer', () => random(3) === 0 && (up(run, member(), (id) => network.node(id).transferLeadership(member())), true)))
  maybe(1, fault('forget', () => random(4) === 0 && (up(run, member(), (id) => network.node(id).forgetLeader()), true)))
  maybe(1 + random(3), fault('change', () => change(run, network.leader()?.id ?? member(), drawChange(run, pick))))
  maybe(1, () => up(run, member(), (id) => network.compact(id, network.node(id).status().applied)))
  add(1, () => random(3) === 0 && reconnect(run))
  add(3, () => network.restart(member()))
  return events
}

/** The first member, beginning anywhere, that has something to do. */
function anyMember(run: Run, act: (id: RaftId) => boolean): void {
  const start = run.random(all.length)
  for (const offset of all.keys()) {
    if (act(all[(start + offset) % all.length] as RaftId)) return
  }
}

function up(run: Run, id: RaftId, act: (id: RaftId) => void): void {
  if (run.network.member(id).isUp) act(id)
}

function propose(run: Run, id: RaftId): void {
  run.serial += 1
  up(run, id, () => run.network.propose(id, `value ${run.serial}`))
}

function read(run: Run, id: RaftId): void {
  run.serial += 1
  run.network.read(id, `read ${run.serial}`)
}

function repeat(run: Run, position: number): boolean {
  const message = run.network.inFlight[position]
  if (message === undefined || message.kind === 'snapshot') return false
  run.network.inFlight.splice(run.random(run.network.inFlight.length), 0, message)
  return true
}

/** Keeps messages and delivers them once more, long after; a snapshot only while its image is known, which is for ever here. */
function late(run: Run): boolean {
  const { network, random } = run
  if (run.late.length < lateMessagesMax || random(4) === 0) {
    const message = network.inFlight[random(network.inFlight.length + 1)]
    if (message !== undefined) run.late[run.late.length < lateMessagesMax ? run.late.length : random(lateMessagesMax)] = message
    return false
  }
  const message = run.late[random(run.late.length)]
  if (message === undefined) return false
  network.receive(message)
  return true
}

/** Two halves by lot; somebody campaigns in his. */
function regroup(run: Run): boolean {
  const { network, random } = run
  for (const id of all) network.groups.set(id, random(2))
  const id = all[random(all.length)] as RaftId
  if (run.isStorm) up(run, id, () => network.node(id).campaign())
  return true
}

function reconnect(run: Run): void {
  run.network.isolated.clear()
  run.network.cutLinks.clear()
  run.network.groups.clear()
}

function crash(run: Run, id: RaftId): boolean {
  if (!run.network.member(id).isUp) return false
  run.network.crash(id)
  return true
}

function change(run: Run, id: RaftId, wanted: ConfChange): boolean {
  const { network } = run
  if (!network.member(id).isUp || network.node(id).status().role !== 'leader') return false
  return network.change(id, wanted).kind === 'appended'
}

function drawChange(run: Run, pick: <Value>(values: readonly Value[]) => Value): ConfChange {
  const kinds = ['addVoter', 'addVoter', 'addLearner', 'remove'] as const
  const step = (): ConfChange['steps'][number] => ({ kind: pick(kinds), id: pick(all) })
  const transition = pick(['auto', 'simple', 'implicit', 'explicit'] as const)
  if (run.random(5) === 0) return { transition: 'auto', steps: [] }
  return { transition, steps: run.random(2) === 0 ? [step()] : [step(), step()] }
}

/** All members up, nothing lost: there must be a leader, and a new entry reaches every member of the configuration. */
function heal(run: Run): void {
  const { network } = run
  reconnect(run)
  for (const id of all) network.restart(id)
  for (let round = 0; round < 30; round += 1) {
    network.tickAll(10)
    const leader = network.leader()
    if (leader === null) continue
    const { configuration } = leader.node.status()
    const { votersOutgoing, autoLeave } = configuration
    if (votersOutgoing.length > 0) {
      if (!autoLeave) network.change(leader.id, { transition: 'auto', steps: [] })
      continue
    }
    const proposed = network.propose(leader.id, `healed ${round}`)
    network.tickAll(5)
    if (proposed.kind !== 'appended') continue
    const members = [...configuration.voters, ...configuration.learners]
    if (members.every((id) => network.node(id).status().applied >= proposed.index)) {
      checkOpenReads(run)
      return
    }
  }
  const states = all.map((id) => JSON.stringify(network.node(id).status()))
  throw new Error(`no progress after healing:\n${states.join('\n')}`)
}

/** Every read is answered, with an index or as dropped. */
function checkOpenReads(run: Run): void {
  run.network.tickAll(30)
  for (const [id, member] of run.network.members) {
    if (member.reads.size > 0) throw new Error(`${id} never answered reads ${[...member.reads.keys()].join(', ')}`)
  }
}
