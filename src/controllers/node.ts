// This node's announcement: what it is and has, said again when it changes.
import { makeCommand } from '../model/command.ts'
import { uuidV7, type NodeId } from '../model/id.ts'
import type { NodeAnnouncement } from '../model/node.ts'
import type { Cancel, Clock, Random } from '../ports/clock.ts'
import type { Consensus } from '../ports/consensus.ts'
import type { Log } from '../ports/log.ts'
import type { StateHolder } from '../state/state.ts'

const retryMs = 1_000
const lookMs = 60_000
/** Nothing can start here while the hypervisor is away. */
const lookMsWithoutHypervisor = 2_000
/** Storage figures that differ less than this are the same. */
const storageToleranceRatio = 0.05

export type NodeControllerPorts = {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly consensus: Consensus & StateHolder
  /** Measures anew; rejects while the hypervisor is away. */
  readonly announcement: () => Promise<NodeAnnouncement>
}

export class NodeController {
  readonly #nodeId: NodeId
  readonly #ports: NodeControllerPorts
  #cancel: Cancel | null = null
  #unwatch: Cancel | null = null
  #busy = false
  #again = false
  #stopped = false

  constructor(options: { readonly nodeId: NodeId }, ports: NodeControllerPorts) {
    this.#nodeId = options.nodeId
    this.#ports = ports
  }

  start(): void {
    this.#later(0)
    this.#unwatch = this.#ports.consensus.watch((notice) => {
      const arrived = notice.kind === 'replaced' || (notice.kind === 'applied' && notice.events.some((event) => event.kind === 'cluster' || event.resourceId === this.#nodeId))
      // Right after this node became a member; its own announcement makes an event too, after which nothing is left to say.
      if (arrived && !this.#busy) this.#later(0)
    })
  }

  stop(): void {
    this.#stopped = true
    this.#unwatch?.()
    this.#cancel?.()
  }

  /** The hypervisor has just been reached, or something else happened that the announcement tells of. */
  lookNow(): void {
    if (this.#busy) this.#again = true
    else this.#later(0)
  }

  #later(delayMs: number): void {
    if (this.#stopped) return
    this.#cancel?.()
    this.#cancel = this.#ports.clock.after(delayMs, () => void this.#look())
  }

  async #look(): Promise<void> {
    this.#busy = true
    this.#again = false
    try {
      const nextMs = await this.#announce()
      this.#later(this.#again ? 0 : nextMs)
    } catch (error) {
      this.#ports.log.debug('announcement failed; it will be tried again', { error: String(error) })
      this.#later(retryMs)
    } finally {
      this.#busy = false
    }
  }

  /** Milliseconds until the next look. */
  async #announce(): Promise<number> {
    const { consensus, clock, random } = this.#ports
    const node = consensus.state.tables.node.get(this.#nodeId)
    // Not a member yet, as far as is known here.
    if (node === undefined) return retryMs
    const announcement = await this.#ports.announcement()
    const nextMs = announcement.accelerator === 'none' ? lookMsWithoutHypervisor : lookMs
    if (node.announcement !== null && isSame(node.announcement, announcement)) return nextMs
    const head = { id: uuidV7(clock.nowMs(), random.bytes(10)), actor: { kind: 'node' as const, id: this.#nodeId, name: node.name, address: '' } }
    const result = await consensus.propose(makeCommand('node.announce', head, { id: this.#nodeId, announcement }), {})
    return result.kind === 'done' ? nextMs : retryMs
  }
}

function isSame(left: NodeAnnouncement, right: NodeAnnouncement): boolean {
  const [former, next] = [left.capacity.storageBytes, right.capacity.storageBytes]
  const close = Math.abs(former - next) <= former * storageToleranceRatio
  const bare = (announcement: NodeAnnouncement) => JSON.stringify({ ...announcement, capacity: { ...announcement.capacity, storageBytes: 0 } })
  return close && bare(left) === bare(right)
}
