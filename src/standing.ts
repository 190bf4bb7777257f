// A node that has lost touch with its cluster asks the others whether it is still a member: who was removed while it was off is refused by all of them.
import { askNode } from './drivers/node-https.ts'
import type { MembershipRecord } from './membership-file.ts'
import { nodeStandingSchema } from './model/join.ts'
import { standingProofText } from './model/node-proof.ts'
import type { ClusterNode } from './node.ts'
import type { Cancel, Clock } from './ports/clock.ts'
import type { Log } from './ports/log.ts'
import type { Vault } from './ports/vault.ts'

const lookMs = 1_000
/** An election is no reason to ask. */
const patienceMs = 4_000
const answerTimeoutMs = 3_000
/** Asked at one look, in turn. */
const askedMax = 8

export type StandingPorts = { readonly clock: Clock; readonly log: Log; readonly vault: Vault }

export class StandingWatch {
  readonly #options: { readonly nodeId: string; readonly record: MembershipRecord; readonly node: ClusterNode; readonly onRemoved: (by: string) => void }
  readonly #ports: StandingPorts
  #cancel: Cancel | null = null
  #quorumMs: number
  #asking = false
  #turn = 0

  constructor(options: { readonly nodeId: string; readonly record: MembershipRecord; readonly node: ClusterNode; readonly onRemoved: (by: string) => void }, ports: StandingPorts) {
    this.#options = options
    this.#ports = ports
    this.#quorumMs = ports.clock.monotonicMs()
  }

  start(): void {
    this.#cancel = this.#ports.clock.every(lookMs, () => void this.#look())
  }

  stop(): void {
    this.#cancel?.()
    this.#cancel = null
  }

  async #look(): Promise<void> {
    const { clock, log } = this.#ports
    const status = this.#options.node.cluster.status()
    if (status.quorum || status.halted !== null) this.#quorumMs = clock.monotonicMs()
    if (this.#asking || clock.monotonicMs() - this.#quorumMs < patienceMs) return
    this.#asking = true
    try {
      for (const address of this.#addresses()) {
        const by = await this.#ask(address).catch((error: unknown) => {
          log.debug('a member did not say how we stand', { address, error: String(error) })
          return null
        })
        if (by === null || this.#cancel === null) continue
        this.#options.onRemoved(by)
        return
      }
    } finally {
      this.#asking = false
    }
  }

  /** Who removed us; null where we are a member. */
  async #ask(address: string): Promise<string | null> {
    const { nodeId, record } = this.#options
    const signature = this.#ports.vault.signAsNode(standingProofText(record.clusterId, nodeId))
    const answer = await askNode({
      address, trust: { kind: 'authority', pem: record.caCertificate }, method: 'GET', path: '/api/v1/cluster/standing', authorization: `Node ${nodeId}.${signature}`, timeoutMs: answerTimeoutMs,
    })
    const standing = nodeStandingSchema.parse(answer)
    return standing.removed ? (standing.by ?? '') : null
  }

  /** A few of the others, other ones each time. */
  #addresses(): readonly string[] {
    const { nodeId, node } = this.#options
    const all = [...node.cluster.state.tables.node.values()].flatMap((member) => (member.id === nodeId || member.announcement === null ? [] : [member.announcement.httpAddress]))
    if (all.length === 0) return []
    this.#turn = (this.#turn + askedMax) % all.length
    return [...all.slice(this.#turn), ...all.slice(0, this.#turn)].slice(0, askedMax)
  }
}
