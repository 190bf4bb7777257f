// On the leader: brings Raft's configuration in line with the cluster's members, one change at a time, and lets go of who is leaving.
import { makeCommand } from '../model/command.ts'
import { uuidV7, type NodeId } from '../model/id.ts'
import type { StoredNode } from '../model/node.ts'
import { planMembership, type MemberView } from '../planner/membership.ts'
import type { Cancel, Clock, Random } from '../ports/clock.ts'
import type { Consensus, ConsensusStatus } from '../ports/consensus.ts'
import type { Log } from '../ports/log.ts'
import type { Transport } from '../ports/transport.ts'
import type { StateHolder } from '../state/state.ts'

const periodMs = 500
/** A voter not heard of for so long is replaced by a learner. */
export const lostMsDefault = 10_000
/** Who votes though nobody is missing has been in touch for so long: a flapping link moves no votes. */
export const steadyMsDefault = 30_000
const farewellTimeoutMs = 300
/** A voter that was asked to lead and did not is not asked again so soon; twice as long each time. */
const refusedPauseMs = 2_000
const refusedPauseMsMax = 60_000
/** Failure domain of a node. */
const zoneLabel = 'zone'

/** What a node is told by the leader once it is no member any more. */
export const farewellMethod = 'farewell'

export type MembershipPorts = {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly consensus: Consensus & StateHolder
  readonly transport: Pick<Transport, 'request'>
}
export type MembershipOptions = { readonly nodeId: string; readonly lostMs?: number | undefined; readonly steadyMs?: number | undefined }

/** When a follower was first and last heard of, since this node has led. */
type Hearing = { sinceMs: number; lastMs: number }

export class MembershipController {
  readonly #options: { readonly nodeId: string; readonly lostMs: number; readonly steadyMs: number }
  readonly #ports: MembershipPorts
  readonly #hearings = new Map<string, Hearing>()
  /** Who was asked to lead in vain, and until when others come first. */
  readonly #refusals = new Map<string, { readonly untilMs: number; readonly pauseMs: number }>()
  #ledTerm = -1
  #cancels: readonly Cancel[] = []
  #busy = false
  #again = false

  constructor(options: MembershipOptions, ports: MembershipPorts) {
    this.#options = { nodeId: options.nodeId, lostMs: options.lostMs ?? lostMsDefault, steadyMs: options.steadyMs ?? steadyMsDefault }
    this.#ports = ports
  }

