// On the leader: writes down which members were found to have another state; on such a member, that it is over.
import { makeCommand, type CommandPayload } from '../model/command.ts'
import { uuidV7, type NodeId } from '../model/id.ts'
import type { Cancel, Clock, Random } from '../ports/clock.ts'
import type { Consensus, Dissent } from '../ports/consensus.ts'
import type { Log } from '../ports/log.ts'
import { mayPropose } from '../state/query.ts'
import type { StateHolder } from '../state/state.ts'

const periodMs = 2_000

type Payload = CommandPayload<'node.diverge'>
export type DivergencePorts = { readonly clock: Clock; readonly random: Random; readonly log: Log; readonly consensus: Consensus & StateHolder }

export class DivergenceController {
  readonly #nodeId: NodeId
  readonly #ports: DivergencePorts
  #cancels: readonly Cancel[] = []
  /** Node → where it was said to have the cluster's state again: what was found before is over. */
  readonly #converged = new Map<string, number>()
  #busy = false

  constructor(options: { readonly nodeId: NodeId }, ports: DivergencePorts) {
    this.#nodeId = options.nodeId
    this.#ports = ports
  }

  start(): void {
    const { clock, consensus } = this.#ports
    this.#cancels = [
      clock.every(periodMs, () => void this.#look()),
      consensus.watch((notice) => {
        if (notice.kind !== 'applied' || notice.command?.type !== 'node.diverge' || notice.command.payload.divergence !== null) return
        this.#converged.set(notice.command.payload.id, notice.index)
      }),
    ]
  }

  stop(): void {
    for (const cancel of this.#cancels) cancel()
  }

  async #look(): Promise<void> {
    const { clock, random, consensus, log } = this.#ports
    const payload = this.#due()
    if (payload === null || this.#busy || !mayPropose(consensus.state, 'node.diverge')) return
    this.#busy = true
    try {
      const name = consensus.state.tables.node.get(this.#nodeId)?.name ?? ''
      const head = { id: uuidV7(clock.nowMs(), random.bytes(10)), actor: { kind: 'node' as const, id: this.#nodeId, name, address: '' } }
      await consensus.propose(makeCommand('node.diverge', head, payload), {})
    } catch (error) {
      log.debug('a divergence was not written down; it will be tried again', { error: String(error) })
    } finally {
      this.#busy = false
    }
  }

  /** What is known here and not yet in the state. */
  #due(): Payload | null {
    const { consensus } = this.#ports
    const { node: nodes } = consensus.state.tables
    const { role, divergence, quorum } = consensus.status()
    if (!quorum || divergence !== null) return null
    const agreement = consensus.agreement()
    const own = nodes.get(this.#nodeId)?.divergence
    if (own !== undefined && agreement.index > own.index) return { id: this.#nodeId, divergence: null }
    if (role !== 'leader') return null
    const isNew = ({ nodeId, index }: Dissent): boolean => nodes.has(nodeId) && nodes.get(nodeId)?.divergence === undefined && index > (this.#converged.get(nodeId) ?? 0)
    const dissent = agreement.dissenters.find(isNew)
    return dissent === undefined ? null : { id: dissent.nodeId as NodeId, divergence: { index: dissent.index, hash: dissent.hash, expected: dissent.expected } }
  }
}
