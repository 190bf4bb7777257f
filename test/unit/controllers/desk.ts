// A VM controller on a simulated machine and storage, with a state of one node that applies commands at once; time passes when told to.
import { VmController } from '../../../src/controllers/vm.ts'
import { SimHypervisor } from '../../../src/drivers/sim/hypervisor.ts'
import { SimMachine } from '../../../src/drivers/sim/machine.ts'
import { SimPool, SimStorage } from '../../../src/drivers/sim/storage.ts'
import type { Command } from '../../../src/model/command.ts'
import { OperationalError } from '../../../src/model/error.ts'
import type { NodeId, OperationId, VmId } from '../../../src/model/id.ts'
import type { CommandPayload } from '../../../src/model/command.ts'
import type { StoredVm } from '../../../src/model/vm.ts'
import type { Consensus, ConsensusNotice } from '../../../src/ports/consensus.ts'
import { applyCommand } from '../../../src/state/apply.ts'
import type { StateHolder } from '../../../src/state/state.ts'
import { memoryLocalStore } from '../../contract/memory.ts'
import { EventQueue } from '../../sim/event-queue.ts'
import { SimClock } from '../../sim/sim-clock.ts'
import type { ImageSupply } from '../../../src/ports/image-supply.ts'
import { recordingLog, type LogLine } from '../http/harness.ts'
import { World } from '../state/world.ts'

const random = { integer: (bound: number) => Math.floor(bound / 2), bytes: (length: number) => new Uint8Array(length) }

export class Desk {
  readonly world = new World()
  readonly nodeId: NodeId
  readonly machine: SimMachine
  readonly pool = new SimPool()
  readonly lines: LogLine[] = []
  /** Commands of the controller, in order. */
  readonly proposed: Command[] = []
  readonly controller: VmController
  readonly hypervisor: SimHypervisor
  readBarrier: () => Promise<number> = () => Promise.resolve(this.world.state.index)
  readonly #queue = new EventQueue()
  readonly #listeners = new Set<(notice: ConsensusNotice) => void>()

  constructor() {
    this.nodeId = this.world.form().nodeId
    const clock = new SimClock(this.#queue)
    this.machine = new SimMachine({ clock, random })
    this.hypervisor = new SimHypervisor({ machine: this.machine }, { epochs: memoryLocalStore(), clock, random })
    const consensus = {
      state: this.world.state,
      watch: (listener: (notice: ConsensusNotice) => void) => {
        this.#listeners.add(listener)
        return () => this.#listeners.delete(listener)
      },
      readBarrier: () => this.readBarrier(),
      propose: (command: Command) => {
        this.proposed.push(command)
        return Promise.resolve(this.#apply(command))
      },
    } as unknown as Consensus & StateHolder
    const storage = new SimStorage({ clock, random, pool: this.pool })
    this.storage = storage
    this.controller = new VmController({ nodeId: this.nodeId }, { clock, random, log: recordingLog(this.lines), consensus, hypervisor: this.hypervisor, storage, supply: this.supply })
  }

  /** Images that were asked for, until `arrive` is called for them. */
  readonly wanted = new Map<string, { readonly arrive: () => void; readonly fail: (error: Error) => void; readonly signal: AbortSignal }>()
  readonly storage: SimStorage
  readonly supply: ImageSupply = {
    fetching: () => new Map(),
    redeem: () => null,
    ensure: (sha256, _format, signal, onProgress) => new Promise<void>((resolve, reject) => {
      onProgress?.({ processedBytes: 43, totalBytes: 100 })
      this.wanted.set(sha256, { arrive: resolve, fail: reject, signal })
    }),
  }

  async start(): Promise<void> {
    await this.hypervisor.start(new AbortController().signal)
    this.controller.start()
    await this.pass(100)
  }

  async pass(durationMs: number): Promise<void> {
    const untilMs = this.#queue.nowMs + durationMs
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve))
      const action = this.#queue.next(untilMs)
      if (action === null) return
      action()
    }
  }

  vm(id: VmId): StoredVm | undefined {
    return this.world.state.tables.vm.get(id)
  }

  /** Makes a VM and lets the controller see to it. */
  async make(name: string, spec: Record<string, unknown> = {}): Promise<VmId> {
    const id = this.world.vm(this.nodeId, name, spec)
    this.#tell(id)
    await this.pass(5_000)
    return id
  }

  async act(id: VmId, action: CommandPayload<'vm.act'>['action'], options: { readonly force?: boolean; readonly passMs?: number } = {}): Promise<OperationId> {
    const { operationId } = this.world.act(id, action, options.force ?? false)
    this.#tell(id)
    await this.pass(options.passMs ?? 10_000)
    return operationId
  }

  async cancel(id: VmId, operationId: OperationId): Promise<void> {
    this.world.run('operation.cancel', { id: operationId })
    this.#tell(id)
    await this.pass(10)
  }

  stateOf(operationId: OperationId): string {
    const operation = this.world.state.tables.operation.get(operationId)
    return `${operation?.state} ${operation?.error?.code ?? ''}`.trim()
  }

  #apply(command: Command) {
    const { state } = this.world
    const { result, events } = applyCommand(state, { index: state.index + 1, term: 1, timeMs: state.timeMs + 1, command })
    for (const listener of this.#listeners) listener({ kind: 'applied', index: state.index, command, events })
    return result
  }

  #tell(id: VmId): void {
    const event = [...this.world.state.tables.event.values()].findLast((each) => each.resourceId === id)
    if (event === undefined) throw new Error('nothing was said of it')
    for (const listener of this.#listeners) listener({ kind: 'applied', index: this.world.state.index, command: null, events: [event] })
  }
}

export const noQuorum = (): Promise<never> => Promise.reject(new OperationalError('NO_QUORUM', 'no quorum'))
