// The source of a migration gives it up where the target has not been heard of for a while: its VM shall not wait for a host that may never come back.
import { makeCommand } from '../model/command.ts'
import { uuidV7, type NodeId, type OperationId } from '../model/id.ts'
import type { Cancel, Clock, Random } from '../ports/clock.ts'
import type { Consensus } from '../ports/consensus.ts'
import type { Log } from '../ports/log.ts'
import type { AttendanceView } from '../ports/presence.ts'
import { movesOnNode, type MoveOperation } from '../state/migration.ts'
import type { StateHolder } from '../state/state.ts'
import { canFail } from './step.ts'

const periodMs = 2_000
const silenceMsMax = 15_000
const proposeTimeoutMs = 5_000

export type TargetWatchPorts = { readonly clock: Clock; readonly random: Random; readonly log: Log; readonly consensus: Consensus & StateHolder; readonly attendance: AttendanceView }

export class TargetWatch {
  readonly #nodeId: NodeId
  readonly #ports: TargetWatchPorts
  /** Operation → since when its target is silent while it is the target's turn. */
  readonly #silent = new Map<string, number>()
  #cancel: Cancel | null = null

  constructor(options: { readonly nodeId: NodeId }, ports: TargetWatchPorts) {
    this.#nodeId = options.nodeId
    this.#ports = ports
  }

  start(): void {
    this.#cancel = this.#ports.clock.every(periodMs, () => this.#look())
  }

  stop(): void {
    this.#cancel?.()
  }

  #look(): void {
    const { clock, consensus, attendance } = this.#ports
    const waiting = movesOnNode(consensus.state, this.#nodeId).filter((operation) => operation.move.sourceId === this.#nodeId && operation.nodeId === operation.move.targetId && canFail(operation))
    // Up, but halted or far behind, it will not take its turn either.
    const heard = (operation: MoveOperation): boolean => attendance.hasApplied(operation.move.targetId, operation.revision)
    const nowMs = clock.monotonicMs()
    for (const id of this.#silent.keys()) if (!waiting.some((operation) => operation.id === id && !heard(operation))) this.#silent.delete(id)
    for (const operation of waiting) {
      if (heard(operation)) continue
      const sinceMs = this.#silent.get(operation.id) ?? nowMs
      this.#silent.set(operation.id, sinceMs)
      if (nowMs - sinceMs >= silenceMsMax) void this.#giveUp(operation)
    }
  }

  async #giveUp(operation: MoveOperation): Promise<void> {
    const { clock, random, log, consensus } = this.#ports
    const name = consensus.state.tables.node.get(operation.move.targetId)?.name ?? operation.move.targetId
    const head = { id: uuidV7(clock.nowMs(), random.bytes(10)), actor: { kind: 'node' as const, id: this.#nodeId, name: 'operations', address: '' } }
    const outcome = { kind: 'lost' as const, message: `${name} has not taken part for ${silenceMsMax / 1000} seconds.` }
    try {
      await consensus.propose(makeCommand('operation.advance', head, { id: operation.id as OperationId, nodeId: this.#nodeId, step: operation.step, direction: 'forward', outcome }), { timeoutMs: proposeTimeoutMs })
    } catch (error) {
      log.debug('a migration could not be given up yet', { operationId: operation.id, error: String(error) })
    }
  }
}
