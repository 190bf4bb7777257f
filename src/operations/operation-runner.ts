// Runs the steps whose node this node is, from the state alone: nothing else tells it what to do, and what it has done commits before the next begins.
//
//   state says "your turn" → handler → outcome → operation.advance (again and again until the state has moved on)
//   state says otherwise   → the running handler is aborted; whoever's turn it is runs next
import { OperationalError } from '../model/error.ts'
import { makeCommand, type CommandPayload, type CommandType } from '../model/command.ts'
import { uuidV7, type NodeId, type OperationId } from '../model/id.ts'
import type { StoredOperation } from '../model/operation.ts'
import type { Cancel, Clock, Random } from '../ports/clock.ts'
import type { Consensus } from '../ports/consensus.ts'
import type { Log } from '../ports/log.ts'
import { isMove, type MoveOperation } from '../state/migration.ts'
import type { StateHolder } from '../state/state.ts'
import { canFail, stepName, turnOf, type StepHandlers, type StepOutcome } from './step.ts'

const proposeTimeoutMs = 5_000
const catchUpRetryMs = 500
const retryMsMin = 100
const retryMsMax = 5_000
const messageCharactersMax = 2_000

export type RunnerPorts = { readonly clock: Clock; readonly random: Random; readonly log: Log; readonly consensus: Consensus & StateHolder }
/** Handlers of moving operations by kind and step, and what drains. */
export type Handlers = {
  readonly moves: Readonly<Record<string, Readonly<Record<string, StepHandlers>>>>
  readonly drain: (operation: StoredOperation, signal: AbortSignal) => Promise<CommandPayload<'operation.step'>['outcome']>
}
type Run = { readonly turn: string; readonly abort: AbortController; readonly ended: Promise<void> }

export class OperationRunner {
  readonly #nodeId: NodeId
  readonly #ports: RunnerPorts
  readonly #handlers: Handlers
  readonly #runs = new Map<string, Run>()
  /** Turns that stood when this process had caught up: an earlier life may have begun them. */
  readonly #inherited = new Set<string>()
  #unwatch: Cancel | null = null
  #catchUpTimer: Cancel | null = null
  #caughtUp = false
  #stopped = false

  constructor(options: { readonly nodeId: NodeId; readonly handlers: Handlers }, ports: RunnerPorts) {
    this.#nodeId = options.nodeId
    this.#handlers = options.handlers
    this.#ports = ports
  }

