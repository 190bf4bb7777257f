// Who takes part: heard of lately, and not far behind in what was applied. A node that is up but halted is heard of and takes no part.
import type { Cancel, Clock } from '../ports/clock.ts'
import type { Presence } from './presence.ts'

const periodMs = 5_000
const ageMsMax = 5_000

export class Attendance {
  readonly #options: { readonly nodeId: string; readonly nodeIds: () => Iterable<string>; readonly appliedIndex: () => number }
  readonly #ports: { readonly presence: Presence; readonly clock: Clock }
  /** What this node had applied one and two periods ago: whoever takes part has applied the older one. */
  #marks: readonly [number, number] = [0, 0]
  #cancel: Cancel | null = null

  constructor(options: { readonly nodeId: string; readonly nodeIds: () => Iterable<string>; readonly appliedIndex: () => number }, ports: { readonly presence: Presence; readonly clock: Clock }) {
    this.#options = options
    this.#ports = ports
  }

  start(): void {
    this.#cancel = this.#ports.clock.every(periodMs, () => {
      this.#marks = [this.#marks[1], this.#options.appliedIndex()]
    })
  }

  stop(): void {
    this.#cancel?.()
  }

  /** Heard of lately, and has applied the index. */
  hasApplied(nodeId: string, index: number): boolean {
    if (nodeId === this.#options.nodeId) return this.#options.appliedIndex() >= index
    const seen = this.#ports.presence.of(nodeId)
    return seen !== null && seen.ageMs < ageMsMax && (seen.appliedIndex === null || seen.appliedIndex >= index)
  }

  /** All that take part, this node included. */
  all(): ReadonlySet<string> {
    return new Set([...this.#options.nodeIds()].filter((id) => this.hasApplied(id, this.#marks[0])))
  }
}
