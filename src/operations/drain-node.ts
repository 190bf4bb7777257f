// Drains this node: its VMs, running or not, move to where the planner says, a few at a time, until none is left or none fits anywhere.
import type { CommandPayload } from '../model/command.ts'
import { makeCommand } from '../model/command.ts'
import { OperationalError } from '../model/error.ts'
import { uuidV7, type NodeId, type OperationId, type VmId } from '../model/id.ts'
import type { StoredOperation } from '../model/operation.ts'
import type { StoredVm } from '../model/vm.ts'
import { placeOfDrained, whyNowhere } from '../planner/drain.ts'
import type { Clock, Random } from '../ports/clock.ts'
import type { Consensus } from '../ports/consensus.ts'
import type { AttendanceView } from '../ports/presence.ts'
import type { ProgressBoard } from '../ports/progress.ts'
import { movesOnNode } from '../state/migration.ts'
import { vmsOnNode } from '../state/query.ts'
import type { StateHolder } from '../state/state.ts'

const lookMs = 1_000
const retryMs = 3_000
/** Attempts at one VM; then it is told as one that stays. */
const attemptsMax = 4
const namesShownMax = 10
const proposeTimeoutMs = 5_000

export type DrainPorts = {
  readonly clock: Clock
  readonly random: Random
  readonly consensus: Consensus & StateHolder
  readonly progress: ProgressBoard
  readonly attendance: AttendanceView
}
type Outcome = CommandPayload<'operation.step'>['outcome']
type Attempt = { failures: number; reason: string; againMs: number; operationId: string | null }

/** Resolves when nothing is left to move; aborted it leaves running migrations to themselves. */
export async function drainNode(operation: StoredOperation, options: { readonly nodeId: NodeId; readonly signal: AbortSignal }, ports: DrainPorts): Promise<Outcome> {
  const drain = new Drain(operation, options.nodeId, ports)
  while (!options.signal.aborted) {
    const outcome = await drain.look()
    if (outcome !== null) return outcome
    await pause(ports.clock, options.signal)
  }
  return { kind: 'failed', code: 'CANCELLED', message: 'It was stopped.' }
}

class Drain {
  readonly #operation: StoredOperation
  readonly #nodeId: NodeId
  readonly #ports: DrainPorts
  readonly #attempts = new Map<string, Attempt>()
  #total = 0

  constructor(operation: StoredOperation, nodeId: NodeId, ports: DrainPorts) {
    this.#operation = operation
    this.#nodeId = nodeId
    this.#ports = ports
  }

  /** Begins what may begin; null while something is left to wait for. */
  async look(): Promise<Outcome | null> {
    const { state } = this.#ports.consensus
    // What another node has yet to clean up is not this one's.
    const moving = movesOnNode(state, this.#nodeId).filter((move) => move.move.sourceId === this.#nodeId && (!move.move.freed || move.nodeId === this.#nodeId))
    const left = vmsOnNode(state, this.#nodeId)
    this.#total = Math.max(this.#total, left.length)
    this.#ports.progress.report(this.#operation.id, { phase: 'VMs', processedBytes: this.#total - left.length, totalBytes: this.#total, downtimeMs: null })
    for (const vm of left) this.#learn(vm)
    let room = (this.#operation.drain?.concurrency ?? 1) - moving.filter((move) => !move.move.freed).length
    let stuck = 0
    for (const vm of left) {
      const attempt = this.#attempts.get(vm.id)
      if ((attempt !== undefined && attempt.failures >= attemptsMax) || isHalfDeleted(vm)) stuck++
      else if (room > 0 && vm.operationId === null && !vm.deleting && (attempt === undefined || attempt.againMs <= this.#ports.clock.monotonicMs())) {
        if (await this.#begin(vm)) room--
      }
    }
    if (left.length === 0 && moving.length === 0) return { kind: 'done' }
    return stuck < left.length || moving.length > 0 ? null : { kind: 'failed', code: 'NO_FIT', message: this.#staying(left) }
  }

  /** What became of the migration that was begun. */
  #learn(vm: StoredVm): void {
    const attempt = this.#attempts.get(vm.id)
    if (attempt === undefined || attempt.operationId === null || vm.operationId === attempt.operationId) return
    const ended = this.#ports.consensus.state.tables.operation.get(attempt.operationId)
    attempt.operationId = null
    this.#failed(vm.id, ended?.error?.message ?? 'its migration came to nothing')
  }

  async #begin(vm: StoredVm): Promise<boolean> {
    const { clock, random, consensus, attendance } = this.#ports
    const place = placeOfDrained(consensus.state, vm, { leaving: this.#nodeId, ready: attendance.all() })
    if (place.kind === 'noFit') {
      this.#failed(vm.id, whyNowhere(place.reasons))
      return false
    }
    const operationId = uuidV7(clock.nowMs(), random.bytes(10)) as OperationId
    const head = { id: uuidV7(clock.nowMs(), random.bytes(10)), actor: { kind: 'node' as const, id: this.#nodeId, name: 'drain', address: '' } }
    const payload = { id: vm.id as VmId, operationId, targetNodeId: place.nodeId as NodeId, bandwidthMiBps: null, force: false, reason: place.reason.slice(0, 300), drainId: this.#operation.id as OperationId }
    try {
      const result = await consensus.propose(makeCommand('vm.migrate', head, payload), { timeoutMs: proposeTimeoutMs })
      if (result.kind === 'refused') {
        this.#failed(vm.id, result.message)
        return false
      }
    } catch (error) {
      // The cluster being away is no fault of the VM: the next look sees what came of it.
      if (error instanceof OperationalError) return false
      throw error
    }
    const attempt = this.#attempts.get(vm.id) ?? { failures: 0, reason: '', againMs: 0, operationId: null }
    this.#attempts.set(vm.id, { ...attempt, operationId })
    return true
  }

  #failed(vmId: string, reason: string): void {
    const failures = (this.#attempts.get(vmId)?.failures ?? 0) + 1
    this.#attempts.set(vmId, { failures, reason, againMs: this.#ports.clock.monotonicMs() + retryMs, operationId: null })
  }

  #staying(left: readonly StoredVm[]): string {
    const named = left.toSorted((one, other) => (one.name < other.name ? -1 : 1)).slice(0, namesShownMax)
    const reasons = named.map((vm) => `${vm.name}: ${this.#attempts.get(vm.id)?.reason ?? 'is half deleted: delete it again'}`)
    const more = left.length > namesShownMax ? `; and ${left.length - namesShownMax} more` : ''
    return `${left.length === 1 ? 'A VM stays' : `${left.length} VMs stay`}, for no other node takes ${left.length === 1 ? 'it' : 'them'}: ${reasons.join('; ')}${more}`.slice(0, 2_000)
  }
}

/** Nothing is done with it until somebody deletes it again. */
function isHalfDeleted(vm: StoredVm): boolean {
  return vm.deleting && vm.operationId === null
}

function pause(clock: Clock, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      cancel()
      signal.removeEventListener('abort', end)
      resolve()
    }
    const cancel = clock.after(lookMs, end)
    signal.addEventListener('abort', end)
  })
}
