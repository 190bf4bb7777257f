// Progress of running operations by gossip: each node says at most twice a second how far its steps are, and keeps what others said lately.
import { z } from 'zod'
import { progressSchema, type Progress } from '../model/migration.ts'
import type { Clock } from '../ports/clock.ts'
import type { ProgressBoard } from '../ports/progress.ts'
import type { Gossip } from '../ports/transport.ts'

const topic = 'progress'
const periodMs = 500
/** What was not heard of for so long is over. */
const ageMsMax = 10_000
/** Operations kept in mind; far above what runs at once. */
const operationsMax = 1_024

const messageSchema = z.strictObject({ operationId: z.string().max(64), progress: progressSchema })
type Entry = { readonly progress: Progress; readonly heardMs: number }

export class ProgressGossip implements ProgressBoard {
  readonly #ports: { readonly gossip: Gossip; readonly clock: Clock }
  readonly #entries = new Map<string, Entry>()
  /** When this node last spoke of an operation, and what was processed then. */
  readonly #said = new Map<string, { readonly atMs: number; readonly processedBytes: number; readonly phase: string }>()
  readonly #listeners = new Set<(operationId: string) => void>()

  constructor(ports: { readonly gossip: Gossip; readonly clock: Clock }) {
    this.#ports = ports
    ports.gossip.subscribe(topic, (_from, data) => this.#onMessage(data))
  }

  report(operationId: string, progress: Omit<Progress, 'bytesPerSecond'>): void {
    const nowMs = this.#ports.clock.monotonicMs()
    const last = this.#said.get(operationId)
    if (last !== undefined && nowMs - last.atMs < periodMs) return
    const sameWay = last !== undefined && progress.processedBytes >= last.processedBytes
    const bytesPerSecond = sameWay ? Math.round(((progress.processedBytes - last.processedBytes) / Math.max(1, nowMs - last.atMs)) * 1000) : 0
    this.#said.set(operationId, { atMs: nowMs, processedBytes: progress.processedBytes, phase: progress.phase })
    const full = progressSchema.parse({ ...progress, bytesPerSecond })
    this.#keep(operationId, full)
    this.#ports.gossip.publish(topic, new TextEncoder().encode(JSON.stringify({ operationId, progress: full })))
  }

  of(operationId: string): Progress | null {
    const entry = this.#entries.get(operationId)
    return entry === undefined || this.#ports.clock.monotonicMs() - entry.heardMs > ageMsMax ? null : entry.progress
  }

  /** Calls after each new word; the returned function ends it. */
  onChange(listener: (operationId: string) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #onMessage(data: Uint8Array): void {
    try {
      const message = messageSchema.parse(JSON.parse(new TextDecoder().decode(data)))
      this.#keep(message.operationId, message.progress)
    } catch {
      // What is not understood is not shown.
    }
  }

  #keep(operationId: string, progress: Progress): void {
    // Order of insertion is order of age: the oldest go first.
    this.#entries.delete(operationId)
    this.#entries.set(operationId, { progress, heardMs: this.#ports.clock.monotonicMs() })
    for (const map of [this.#entries, this.#said]) {
      for (const id of map.keys()) {
        if (map.size <= operationsMax) break
        map.delete(id)
      }
    }
    for (const listener of this.#listeners) listener(operationId)
  }
}