  start(): void {
    this.#unwatch = this.#ports.consensus.watch((notice) => {
      if (notice.kind === 'replaced') this.#all()
      if (notice.kind === 'applied') for (const event of notice.events) if (event.kind === 'operation') this.#look(event.resourceId)
    })
    void this.#catchUp()
  }

  /** What runs is aborted; its step stays where it is. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#unwatch?.()
    this.#catchUpTimer?.()
    const runs = [...this.#runs.values()]
    for (const run of runs) run.abort.abort(new OperationalError('STOPPING', 'The node is stopping.'))
    await Promise.all(runs.map((run) => run.ended))
  }

  /** An old state may name an old turn: nothing runs before this node has once been as far as a leader. */
  async #catchUp(): Promise<void> {
    try {
      await this.#ports.consensus.readBarrier()
      for (const operation of this.#ports.consensus.state.tables.operation.values()) {
        const turn = turnOf(operation, this.#nodeId)
        if (turn !== null) this.#inherited.add(`${operation.id} ${turn}`)
      }
      this.#caughtUp = true
      this.#all()
    } catch {
      if (!this.#stopped) this.#catchUpTimer = this.#ports.clock.after(catchUpRetryMs, () => void this.#catchUp())
    }
  }

  #all(): void {
    for (const operation of this.#ports.consensus.state.tables.operation.values()) if (operation.state === 'running') this.#look(operation.id)
    for (const id of this.#runs.keys()) this.#look(id)
  }

  #look(id: string): void {
    if (!this.#caughtUp || this.#stopped) return
    const turn = this.#turn(id)
    const run = this.#runs.get(id)
    if (run !== undefined) {
      if (run.turn !== turn) run.abort.abort(new OperationalError('STATE_CONFLICT', 'The operation has turned back or moved on.'))
      return
    }
    if (turn === null) return
    const abort = new AbortController()
    const ended = this.#run(id, turn, abort.signal).finally(() => {
      this.#runs.delete(id)
      this.#look(id)
    })
    this.#runs.set(id, { turn, abort, ended })
  }

  #turn(id: string): string | null {
    return turnOf(this.#ports.consensus.state.tables.operation.get(id), this.#nodeId)
  }

  async #run(id: string, turn: string, signal: AbortSignal): Promise<void> {
    // What began in the middle of an application goes on after it.
    await Promise.resolve()
    for (let failures = 0; !signal.aborted && this.#turn(id) === turn; failures++) {
      const operation = this.#ports.consensus.state.tables.operation.get(id)
      if (operation === undefined) return
      try {
        if (isMove(operation)) await this.#move(operation, turn, signal)
        else await this.#step(operation, turn, signal)
      } catch (error) {
        if (signal.aborted) return
        const fields = error instanceof OperationalError ? { code: error.code, error: error.message } : { error: error instanceof Error ? (error.stack ?? error.message) : String(error) }
        this.#ports.log.warn('a step of an operation failed; it is tried again', { operationId: id, operation: operation.spec.operation, turn, ...fields })
        await this.#pause(failures, signal)
      }
    }
  }

  async #move(operation: MoveOperation, turn: string, signal: AbortSignal): Promise<void> {
    const { log } = this.#ports
    const name = stepName(operation)
    const handlers = this.#handlers.moves[operation.spec.operation]?.[name]
    const back = operation.move.direction === 'back'
    const handler = back ? handlers?.undo : handlers?.run
    if (handler === undefined) throw new Error(`assertion: no handler for ${operation.spec.operation} ${name}`)
    log.info('operation step', { operationId: operation.id, operation: operation.spec.operation, step: name, back })
    let outcome: StepOutcome
    try {
      outcome = await handler({ operation, signal, fresh: !this.#inherited.has(`${operation.id} ${turn}`) })
    } catch (error) {
      // Aborted: it turned back, or the node stops; whoever's turn it is cleans up.
      if (signal.aborted || !canFail(operation) || !(error instanceof OperationalError)) throw error
      outcome = { kind: 'failed', code: error.code, message: error.message.slice(0, messageCharactersMax) }
    }
    this.#inherited.delete(`${operation.id} ${turn}`)
    if (outcome.kind === 'failed') log.warn('operation step failed', { operationId: operation.id, step: name, code: outcome.code, error: outcome.message })
    const { step } = operation
    const { direction } = operation.move
    await this.#commit('operation.advance', { id: operation.id as OperationId, nodeId: this.#nodeId, step, direction, outcome }, { turn, signal })
  }

  async #step(operation: StoredOperation, turn: string, signal: AbortSignal): Promise<void> {
    const outcome = await this.#handlers.drain(operation, signal)
    if (signal.aborted) return
    await this.#commit('operation.step', { id: operation.id as OperationId, nodeId: this.#nodeId, step: operation.step, outcome }, { turn, signal })
  }

  /** What was done is done: it is said until the state has moved on, whatever becomes of leaders and links meanwhile. */
  async #commit<Type extends CommandType & ('operation.advance' | 'operation.step')>(
    type: Type, payload: CommandPayload<Type> & { readonly id: string }, { turn, signal }: { readonly turn: string; readonly signal: AbortSignal },
  ): Promise<void> {
    const { clock, random, consensus } = this.#ports
    for (let failures = 0; !this.#stopped && this.#turn(payload.id) === turn; failures++) {
      try {
        const head = { id: uuidV7(clock.nowMs(), random.bytes(10)), actor: { kind: 'node' as const, id: this.#nodeId, name: 'operations', address: '' } }
        await consensus.propose(makeCommand(type, head, payload), { timeoutMs: proposeTimeoutMs })
      } catch (error) {
        if (!(error instanceof OperationalError)) throw error
        await this.#pause(failures, signal)
      }
    }
  }

  #pause(failures: number, signal: AbortSignal): Promise<void> {
    const fullMs = Math.min(retryMsMax, retryMsMin * 2 ** Math.min(failures, 10))
    return new Promise((resolve) => {
      if (signal.aborted) return resolve()
      const end = (): void => {
        cancel()
        signal.removeEventListener('abort', end)
        resolve()
      }
      const cancel = this.#ports.clock.after(fullMs / 2 + this.#ports.random.integer(Math.ceil(fullMs / 2)), end)
      signal.addEventListener('abort', end)
    })
  }
}
