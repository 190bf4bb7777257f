// What must hold in every history: the safety properties, checked as things happen and once more at the end.
import type { Cluster } from '../../src/cluster/cluster.ts'
import type { ClusterEvent } from '../../src/cluster/status.ts'
import type { Entry } from '../../src/raft/types.ts'
import { OperationalError } from '../../src/model/error.ts'
import { stateHash } from '../../src/state/state.ts'

/** What a client was told about a command. */
export type Answer =
  | { readonly kind: 'acknowledged'; readonly index: number; readonly refused: boolean }
  /** Surely not done. */
  | { readonly kind: 'notDone'; readonly code: string }
  | { readonly kind: 'unknown' }

type Logged = { readonly previousTerm: number; readonly data: Uint8Array; readonly nodeId: string }
type Committed = { readonly term: number; readonly timeMs: number; readonly entry: string; readonly stateHash: string; readonly nodeId: string }

export class Checker {
  /** By index; the first node to apply an entry sets what all others must find. */
  readonly #committed: Committed[] = []
  readonly #leaders = new Map<number, string>()
  /** By index and term: every entry that was ever durable in a log. */
  readonly #logged = new Map<string, Logged>()
  readonly #appliedAt = new Map<string, number>()
  /** Idempotency key → where its request was carried out. */
  readonly #keys = new Map<string, number>()
  readonly #answers = new Map<string, Answer>()
  readonly #lastApplied = new Map<string, number>()
  /** Folded from everything observed: two runs of one seed must agree. */
  #trace = 0x811c9dc5
  /** The first violation; null while all holds. Kept, not thrown: the production code that calls back would swallow it. */
  violation: string | null = null
  /** Told at once: a node leads a term; an entry was committed, as its first application shows. */
  onLeads: ((nodeId: string) => void) | null = null
  onCommitted: ((entry: { readonly index: number; readonly term: number; readonly nodeId: string }) => void) | null = null
  leaderChanges = 0
  entriesChecked = 0
  statesCompared = 0

