// The steps that move a VM whose guest runs or is paused: disks and memory pass a relay, and the target's vCPUs start only after Raft has said so.
import { OperationalError } from '../model/error.ts'
import type { NodeId } from '../model/id.ts'
import type { StoredVm } from '../model/vm.ts'
import { domainSpecOf } from '../planner/domain.ts'
import type { Clock } from '../ports/clock.ts'
import type { Hypervisor } from '../ports/hypervisor.ts'
import type { MigrationRelay } from '../ports/migration.ts'
import type { ProgressBoard } from '../ports/progress.ts'
import type { StateHolder } from '../state/state.ts'
import type { MoveOperation } from '../state/migration.ts'
import { done, type StepContext, type StepHandlers, type StepOutcome } from './step.ts'
import { forgetDomain, type VmPlace } from './vm-place.ts'

const recoverRetryMs = 250
/** What the target's guest does not do by then its controller sees to. */
const switchAttemptsMax = 5

export type MigrateVmPorts = {
  readonly clock: Clock
  readonly hypervisor: Hypervisor
  readonly relay: MigrationRelay | null
  readonly progress: ProgressBoard
  readonly consensus: StateHolder
  readonly place: VmPlace
}
type Context = StepContext<MoveOperation>

export function migrateVmSteps(options: { readonly nodeId: NodeId }, ports: MigrateVmPorts): Readonly<Record<'prepare' | 'transfer' | 'release' | 'switch' | 'clean', StepHandlers>> {
  const steps = new MigrateVm(options.nodeId, ports)
  const { place } = ports
  return {
    prepare: { run: (context) => steps.prepare(context), undo: (context) => steps.unprepare(context) },
    transfer: { run: (context) => steps.transfer(context), undo: (context) => steps.untransfer(context) },
    release: { run: (context) => steps.release(context) },
    switch: { run: (context) => steps.switch(context) },
    clean: { run: (context) => place.clear(context.operation) },
  }
}

class MigrateVm {
  readonly #nodeId: NodeId
  readonly #ports: MigrateVmPorts
  readonly #switchAttempts = new Map<string, number>()

  constructor(nodeId: NodeId, ports: MigrateVmPorts) {
    this.#nodeId = nodeId
    this.#ports = ports
  }

  async prepare({ operation, signal }: Context): Promise<StepOutcome> {
    const { place } = this.#ports
    const vm = place.requireVm(operation)
    await place.clear(operation)
    await place.fetchImages(operation, vm, signal)
    const made = await place.makeVolumes(vm)
    const { address } = await this.#relay().accept({ operationId: operation.id, vmId: vm.id, fromNodeId: operation.move.sourceId })
    return done({ ...made, address })
  }

  async unprepare({ operation }: Context): Promise<StepOutcome> {
    await this.#ports.relay?.close(operation.id)
    return this.#ports.place.clear(operation)
  }

  async transfer({ operation, signal, fresh }: Context): Promise<StepOutcome> {
    const vm = this.#ports.place.requireVm(operation)
    // An earlier life of this daemon may have brought it over: that has to be found out before anything is begun.
    if (!fresh) return this.#settle(operation, vm, { signal, fault: new OperationalError('MIGRATION_FAILED', 'The daemon on the source was restarted in the midst of it.') })
    try {
      return await this.#send(operation, vm, signal)
    } catch (error) {
      if (!(error instanceof OperationalError)) throw error
      return this.#settle(operation, vm, { signal, fault: error })
    }
  }

