// One seed: forms a cluster, lets clients and faults loose on it, heals it, and sees whether everything held and everything ended.
import { defaultTickMs } from '../../src/cluster/cluster.ts'
import type { StoredOperation } from '../../src/model/operation.ts'
import { Clients } from './clients.ts'
import { FaultPlan } from './faults.ts'
import { foreignLeftovers, untold } from './migration.ts'
import { Registers } from './registers.ts'
import { Replacement } from './replacement.ts'
import { minimum, shortcoming, type SeedReport } from './report.ts'
import { describe, formCluster, World } from './world.ts'

/** Until then faults come; a while later clients stop; the whole takes at least five minutes. All since the world began, milliseconds. */
const chaosEndMs = 240_000
const clientsEndMs = 280_000
const endMs = 300_000
/** After the last fault there has to be a leader, and after the last client every operation over, within so long. */
const recoveryMs = 30_000
const settlingMs = 90_000

type Progress = { clients?: Clients; registers?: Registers; plan?: FaultPlan; replacement?: Replacement; recoveryMs?: number }

/** Never throws: what went wrong is in the report. */
export async function runSeed(seed: number, options: { readonly onNote: ((note: string) => void) | undefined }): Promise<SeedReport> {
  const startMs = performance.now()
  const world = new World({ seed, onNote: options.onNote })
  const progress: Progress = {}
  try {
    await story(world, progress, seed)
  } catch (error) {
    world.checker.violate(describe(error))
  }
  const { clients, registers, plan, replacement } = progress
  const { checker } = world
  const report: SeedReport = {
    seed,
    failure: checker.violation,
    nodes: world.hosts.length,
    simulatedMs: Math.floor(world.queue.nowMs),
    wallMs: Math.round(performance.now() - startMs),
    events: world.events,
    commands: clients?.tally ?? { acknowledged: 0, refused: 0, notDone: 0, unknown: 0 },
    reads: clients?.reads ?? 0,
    registers: { operations: registers?.operations ?? 0, localReads: registers?.localReads ?? 0 },
    recoveryTicks: Math.ceil((progress.recoveryMs ?? 0) / defaultTickMs),
    faults: { ...plan?.counts, ...(replacement?.state === 'replaced' ? { hostReplaced: 1 } : {}) },
    elections: checker.elections,
    leaderChanges: checker.leaderChanges,
    snapshots: world.snapshots,
    vmStarts: world.vmStarts,
    vmStops: world.vmStops,
    operations: operationsOf(world),
    migrations: migrationsOf(world),
    entriesChecked: checker.entriesChecked,
    statesCompared: checker.statesCompared,
    lastIndex: checker.lastIndex,
    traceHash: checker.traceHash,
  }
  return { ...report, failure: report.failure ?? shortcoming(report) }
}

/** Safety under every fault at once, then liveness once they are over, then whether all that was acknowledged is there. */
async function story(world: World, progress: Progress, seed: number): Promise<void> {
  const count = world.random.pick([3, 3, 3, 3, 4, 5, 5, 7])
  const caller = await formCluster(world, count)
  const registers = new Registers(world, caller, world.random.fork())
  world.onApplied = (host, index) => registers.applied(host, index)
  const clients = new Clients(world, caller, { thinkMsMax: world.random.pick([1000, 1800]) })
  const plan = new FaultPlan(world)
  const replacement = new Replacement(world, caller, seed)
  Object.assign(progress, { clients, registers, plan, replacement })
  await safetyPhase(world, progress as Required<Progress>)
  await livenessPhase(world, progress as Required<Progress>)
  if (world.checker.violation === null) durabilityPhase(world, registers)
}

async function safetyPhase(world: World, { clients, registers, plan, replacement }: Required<Progress>): Promise<void> {
  world.flood = (host) => clients.burst(host)
  world.crowd = (host, what) => registers.crowd(host, what)
  clients.start(world.random.between(2, 4))
  registers.start(3)
  plan.start()
  replacement.start()
  await world.run(chaosEndMs - 30_000)
  if (world.checker.leaderChanges === 0) plan.force('leaderCrash')
  await world.run(chaosEndMs)
  plan.stop()
}

