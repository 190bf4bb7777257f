// On the leader: brings Raft's configuration in line with the cluster's members, one change at a time.
import { planMembership } from '../planner/membership.ts'
import type { Cancel, Clock } from '../ports/clock.ts'
import type { Consensus } from '../ports/consensus.ts'
import type { Log } from '../ports/log.ts'
import type { StateHolder } from '../state/state.ts'

const periodMs = 200

export class MembershipController {
  readonly #ports: { readonly clock: Clock; readonly consensus: Consensus & StateHolder; readonly log: Log }
  #cancel: Cancel | null = null
  #busy = false

  constructor(ports: { readonly clock: Clock; readonly consensus: Consensus & StateHolder; readonly log: Log }) {
    this.#ports = ports
  }

  start(): void {
    this.#cancel = this.#ports.clock.every(periodMs, () => void this.#look())
  }

  stop(): void {
    this.#cancel?.()
  }

  async #look(): Promise<void> {
    const { consensus, log } = this.#ports
    const status = consensus.status()
    if (this.#busy || status.role !== 'leader' || !status.quorum) return
    const memberIds = [...consensus.state.tables.node.keys()].toSorted()
    // Before the cluster is formed there is nobody to be in line with.
    if (memberIds.length === 0) return
    const change = planMembership({ memberIds, configuration: status.configuration, progress: status.progress, commit: status.commit })
    if (change === null) return
    this.#busy = true
    try {
      log.info('membership change', { steps: change.steps })
      await consensus.changeConfiguration(change)
    } catch (error) {
      log.warn('membership change failed; it will be tried again', { error: String(error) })
    } finally {
      this.#busy = false
    }
  }
}