  async #send(operation: MoveOperation, vm: StoredVm, signal: AbortSignal): Promise<StepOutcome> {
    const { hypervisor, progress } = this.#ports
    const { move } = operation
    const relay = this.#relay()
    const cut = new AbortController()
    const unwatch = relay.onCut((id, reason) => {
      if (id === operation.id) cut.abort(new OperationalError('MIGRATION_FAILED', `The connection to the other host was cut: ${reason}`))
    })
    const either = AbortSignal.any([signal, cut.signal])
    try {
      const target = domainSpecOf(vm, move.outputs.volumes ?? [], move.outputs.seedPath ?? null, move.epoch)
      const sockets = await relay.connect({ operationId: operation.id, vmId: vm.id, toNodeId: move.targetId, address: move.outputs.address ?? '' }, either)
      const final = await hypervisor.migrate({ id: vm.id, sockets, target, bandwidthMiBps: move.bandwidthMiBps }, ({ phase, processedBytes, totalBytes, downtimeMs }) => {
        progress.report(operation.id, { phase, processedBytes, totalBytes, downtimeMs })
      }, either)
      return done({ bytes: relay.use(operation.id)?.bytesSent ?? final.processedBytes, downtimeMs: final.downtimeMs })
    } catch (error) {
      if (cut.signal.aborted && !signal.aborted) throw cut.signal.reason
      throw error
    } finally {
      unwatch()
    }
  }

  /** It came to nothing, as far as can be told from here: the hypervisor knows better. The guest goes on at once, before anything is committed: only this node could have let the target start it. */
  async #settle(operation: MoveOperation, vm: StoredVm, { signal, fault }: { readonly signal: AbortSignal; readonly fault: OperationalError }): Promise<StepOutcome> {
    const where = await this.#recover(operation, vm, signal)
    if (where === 'gone') return done()
    return { kind: 'failed', code: signal.aborted ? 'CANCELLED' : fault.code, message: fault.message.slice(0, 2_000) }
  }

  async untransfer({ operation, signal }: Context): Promise<StepOutcome> {
    const vm = this.#ports.place.requireVm(operation)
    return (await this.#recover(operation, vm, signal)) === 'gone' ? { kind: 'gone', outputs: {} } : done()
  }

  /** Cuts everything, waits until the hypervisor can say where the guest is, and lets it go on if it is here. */
  async #recover(operation: MoveOperation, vm: StoredVm, signal: AbortSignal): Promise<'here' | 'gone' | 'off'> {
    const { hypervisor, relay } = this.#ports
    await relay?.close(operation.id)
    for (;;) {
      try {
        const where = await hypervisor.recoverMigration(vm.id)
        if (where === 'here' && vm.spec.runState === 'running') await hypervisor.resume(vm.id)
        return where
      } catch (error) {
        if (!(error instanceof OperationalError)) throw error
        if (error.code === 'DOMAIN_MISSING') return 'off'
        if (signal.aborted) throw error
        await new Promise<void>((resolve) => this.#ports.clock.after(recoverRetryMs, resolve))
      }
    }
  }

  /** The guest is at the target: here nothing may start it any more, not even an order that comes late. */
  async release({ operation }: Context): Promise<StepOutcome> {
    await this.#ports.relay?.close(operation.id)
    await forgetDomain(this.#ports.hypervisor, operation.spec.target.id)
    return done()
  }

  /** This node owns it now: its vCPUs may start. */
  async switch({ operation }: Context): Promise<StepOutcome> {
    const { hypervisor, relay, consensus } = this.#ports
    const { id } = operation.spec.target
    const vm = consensus.state.tables.vm.get(id)
    if (vm?.assignment?.nodeId !== this.#nodeId || vm.assignment.epoch !== operation.move.epoch) return done()
    try {
      const domain = await hypervisor.find(id)
      if (domain?.state === 'paused' && vm.spec.runState === 'running') await hypervisor.boot(id, operation.move.epoch)
    } catch (error) {
      if (!(error instanceof OperationalError)) throw error
      const attempts = (this.#switchAttempts.get(operation.id) ?? 0) + 1
      this.#switchAttempts.set(operation.id, attempts)
      if (attempts < switchAttemptsMax) throw error
    }
    this.#switchAttempts.delete(operation.id)
    await relay?.close(operation.id)
    return done()
  }

  #relay(): MigrationRelay {
    const { relay } = this.#ports
    if (relay === null) throw new OperationalError('MIGRATION_FAILED', 'This node has no relay: no running VM can leave it or come to it.')
    return relay
  }
}