/** Everything is healed: a leader, progress, and an end to all that was begun, each within its bound. */
async function livenessPhase(world: World, progress: Required<Progress>): Promise<void> {
  const { clients, registers, replacement } = progress
  const { queue } = world
  world.note('calm')
  for (const host of world.hosts) world.boot(host)
  const calmMs = queue.nowMs
  const calmIndex = world.checker.lastIndex
  await world.until('there is a leader again, and it commits', recoveryMs, () => world.leader?.node?.app.readiness() === null && world.checker.lastIndex > calmIndex)
  progress.recoveryMs = queue.nowMs - calmMs
  await world.run(Math.max(clientsEndMs, queue.nowMs + 10_000))
  await world.run(queue.nowMs + 240_000, () => clients.count >= minimum.commands)
  clients.stop()
  registers.stop()
  await world.until('the lost host is replaced', recoveryMs, () => replacement.isOver)
  await world.until(() => `every operation has ended, but for ${unfinished(world).join('; ')}`, settlingMs, () => unfinished(world).length === 0)
  await world.until('every node is where the history ends', recoveryMs, () => alive(world).every((host) => host.node?.cluster.state.index === world.checker.lastIndex))
  await world.until(() => `nothing is left where it does not belong, but ${misplaced(world) ?? 'nothing'}`, recoveryMs, () => misplaced(world) === null)
  await world.run(endMs)
}

/** Every acknowledged write is there, once, on every node; and all answers fit one order of events. */
function durabilityPhase(world: World, registers: Registers): void {
  world.checker.finish(alive(world).flatMap((host) => (host.node === null ? [] : [{ nodeId: host.name, cluster: host.node.cluster }])))
  const verdict = registers.verdict()
  if (verdict !== null) world.checker.violate(verdict)
}

const alive = (world: World): World['hosts'] => world.hosts.filter((host) => !host.isDamaged)

/** A damaged node's VMs are nobody's until it rejoins: their operations wait for it, and so does a drain that has a VM on the way there. */
function unfinished(world: World): readonly string[] {
  const state = world.leader?.node?.cluster.state
  if (state === undefined) return ['no leader']
  const damaged = new Set(world.hosts.filter((host) => host.isDamaged).map((host) => host.nodeId as string))
  const open = [...state.tables.operation.values()].filter((operation) => operation.endedMs === null)
  const isHeldUp = ({ nodeId, drain }: StoredOperation): boolean =>
    damaged.has(nodeId ?? '') || (drain !== undefined && open.some((each) => each.move?.sourceId === nodeId && damaged.has(each.nodeId ?? '')))
  return open.filter((operation) => !isHeldUp(operation)).map((operation) => `${operation.spec.operation} of ${operation.spec.target.name} (${operation.state}, step ${operation.step}) at ${state.tables.node.get(operation.nodeId ?? '')?.name ?? 'nowhere'}`)
}

function misplaced(world: World): string | null {
  const state = world.leader?.node?.cluster.state
  if (state === undefined) return 'there is no leader'
  return foreignLeftovers({ hosts: alive(world) }, state) ?? untold(state)
}

/** Ended migrations by outcome. */
function migrationsOf(world: World): Readonly<Record<string, number>> {
  const states = world.hosts.flatMap((host) => (host.node === null ? [] : [host.node.cluster.state]))
  const counts: Record<string, number> = {}
  const latest = states.toSorted((left, right) => right.index - left.index)[0]
  for (const { live, outcome } of latest?.tables.migration.values() ?? []) counts[`${live ? 'live' : 'cold'} ${outcome}`] = (counts[`${live ? 'live' : 'cold'} ${outcome}`] ?? 0) + 1
  return counts
}

function operationsOf(world: World): number {
  return Math.max(0, ...world.hosts.map((host) => [...(host.node?.cluster.state.tables.operation.values() ?? [])].filter((operation) => operation.endedMs !== null).length))
}
