// Fetches images from addresses: each import is an operation of this node, goes on after a break or a restart, and ends where it is cancelled.
import { makeCommand, type CommandPayload, type CommandResult, type CommandType } from '../model/command.ts'
import { OperationalError } from '../model/error.ts'
import { uuidV7, type ImageId, type NodeId, type OperationId } from '../model/id.ts'
import type { Progress } from '../model/migration.ts'
import type { StoredImport, StoredOperation } from '../model/operation.ts'
import type { Cancel, Clock, Random } from '../ports/clock.ts'
import type { Consensus } from '../ports/consensus.ts'
import type { ImageSource, OpenedSource } from '../ports/image-source.ts'
import type { Log } from '../ports/log.ts'
import type { StorageDriver } from '../ports/storage.ts'
import type { StateHolder } from '../state/state.ts'

const prefix = 'download-'
/** At once on this node; the others wait for their turn. */
const importsMax = 3
/** Attempts without a byte before an address is given up. */
const vainAttemptsMax = 5
const pauseMs = 1_000
const lookMs = 30_000
const proposeTimeoutMs = 10_000
const progressMs = 500
/** The disk keeps this much for other things. */
const imageBytesMax = 4 * 2 ** 40

export type ImageImporterPorts = {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly consensus: Consensus & StateHolder
  readonly storage: StorageDriver
  readonly source: ImageSource
  /** Told to whoever looks at the operation. */
  readonly onProgress: (operationId: string, progress: Progress) => void
}
type Import = StoredOperation & { readonly import: StoredImport }

export class ImageImporter {
  readonly #nodeId: NodeId
  readonly #ports: ImageImporterPorts
  readonly #running = new Map<string, AbortController>()
  readonly #cancels: Cancel[] = []
  #stopped = false

  constructor(options: { readonly nodeId: NodeId }, ports: ImageImporterPorts) {
    this.#nodeId = options.nodeId
    this.#ports = ports
  }

