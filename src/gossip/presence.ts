// Presence: each node gossips its load every two seconds, and keeps the latest word of every other, by its own clock.
import { z } from 'zod'
import { nodeStatusSchema, type NodeLoad } from '../model/node.ts'
import type { Cancel, Clock } from '../ports/clock.ts'
import type { HostProbe } from '../ports/hypervisor.ts'
import type { Log } from '../ports/log.ts'
import type { Gossip } from '../ports/transport.ts'

const topic = 'presence'
/** Above any cluster's member count: a bound should membership ever fail to be one. */
const nodesMax = 1024
/** A message that claims to be older than one we have is ignored for this many periods; then a clock was set back. */
const disorderPeriodsMax = 3
/** Whatever is said instead has to be said this soon, or the node would seem silent. */
const insteadMsMax = 250

const presenceSchema = z.strictObject({
  load: nodeStatusSchema.shape.load.unwrap(),
  version: z.string().max(64),
  appliedIndex: z.number().int().nonnegative().optional(),
  /** Wall clock of the sender; only compared with its own. */
  sentMs: z.number().int().nonnegative(),
})
type PresenceMessage = z.infer<typeof presenceSchema>

export type Seen = {
  readonly nodeId: string
  readonly load: NodeLoad
  readonly version: string
  readonly appliedIndex: number | null
  /** Milliseconds since it was received, by this node's monotonic clock. */
  readonly ageMs: number
}

export type PresenceOptions = {
  readonly nodeId: string
  readonly version: string
  readonly appliedIndex?: () => number
  /** Milliseconds between two announcements; default 2000. */
  readonly periodMs?: number
  /** In each of so many periods another message is published, which says that the node is there just as well; false where it was not. */
  readonly instead?: { readonly every: number; readonly publish: () => Promise<boolean> }
}
type PresencePorts = { readonly gossip: Gossip; readonly clock: Clock; readonly probe: HostProbe; readonly log: Log }
type Entry = { readonly message: PresenceMessage; readonly receivedMs: number }

export class Presence {
  readonly #options: PresenceOptions
  readonly #ports: PresencePorts
  readonly #periodMs: number
  readonly #entries = new Map<string, Entry>()
  readonly #listeners = new Set<(nodeId: string) => void>()
  #cancel: Cancel | null = null
  #periods = 0
  #measuring = false
  #failing = false

  constructor(options: PresenceOptions, ports: PresencePorts) {
    this.#options = options
    this.#ports = ports
    this.#periodMs = options.periodMs ?? 2000
  }

  /** Listens, announces at once and then in every period. */
  start(): void {
    if (this.#cancel !== null) throw new Error('assertion: presence starts once')
    this.#ports.gossip.subscribe(topic, (from, data) => {
      if (this.#cancel !== null) this.#onMessage(from, data)
    })
    this.#cancel = this.#ports.clock.every(this.#periodMs, () => void this.#speak())
    void this.#announce()
  }

  stop(): void {
    this.#cancel?.()
    this.#cancel = null
  }

  /** The last word of a node, this one included; null where nothing was heard. */
  of(nodeId: string): Seen | null {
    const entry = this.#entries.get(nodeId)
    return entry === undefined ? null : this.#seen(nodeId, entry)
  }

  /** All that were heard of, ordered by node id. */
  all(): readonly Seen[] {
    return [...this.#entries].map(([nodeId, entry]) => this.#seen(nodeId, entry)).sort((left, right) => (left.nodeId < right.nodeId ? -1 : 1))
  }

  /** Something else was heard of a node: its word of before still holds. */
  touch(nodeId: string): void {
    const entry = this.#entries.get(nodeId)
    if (entry !== undefined) this.#keep(nodeId, entry.message)
  }

  /** Forgets nodes that are not members any more. */
  retain(nodeIds: readonly string[]): void {
    const kept = new Set(nodeIds)
    for (const nodeId of this.#entries.keys()) if (!kept.has(nodeId)) this.#entries.delete(nodeId)
  }

  /** Calls after each new word of a node; the returned function ends it. */
  onChange(listener: (nodeId: string) => void): Cancel {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async #speak(): Promise<void> {
    const { instead, nodeId } = this.#options
    if (instead !== undefined && ++this.#periods % instead.every === 0 && (await this.#isSaidSoon(instead.publish()))) this.touch(nodeId)
    else await this.#announce()
  }

  #isSaidSoon(said: Promise<boolean>): Promise<boolean> {
    return new Promise((resolve) => {
      const cancel = this.#ports.clock.after(insteadMsMax, () => resolve(false))
      const end = (outcome: boolean) => {
        cancel()
        resolve(outcome)
      }
      said.then(end, () => end(false))
    })
  }

  async #announce(): Promise<void> {
    // A probe that hangs must not be asked again and again.
    if (this.#measuring) return
    this.#measuring = true
    try {
      const load = await this.#ports.probe.load()
      if (this.#cancel === null) return
      const { version, appliedIndex } = this.#options
      const message = presenceSchema.parse({ load, version, ...(appliedIndex === undefined ? {} : { appliedIndex: appliedIndex() }), sentMs: this.#ports.clock.nowMs() })
      this.#keep(this.#options.nodeId, message)
      this.#ports.gossip.publish(topic, new TextEncoder().encode(JSON.stringify(message)))
      this.#failing = false
    } catch (error) {
      if (!this.#failing) this.#ports.log.warn('load not announced', { error: String(error) })
      this.#failing = true
    } finally {
      this.#measuring = false
    }
  }

  #onMessage(from: string, data: Uint8Array): void {
    const message = parsePresence(data)
    if (message === null) {
      this.#ports.log.warn('presence not understood', { from, bytes: data.length })
      return
    }
    const known = this.#entries.get(from)
    const recent = known !== undefined && this.#ports.clock.monotonicMs() - known.receivedMs < disorderPeriodsMax * this.#periodMs
    if (recent && message.sentMs < known.message.sentMs) return
    if (known === undefined && this.#entries.size >= nodesMax) return
    this.#keep(from, message)
  }

  #keep(nodeId: string, message: PresenceMessage): void {
    this.#entries.set(nodeId, { message, receivedMs: this.#ports.clock.monotonicMs() })
    for (const listener of this.#listeners) listener(nodeId)
  }

  #seen(nodeId: string, { message, receivedMs }: Entry): Seen {
    const { load, version, appliedIndex } = message
    return { nodeId, load, version, appliedIndex: appliedIndex ?? null, ageMs: this.#ports.clock.monotonicMs() - receivedMs }
  }
}

function parsePresence(data: Uint8Array): PresenceMessage | null {
  try {
    const parsed = presenceSchema.safeParse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data)))
    return parsed.success ? parsed.data : null
  } catch {
    return null
  }
}
