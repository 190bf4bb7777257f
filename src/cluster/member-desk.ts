// What operators ask of members over the wire: how each is, that one leads, that one shortens its log.
import { OperationalError } from '../model/error.ts'
import { compactionSchema, memberReportSchema, type Compacted, type MemberReport } from '../model/member.ts'
import type { Clock } from '../ports/clock.ts'
import type { Transport } from '../ports/transport.ts'
import type { RaftId } from '../raft/types.ts'
import type { Leadership } from './leadership.ts'
import { noQuorum } from './proposer.ts'
import { compactMethod, leadMethod, reportMethod } from './request.ts'

/** A member that takes longer is shown as silent. */
const reportLimitMs = 1000
/** Waiting for followers and for a synced state included. */
const compactLimitMs = 15_000
/** On top of the two election time-outs that the leader itself waits. */
const wayMs = 1000

type Own = {
  report(): MemberReport
  lead(to: RaftId): Promise<void>
  compact(): Promise<Compacted>
}

export class MemberDesk {
  readonly #options: { readonly nodeId: RaftId; readonly electionMs: number }
  readonly #ports: { readonly clock: Clock; readonly transport: Transport }
  readonly #leadership: Leadership
  readonly #own: Own

  constructor(options: { readonly nodeId: RaftId; readonly electionMs: number }, ports: { readonly clock: Clock; readonly transport: Transport }, parts: { readonly leadership: Leadership; readonly own: Own }) {
    this.#options = options
    this.#ports = ports
    this.#leadership = parts.leadership
    this.#own = parts.own
  }

  /** The word of each member that answers within a second, this one included. */
  async reports(ids: readonly RaftId[]): Promise<ReadonlyMap<RaftId, MemberReport>> {
    const connected = new Set(this.#ports.transport.peers().filter((peer) => peer.connected).map((peer) => peer.nodeId))
    const asked = ids.filter((id) => id !== this.#options.nodeId && connected.has(id as never))
    const answers = await Promise.all(asked.map(async (id) => [id, await this.#ask(id)] as const))
    const heard = answers.filter((answer): answer is readonly [RaftId, MemberReport] => answer[1] !== null)
    return new Map([[this.#options.nodeId, this.#own.report()], ...heard])
  }

  /** See `Consensus.lead`. */
  async lead(to: RaftId): Promise<void> {
    const leader = this.#leadership.leader.id
    if (leader === null) throw noQuorum('There is no leader that could hand over.')
    const { nodeId, electionMs } = this.#options
    if (leader === nodeId) await this.#own.lead(to)
    else await this.#ports.transport.request(leader, leadMethod, new TextEncoder().encode(to), { timeoutMs: 2 * electionMs + wayMs })
    const isKnown = await this.#leadership.wait({ limitMs: electionMs + wayMs, suits: ({ id }) => id === to })
    if (!isKnown) throw new OperationalError('STATE_CONFLICT', 'Leadership was handed over, but another leads already.')
  }

  /** See `Consensus.compact`. */
  async compact(id: RaftId): Promise<Compacted> {
    if (id === this.#options.nodeId) return await this.#own.compact()
    const answer = await this.#ports.transport.request(id, compactMethod, new Uint8Array(), { timeoutMs: compactLimitMs })
    return compactionSchema.parse(JSON.parse(new TextDecoder().decode(answer)))
  }

  /** Of another member; null for a request that is not the desk's. */
  async answer(method: string, body: Uint8Array): Promise<unknown> {
    switch (method) {
      case reportMethod:
        return this.#own.report()
      case leadMethod:
        await this.#own.lead(new TextDecoder().decode(body))
        return {}
      case compactMethod:
        return await this.#own.compact()
      default:
        return null
    }
  }

  async #ask(id: RaftId): Promise<MemberReport | null> {
    try {
      const answer = await this.#ports.transport.request(id, reportMethod, new Uint8Array(), { timeoutMs: reportLimitMs })
      return memberReportSchema.parse(JSON.parse(new TextDecoder().decode(answer)))
    } catch {
      // Away, too slow, or of a version that does not know the question: nothing is known of it.
      return null
    }
  }
}