  start(): void {
    const { consensus, clock } = this.#ports
    this.#cancels.push(
      consensus.watch((notice) => {
        if (notice.kind === 'replaced' || (notice.kind === 'applied' && notice.events.some((event) => event.kind === 'operation'))) this.#look()
      }),
      clock.every(lookMs, () => {
        this.#look()
        this.#sweep().catch((error: unknown) => this.#ports.log.debug('unfinished imports were not swept', { error: String(error) }))
      }),
    )
    this.#look()
  }

  stop(): void {
    this.#stopped = true
    for (const cancel of this.#cancels.splice(0)) cancel()
    for (const abort of this.#running.values()) abort.abort(new OperationalError('STOPPING', 'This node is shutting down.'))
  }

  /** Begins what is to be done here and ends what is not wanted any more. */
  #look(): void {
    if (this.#stopped) return
    const wanted = [...this.#ports.consensus.state.tables.operation.values()].filter((operation): operation is Import => this.#isMine(operation))
    for (const [id, abort] of this.#running) if (!wanted.some((operation) => operation.id === id)) abort.abort(new Error('the import is over'))
    for (const operation of wanted) {
      if (this.#running.size >= importsMax) return
      if (!this.#running.has(operation.id)) void this.#run(operation)
    }
  }

  #isMine(operation: StoredOperation): boolean {
    return operation.spec.operation === 'image-import' && operation.state === 'running' && operation.nodeId === this.#nodeId && operation.import !== undefined
  }

  async #run(operation: Import): Promise<void> {
    const abort = new AbortController()
    this.#running.set(operation.id, abort)
    try {
      await this.#import(operation, abort.signal)
      await this.#step(operation, { kind: 'done' })
    } catch (error) {
      await this.#failed(operation, error, abort.signal)
    } finally {
      this.#running.delete(operation.id)
    }
    this.#look()
  }

  async #failed(operation: Import, error: unknown, signal: AbortSignal): Promise<void> {
    const { storage, log, clock } = this.#ports
    if (this.#stopped) return
    if (signal.aborted) return storage.intake.discard(prefix + operation.id).catch((cause: unknown) => log.debug('an unfinished import was not removed', { error: String(cause) }))
    const fault = error instanceof OperationalError ? error : new OperationalError('SOURCE_FAILED', error instanceof Error ? error.message : String(error))
    log.warn('image import failed', { operationId: operation.id, code: fault.code, error: fault.message })
    // The cluster being away is no fault of the file: it is looked at again.
    if (fault.code === 'NO_QUORUM' || fault.code === 'OUTCOME_UNKNOWN' || fault.code === 'OVERLOADED') {
      await new Promise<void>((resolve) => clock.after(pauseMs, resolve))
      return
    }
    await storage.intake.discard(prefix + operation.id).catch(() => undefined)
    await this.#step(operation, { kind: 'failed', code: fault.code, message: fault.message.slice(0, 2000) }).catch((cause: unknown) => log.debug('the end of an import could not be told yet', { error: String(cause) }))
  }

  async #import(operation: Import, signal: AbortSignal): Promise<void> {
    const { storage } = this.#ports
    const { import: wish } = operation
    await this.#download(operation, signal)
    const file = await storage.intake.finish(prefix + operation.id, { sha256: wish.sha256 }, signal)
    signal.throwIfAborted()
    const payload = {
      id: wish.imageId as ImageId, name: operation.spec.target.name, project: operation.project, labels: wish.labels, holder: this.#nodeId,
      spec: { format: file.format, sha256: file.sha256, sizeBytes: file.sizeBytes, virtualSizeBytes: file.virtualSizeBytes, os: wish.os, copies: wish.copies },
    }
    const result = await this.#propose('image.register', payload)
    if (result.kind === 'refused') throw new OperationalError(result.code, result.message)
  }

  /** Until all of it is here; a break is gone on from where the other side allows it. */
  async #download(operation: Import, signal: AbortSignal): Promise<void> {
    const { source, clock, log } = this.#ports
    for (let vain = 0; ; vain++) {
      const before = await this.#state(operation)
      const opened = await source.open(operation.import.url, { offset: before.offset, validator: before.validator }, { sizeBytesMax: imageBytesMax, signal }).catch((error: unknown) => this.#retryable(error, vain))
      if (opened !== null) {
        const after = await this.#take(operation, opened, signal).catch((error: unknown) => {
          signal.throwIfAborted()
          return this.#retryable(error, vain)
        })
        if (after === 'whole') return
        if ((await this.#state(operation)).offset > before.offset) vain = 0
      }
      signal.throwIfAborted()
      log.info('an import is tried again', { operationId: operation.id, attempt: vain + 1 })
      await new Promise<void>((resolve) => clock.after(pauseMs * 2 ** Math.min(vain, 4), resolve))
      signal.throwIfAborted()
    }
  }

  /** What another attempt may mend is null. @throws all else */
  #retryable(error: unknown, vain: number): null {
    const mendable = error instanceof OperationalError && error.code === 'SOURCE_FAILED' && !/answered 4\d\d/.test(error.message)
    if (!mendable || vain + 1 >= vainAttemptsMax) throw error
    return null
  }

  async #state(operation: Import): Promise<{ readonly offset: number; readonly validator: string | null }> {
    const partial = (await this.#ports.storage.intake.list()).find((candidate) => candidate.id === prefix + operation.id)
    return { offset: partial?.sizeBytes ?? 0, validator: partial === undefined || partial.note === '' ? null : partial.note }
  }

  async #take(operation: Import, opened: OpenedSource, signal: AbortSignal): Promise<'whole' | 'part'> {
    const { intake } = this.#ports.storage
    const id = prefix + operation.id
    if (opened.offset === 0) await intake.discard(id)
    const partial = await intake.open(id, { note: opened.validator ?? '', verified: operation.import.sha256 !== null })
    if (partial.sizeBytes !== opened.offset) throw new OperationalError('SOURCE_FAILED', 'The file has to be begun anew.')
    const tell = this.#teller(operation.id, opened)
    const sizeBytes = await intake.append(id, opened.body, { offset: opened.offset, sizeBytesMax: Math.min(imageBytesMax, opened.totalBytes ?? imageBytesMax), signal, onSize: tell })
    return opened.totalBytes === null || sizeBytes === opened.totalBytes ? 'whole' : 'part'
  }

  /** At most two a second. */
  #teller(operationId: string, opened: OpenedSource): (sizeBytes: number) => void {
    const { clock, onProgress } = this.#ports
    const begunMs = clock.monotonicMs()
    let toldMs = Number.NEGATIVE_INFINITY
    return (sizeBytes) => {
      const nowMs = clock.monotonicMs()
      if (nowMs - toldMs < progressMs) return
      toldMs = nowMs
      const bytesPerSecond = Math.round((sizeBytes - opened.offset) / Math.max(0.001, (nowMs - begunMs) / 1000))
      onProgress(operationId, { phase: 'download', processedBytes: sizeBytes, totalBytes: opened.totalBytes ?? 0, bytesPerSecond, downtimeMs: null })
    }
  }

  async #sweep(): Promise<void> {
    const { storage, consensus } = this.#ports
    for (const { id } of await storage.intake.list()) {
      if (!id.startsWith(prefix) || this.#running.has(id.slice(prefix.length))) continue
      const operation = consensus.state.tables.operation.get(id.slice(prefix.length))
      if (operation === undefined || operation.endedMs !== null) await storage.intake.discard(id)
    }
  }

  async #step(operation: Import, outcome: CommandPayload<'operation.step'>['outcome']): Promise<void> {
    await this.#propose('operation.step', { id: operation.id as OperationId, nodeId: this.#nodeId, step: operation.step, outcome })
  }

  async #propose<Type extends CommandType>(type: Type, payload: CommandPayload<Type>): Promise<CommandResult> {
    const { clock, random, consensus } = this.#ports
    const head = { id: uuidV7(clock.nowMs(), random.bytes(10)), actor: { kind: 'node' as const, id: this.#nodeId, name: 'controller', address: '' } }
    return consensus.propose(makeCommand(type, head, payload), { timeoutMs: proposeTimeoutMs })
  }
}