  start(): void {
    const { clock, consensus } = this.#ports
    this.#cancels = [
      clock.every(periodMs, () => void this.#look()),
      // A removal is not to wait for the next look.
      consensus.watch((notice) => {
        if (notice.kind === 'applied' && notice.events.some((event) => event.kind === 'node')) clock.after(0, () => void this.#look())
      }),
    ]
  }

  stop(): void {
    for (const cancel of this.#cancels) cancel()
  }

  async #look(): Promise<void> {
    const { leaderId, quorum } = this.#ports.consensus.standing()
    if (leaderId !== this.#options.nodeId || !quorum) return
    const status = this.#ports.consensus.status()
    if (status.role !== 'leader' || !status.quorum) return
    if (this.#busy) {
      this.#again = true
      return
    }
    this.#listen(status)
    this.#busy = true
    try {
      await this.#act(status)
    } catch (error) {
      this.#ports.log.warn('membership change failed; it will be tried again', { error: String(error) })
    } finally {
      this.#busy = false
      if (this.#again) this.#ports.clock.after(0, () => void this.#look())
      this.#again = false
    }
  }

  async #act(status: ConsensusStatus): Promise<void> {
    const { consensus, log } = this.#ports
    const nodes = [...consensus.state.tables.node.values()].toSorted((left, right) => (left.id < right.id ? -1 : 1))
    // Before the cluster is formed there is nobody to be in line with.
    if (nodes.length === 0) return
    const staying = nodes.filter((node) => node.leaving === undefined)
    const hasLeft = (node: StoredNode) => node.leaving !== undefined && !isInConfiguration(status, node.id)
    for (const node of nodes.filter(hasLeft)) await this.#forget(node)
    const own = staying.find((node) => node.id === this.#options.nodeId)
    if ((own === undefined || own.spec.voting === 'never') && (await this.#handOver(status))) return
    const members = staying.map((node) => this.#viewOf(node))
    const change = planMembership({ members, leaderId: this.#options.nodeId, configuration: status.configuration, progress: status.progress, commit: status.commit })
    if (change === null) return
    log.info('membership change', { steps: change.steps, transition: change.transition })
    await consensus.changeConfiguration(change)
    this.#again = true
  }

  /** A leader that leaves, or is not to vote, hands over first; false where there is no other voter, so that it has to vote itself out. */
  async #handOver(status: ConsensusStatus): Promise<boolean> {
    const { nodeId } = this.#options
    if (!isInConfiguration(status, nodeId)) return true
    const isWilling = (id: string) => this.#ports.consensus.state.tables.node.get(id)?.spec.voting !== 'never'
    const others = status.configuration.voters.filter((id) => id !== nodeId && status.progress[id]?.recentActive === true && isWilling(id))
    if (others.length === 0 || status.configuration.votersOutgoing.length > 0) return false
    const nowMs = this.#ports.clock.monotonicMs()
    const matchOf = (id: string) => status.progress[id]?.match ?? 0
    const candidates = others.filter((id) => nowMs >= (this.#refusals.get(id)?.untilMs ?? -Infinity)).toSorted((one, other) => matchOf(other) - matchOf(one))
    const [target] = candidates
    if (target !== undefined) await this.#offer(target)
    return true
  }

  /** One that cannot lead now, for its disk is full or it is slow, is passed over for a while: the next look asks another. */
  async #offer(target: string): Promise<void> {
    const { clock, consensus } = this.#ports
    try {
      await consensus.transferLeadership(target)
      this.#refusals.clear()
    } catch (error) {
      const pauseMs = Math.min(2 * (this.#refusals.get(target)?.pauseMs ?? refusedPauseMs / 2), refusedPauseMsMax)
      this.#refusals.set(target, { untilMs: clock.monotonicMs() + pauseMs, pauseMs })
      throw error
    }
  }

  /** It is told, if it can be; then it is no member any more, and everybody cuts its connections. */
  async #forget(node: StoredNode): Promise<void> {
    const { clock, random, consensus, transport, log } = this.#ports
    // Until a majority of those who stay knows that it votes no more, its vote may be needed once again: should this node die now.
    await consensus.commitBarrier()
    await transport.request(node.id, farewellMethod, new Uint8Array(), { timeoutMs: farewellTimeoutMs }).catch((error: unknown) => {
      log.info('a removed node could not be told', { node: node.name, error: String(error) })
    })
    const own = consensus.state.tables.node.get(this.#options.nodeId)
    const actor = { kind: 'node' as const, id: this.#options.nodeId, name: own?.name ?? '', address: '' }
    const head = { id: uuidV7(clock.nowMs(), random.bytes(10)), actor }
    await consensus.propose(makeCommand('node.forget', head, { id: node.id as NodeId }), {})
    log.info('node removed', { nodeId: node.id, name: node.name })
  }

  /** Keeps who was heard of when; a new leader knows nothing yet, and gives everybody the whole time. */
  #listen(status: ConsensusStatus): void {
    const nowMs = this.#ports.clock.monotonicMs()
    if (status.term !== this.#ledTerm) {
      this.#hearings.clear()
      this.#refusals.clear()
    }
    this.#ledTerm = status.term
    for (const [id, progress] of Object.entries(status.progress)) {
      const hearing = this.#hearings.get(id)
      if (hearing === undefined) this.#hearings.set(id, { sinceMs: nowMs, lastMs: nowMs })
      else if (progress.recentActive || id === this.#options.nodeId) {
        if (nowMs - hearing.lastMs > this.#options.lostMs / 2) hearing.sinceMs = nowMs
        hearing.lastMs = nowMs
      }
    }
    for (const id of this.#hearings.keys()) if (!Object.hasOwn(status.progress, id)) this.#hearings.delete(id)
  }

  #viewOf(node: StoredNode): MemberView {
    const { lostMs, steadyMs } = this.#options
    const nowMs = this.#ports.clock.monotonicMs()
    const hearing = this.#hearings.get(node.id)
    const isLost = hearing !== undefined && nowMs - hearing.lastMs > lostMs
    return { id: node.id, zone: node.labels[zoneLabel] ?? '', isLost, isSteady: hearing !== undefined && !isLost && hearing.lastMs - hearing.sinceMs >= steadyMs, voting: node.spec.voting ?? 'auto' }
  }
}

function isInConfiguration({ configuration }: ConsensusStatus, id: string): boolean {
  return [configuration.voters, configuration.votersOutgoing, configuration.learners, configuration.learnersNext].some((ids) => ids.includes(id))
}