  get lastIndex(): number {
    return this.#committed.length - 1
  }
  /** Of the entry that is committed at the index, as far as any node has applied it. */
  termAt(index: number): number | null {
    return this.#committed[index]?.term ?? null
  }
  get elections(): number {
    return this.#leaders.size
  }
  get traceHash(): string {
    return (this.#trace >>> 0).toString(16).padStart(8, '0')
  }

  /** Follows a node for one life of its process, from before it starts. */
  follow(nodeId: string, cluster: Cluster): void {
    this.#lastApplied.delete(nodeId)
    cluster.watch((event) => this.#observe(nodeId, cluster, event))
  }

  /** A node is through with starting: what it restored has to be the history's. */
  restored(nodeId: string, cluster: Cluster): void {
    this.#compareState(nodeId, cluster)
  }

  /** Log matching (figure 3 of the Raft paper): an entry of the same index and term is the same one in every log, and comes after the same one. */
  appended(nodeId: string, entries: readonly Entry[], previousTerm: number): void {
    let before = previousTerm
    for (const { index, term, data } of entries) {
      const key = `${index} ${term}`
      const former = this.#logged.get(key)
      if (former === undefined) this.#logged.set(key, { previousTerm: before, data, nodeId })
      else if (former.previousTerm !== before) this.violate(`entry ${index} of term ${term} comes after one of term ${former.previousTerm} in the log of ${former.nodeId}, and after one of term ${before} in that of ${nodeId}`)
      else if (!Buffer.from(former.data).equals(data)) this.violate(`entry ${index} of term ${term} is another one in the log of ${nodeId} than in that of ${former.nodeId}`)
      before = term
    }
  }

  answered(commandId: string, answer: Answer): void {
    this.note(`${commandId} ${answer.kind}`)
    this.#answers.set(commandId, answer)
    if (answer.kind === 'acknowledged') this.#checkAcknowledged(commandId, answer.index)
    else if (answer.kind === 'notDone' && this.#appliedAt.has(commandId)) {
      this.violate(`command ${commandId} was answered ${answer.code} (surely not done), but it was applied at ${this.#appliedAt.get(commandId)}`)
    }
  }

  /** What `propose` threw. An unexpected error is a violation of its contract. */
  failed(commandId: string, error: unknown): void {
    const code = error instanceof OperationalError ? error.code : null
    switch (code) {
      case 'NO_QUORUM':
      case 'OVERLOADED':
      case 'INVALID':
        this.answered(commandId, { kind: 'notDone', code })
        return
      case 'OUTCOME_UNKNOWN':
        this.answered(commandId, { kind: 'unknown' })
        return
      default:
        this.violate(`propose threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    }
  }

  /** Adds to the trace, FNV-1a. */
  note(text: string): void {
    let hash = this.#trace
    for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
    this.#trace = hash
  }

  /** The durability scan: every acknowledged command is in the history once, and every node's state is the history's. */
  finish(clusters: readonly { readonly nodeId: string; readonly cluster: Cluster }[]): void {
    for (const [commandId, answer] of this.#answers) {
      if (answer.kind === 'acknowledged') this.#checkAcknowledged(commandId, answer.index)
    }
    for (const { nodeId, cluster } of clusters) {
      this.#compareState(nodeId, cluster)
      if (cluster.state.index !== this.lastIndex) this.violate(`${nodeId} ends at ${cluster.state.index}, the history at ${this.lastIndex}`)
    }
  }

  violate(what: string): void {
    this.violation ??= what
  }

  #observe(nodeId: string, cluster: Cluster, event: ClusterEvent): void {
    switch (event.kind) {
      case 'applied':
        this.#applied(nodeId, cluster, event)
        return
      case 'replaced':
        this.note(`${nodeId} replaced ${event.index}`)
        this.#lastApplied.set(nodeId, event.index)
        this.#compareState(nodeId, cluster)
        return
      case 'status': {
        const { role, term } = event.status
        if (role === 'leader') this.#leads(nodeId, term)
        return
      }
    }
  }

  #leads(nodeId: string, term: number): void {
    const former = this.#leaders.get(term)
    if (former === nodeId) return
    if (former !== undefined) this.violate(`two leaders in term ${term}: ${former} and ${nodeId}`)
    this.note(`${nodeId} leads ${term}`)
    this.#leaders.set(term, nodeId)
    if (this.#leaders.size > 1) this.leaderChanges += 1
    this.onLeads?.(nodeId)
  }

  #applied(nodeId: string, cluster: Cluster, event: Extract<ClusterEvent, { kind: 'applied' }>): void {
    const { index, term, timeMs, command } = event
    const last = this.#lastApplied.get(nodeId) ?? index - 1
    if (index !== last + 1) this.violate(`${nodeId} applied ${index} after ${last}`)
    this.#lastApplied.set(nodeId, index)
    const entry = command === null ? '' : JSON.stringify(command)
    const hash = stateHash(cluster.state)
    const former = this.#committed[index]
    this.entriesChecked += 1
    if (former === undefined) {
      if (index !== Math.max(1, this.#committed.length)) this.violate(`${nodeId} applied ${index}, the history ends at ${this.lastIndex}`)
      this.#committed[index] = { term, timeMs, entry, stateHash: hash, nodeId }
      this.note(`${index} ${term} ${hash}`)
      if (command !== null) this.#firstApplied(command.id, index)
      this.onCommitted?.({ index, term, nodeId })
      if (event.result?.kind === 'done' && event.result.replayed !== true && command?.idempotency !== undefined) this.#keyApplied(`${command.actor.id} ${command.idempotency.key}`, index)
      return
    }
    if (former.term !== term || former.entry !== entry || former.timeMs !== timeMs) {
      this.violate(`entry ${index} changed: ${former.nodeId} applied term ${former.term} ${former.entry.slice(0, 200)}, ${nodeId} term ${term} ${entry.slice(0, 200)}`)
    }
    if (former.stateHash !== hash) this.violate(`state differs at ${index}: ${former.nodeId} ${former.stateHash}, ${nodeId} ${hash}`)
    this.statesCompared += 1
  }

  #firstApplied(commandId: string, index: number): void {
    const answer = this.#answers.get(commandId)
    if (answer?.kind === 'notDone') this.violate(`command ${commandId} was answered ${answer.code} (surely not done), then applied at ${index}`)
    if (this.#appliedAt.has(commandId)) this.violate(`command ${commandId} was applied at ${this.#appliedAt.get(commandId)} and again at ${index}`)
    this.#appliedAt.set(commandId, index)
  }

  #keyApplied(key: string, index: number): void {
    const former = this.#keys.get(key)
    if (former !== undefined) this.violate(`the request of key ${key} was carried out at ${former} and again at ${index}`)
    this.#keys.set(key, index)
  }

  /** Replays of an idempotency key answer with the index of the first application. */
  #checkAcknowledged(commandId: string, index: number): void {
    const appliedAt = this.#appliedAt.get(commandId)
    if (appliedAt === undefined) this.violate(`command ${commandId} was acknowledged at ${index}, but the history does not hold it`)
    else if (index > appliedAt) this.violate(`command ${commandId} was acknowledged at ${index}, but applied at ${appliedAt}`)
  }

  #compareState(nodeId: string, cluster: Cluster): void {
    const { index } = cluster.state
    if (index === 0) return
    const former = this.#committed[index]
    if (former === undefined) {
      this.violate(`${nodeId} holds a state at ${index}, beyond the history's end ${this.lastIndex}`)
      return
    }
    const hash = stateHash(cluster.state)
    if (former.stateHash !== hash) this.violate(`state differs at ${index}: ${former.nodeId} ${former.stateHash}, ${nodeId} ${hash}`)
    this.statesCompared += 1
  }
}
