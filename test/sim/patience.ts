// What a leader may wait for and how long, by the time that its process was awake: statements 35 and 37.
import type { ClusterStatus } from '../../src/cluster/status.ts'

/** A handover has one election time-out; several for the same member may follow one another. */
const handoverMsMax = 5000
/** The network says after 10 s at the latest what became of an image. */
const imageMsMax = 15_000

/** What is looked at of a host. */
export type Waiting = {
  readonly name: string
  readonly life: number
  readonly clock: { readonly awakeMs: number }
  readonly node: { readonly cluster: { status(): Pick<ClusterStatus, 'role' | 'term' | 'progress'>; readonly successor: string | null } } | null
}
type Wait = { readonly what: string; readonly limitMs: number }

export class Patience {
  /** By host: what it waits for, and since when. */
  readonly #since = new Map<string, ReadonlyMap<string, number>>()
  readonly #images = new Map<string, number>()

  /** An image leaves for a member: waiting for word of it begins anew. */
  imageSent(name: string, to: string): void {
    const key = `${name} ${to}`
    this.#images.set(key, (this.#images.get(key) ?? 0) + 1)
  }

  /** To be asked now and then. @returns what it waits for that should long be over, or null */
  look(host: Waiting): string | null {
    const waits = this.#waitsOf(host)
    const former = this.#since.get(host.name)
    const { awakeMs } = host.clock
    const since = new Map(waits.map(({ what }) => [what, former?.get(what) ?? awakeMs]))
    this.#since.set(host.name, since)
    const overdue = waits.find(({ what, limitMs }) => awakeMs - (since.get(what) ?? awakeMs) > limitMs)
    return overdue === undefined ? null : `${overdue.what} for more than ${overdue.limitMs / 1000} s`
  }

  #waitsOf({ name, life, node }: Waiting): readonly Wait[] {
    if (node === null) return []
    const { role, term, progress } = node.cluster.status()
    if (role !== 'leader') return []
    const { successor } = node.cluster
    const images = Object.entries(progress).filter(([, { state }]) => state === 'snapshot').map(([id, { pendingSnapshot }]): Wait => {
      return { what: `${name} in life ${life} waits in term ${term} for word of image ${pendingSnapshot}, number ${this.#images.get(`${name} ${id}`) ?? 0} to ${id},`, limitMs: imageMsMax }
    })
    return successor === null ? images : [{ what: `${name} in life ${life} hands over in term ${term} to ${successor}`, limitMs: handoverMsMax }, ...images]
  }
}
