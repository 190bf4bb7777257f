// On the leader: puts on record who leads, who votes and who is silent, as soon as that has settled; the events of it follow in apply.
import { makeCommand } from '../model/command.ts'
import { uuidV7, type NodeId } from '../model/id.ts'
import type { Told } from '../model/told.ts'
import { planObservation } from '../planner/observation.ts'
import type { Cancel, Clock, Random } from '../ports/clock.ts'
import type { Consensus, ConsensusStatus } from '../ports/consensus.ts'
import type { Log } from '../ports/log.ts'
import { mayPropose } from '../state/query.ts'
import type { StateHolder } from '../state/state.ts'

const periodMs = 1_000
/** A leader that does not hold for so long is not told of. */
const settleMs = 2_000
/** A member that the leader has not heard of for so long is silent. */
export const silentMsDefault = 5_000

export type ObservationPorts = { readonly clock: Clock; readonly random: Random; readonly log: Log; readonly consensus: Consensus & StateHolder }

/** What this node has seen since it leads. */
type Reign = { readonly term: number; readonly sinceMs: number; readonly leaderlessMs: number; /** No longer can there have been no leader: this node knew of one. */ readonly leaderlessMsMax: number; /** Since when each was a member, as far as this leader saw. */ readonly memberMs: Map<string, number>; readonly heardMs: Map<string, number> }

export class ObservationController {
  readonly #options: { readonly nodeId: NodeId; readonly silentMs: number }
  readonly #ports: ObservationPorts
  #leaderlessSinceMs: number | null = null
  /** When it saw a quorum last; null before the first. */
  #quorumMs: number | null = null
  #reign: Reign | null = null
  /** Since when this node knows of what was told last, on its steady clock: the state's time stands still while it is ahead of the leader's clock. */
  readonly #toldSince = new Map<string, { readonly told: Told; readonly sinceMs: number }>()
  #busy = false
  #cancel: Cancel | null = null

  constructor(options: { readonly nodeId: NodeId; readonly silentMs?: number | undefined }, ports: ObservationPorts) {
    this.#options = { nodeId: options.nodeId, silentMs: options.silentMs ?? silentMsDefault }
    this.#ports = ports
  }

  start(): void {
    this.#cancel = this.#ports.clock.every(periodMs, () => void this.#look())
  }

  stop(): void {
    this.#cancel?.()
  }

  async #look(): Promise<void> {
    const { consensus, clock } = this.#ports
    const nowMs = clock.monotonicMs()
    this.#followTold(nowMs)
    // Most nodes do not lead: the whole status is gathered for those that do.
    const { quorum, leaderId } = consensus.standing()
    if (!quorum) {
      this.#leaderlessSinceMs ??= nowMs
      if (leaderId !== this.#options.nodeId) this.#reign = null
      return
    }
    const status = leaderId === this.#options.nodeId ? consensus.status() : null
    const reign = this.#follow(status, nowMs)
    if (status === null || reign === null || nowMs - reign.sinceMs < settleMs || this.#busy) return
    this.#busy = true
    try {
      await this.#record(status, reign)
    } catch (error) {
      this.#ports.log.debug('what changed in consensus was not put on record; it will be tried again', { error: String(error) })
    } finally {
      this.#busy = false
    }
  }

  /** There is a quorum: how long there was none, and of whom was heard since this node leads. @param status null where another leads */
  #follow(status: ConsensusStatus | null, nowMs: number): Reign | null {
    const leaderlessMs = this.#leaderlessSinceMs === null ? 0 : nowMs - this.#leaderlessSinceMs
    const leaderlessMsMax = nowMs - (this.#quorumMs ?? Number.NEGATIVE_INFINITY)
    this.#leaderlessSinceMs = null
    this.#quorumMs = nowMs
    if (status?.role !== 'leader') return (this.#reign = null)
    if (this.#reign?.term !== status.term) this.#reign = { term: status.term, sinceMs: nowMs, leaderlessMs, leaderlessMsMax, memberMs: new Map(), heardMs: new Map() }
    const { memberMs, heardMs } = this.#reign
    for (const [id, { recentActive }] of Object.entries(status.progress)) {
      if (!memberMs.has(id)) memberMs.set(id, nowMs)
      if (recentActive) heardMs.set(id, nowMs)
    }
    return this.#reign
  }

  #followTold(nowMs: number): void {
    const told = this.#ports.consensus.state.tables.cluster.get('cluster')?.observation?.told ?? {}
    for (const what of this.#toldSince.keys()) if (!Object.hasOwn(told, what)) this.#toldSince.delete(what)
    for (const [what, last] of Object.entries(told)) {
      const seen = this.#toldSince.get(what)?.told
      if (seen?.atMs !== last.atMs || seen.times !== last.times) this.#toldSince.set(what, { told: last, sinceMs: nowMs })
    }
  }

  /** By the clocks, but never less than has passed here: a leader before this one may have had a clock that was far ahead. */
  #toldAgoMs(nowMs: number): Record<string, number> {
    const { clock, consensus } = this.#ports
    const stateMs = Math.max(clock.nowMs(), consensus.state.timeMs)
    return Object.fromEntries([...this.#toldSince].map(([what, { told, sinceMs }]) => [what, Math.max(stateMs - told.atMs, nowMs - sinceMs)]))
  }

  async #record(status: ConsensusStatus, reign: Reign): Promise<void> {
    const { clock, random, consensus } = this.#ports
    const { nodeId } = this.#options
    const { state } = consensus
    const { configuration, term } = status
    const cluster = state.tables.cluster.get('cluster')
    const own = state.tables.node.get(nodeId)
    // While voters change in a joint step nothing is settled.
    if (cluster === undefined || own === undefined || configuration.votersOutgoing.length > 0 || !mayPropose(state, 'cluster.observe')) return
    const nowMs = clock.monotonicMs()
    const ids = [...configuration.voters, ...configuration.learners].filter((id) => state.tables.node.has(id))
    const observation = planObservation({
      known: cluster.observation, toldAgoMs: this.#toldAgoMs(nowMs), leaderId: nodeId, term, voters: configuration.voters,
      members: ids.map((id) => ({ id, isSilent: id === nodeId ? false : this.#isSilent(id, reign, nowMs) })),
    })
    if (observation === null) return
    const head = { id: uuidV7(clock.nowMs(), random.bytes(10)), actor: { kind: 'node' as const, id: nodeId, name: own.name, address: '' } }
    const { voters, silent } = observation
    const leaderlessMs = observation.term === cluster.observation?.term ? 0 : await this.#leaderlessMs(status, reign)
    await consensus.propose(makeCommand('cluster.observe', head, { ...observation, leaderId: observation.leaderId as NodeId, seenInTerm: term, leaderlessMs, voters: voters as NodeId[], silent: silent as NodeId[] }), {})
  }

  /** Who was up all along knows it best: this node may have started a moment ago. But one that was cut off while there was a leader takes that for a time without one. */
  async #leaderlessMs({ term, configuration }: ConsensusStatus, reign: Reign): Promise<number> {
    const reports = await this.#ports.consensus.reports(configuration.voters)
    const known = [...reports.values()].filter((report) => report.term === term && report.leaderlessMs <= reign.leaderlessMsMax).map((report) => report.leaderlessMs)
    return Math.round(Math.max(reign.leaderlessMs, ...known))
  }

  /** Null where it was not heard of since this node leads, and may be yet. */
  #isSilent(id: string, { sinceMs, memberMs, heardMs }: Reign, nowMs: number): boolean | null {
    const { silentMs } = this.#options
    const lastMs = heardMs.get(id)
    // Who has just joined is given the time to speak.
    if (nowMs - (lastMs ?? memberMs.get(id) ?? sinceMs) > silentMs) return true
    return lastMs === undefined ? null : false
  }
}
