// Keeps the VMs assigned to this node as the state says: observe, plan, act, report; by VM id, again and again.
import { OperationalError } from '../model/error.ts'
import type { NodeId, OperationId, VmId } from '../model/id.ts'
import { uuidV7 } from '../model/id.ts'
import { makeCommand, type CommandOf, type CommandPayload, type CommandResult, type CommandType } from '../model/command.ts'
import type { Actor } from '../model/user.ts'
import type { StoredOperation } from '../model/operation.ts'
import { isOnItsWay, type StoredVm, type VmReport } from '../model/vm.ts'
import { domainSpecOf, hasAllVolumes } from '../planner/domain.ts'
import { currentStep, isHalfDeleted, lastingPhase, planForeign, planVm, type VmActionStep, type VmObservation } from '../planner/vm.ts'
import type { Cancel, Clock, Random } from '../ports/clock.ts'
import type { Consensus } from '../ports/consensus.ts'
import { domainDigest } from '../ports/domain-digest.ts'
import type { Domain, Hypervisor } from '../ports/hypervisor.ts'
import type { ImageSupply } from '../ports/image-supply.ts'
import type { Log } from '../ports/log.ts'
import type { StorageDriver } from '../ports/storage.ts'
import { sameValue } from '../state/canonical.ts'
import { vmsOnNode } from '../state/query.ts'
import type { StateHolder } from '../state/state.ts'
import { prepareVolumes } from './vm-domain.ts'
import { VmImages } from './vm-images.ts'
import { VmMemory, type Fault } from './vm-memory.ts'
import { WorkQueue } from './work-queue.ts'

export type VmControllerPorts = {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly consensus: Consensus & StateHolder
  readonly hypervisor: Hypervisor
  readonly storage: StorageDriver
  readonly supply: ImageSupply
}

/** Everything is looked at again this often, give or take a half. */
export const resyncMs = 30_000
const proposeTimeoutMs = 5_000
const catchUpRetryMs = 500
/** An operation whose VM cannot be seen to for so long has failed. */
const troubleMsMax = 20_000
/** Plans carried out for one look; a plan that never settles is looked at again later. */
const roundsMax = 8
const unsettledMs = 1_000
const messageCharactersMax = 2_000
/** Until a guest has told its addresses it is asked this often; later with the resync. */
const addressPollMs = 3_000
/** How often the progress of a VM's image is looked at. */
const imagePollMs = 2_000

export class VmController {
  readonly #nodeId: NodeId
  readonly #ports: VmControllerPorts
  readonly #queue: WorkQueue
  readonly #memory: VmMemory
  readonly #images: VmImages
  readonly #unwatch: Cancel[] = []
  #catchUpTimer: Cancel | null = null
  #resyncTimer: Cancel | null = null
  /** Nothing is started before this node has once been as far as a leader: an old state may name an old owner. */
  #caughtUp = false
  #stopped = false

  constructor(options: { readonly nodeId: NodeId }, ports: VmControllerPorts) {
    this.#nodeId = options.nodeId
    this.#ports = ports
    this.#memory = new VmMemory(ports.clock)
    this.#images = new VmImages(ports, (id) => this.#queue.add(id))
    this.#queue = new WorkQueue(
      { work: (id) => this.#reconcile(id), onError: (id, error) => this.#failed(id, error) },
      { clock: ports.clock, random: ports.random },
    )
  }

  /** Keys the controller has in hand. */
  get pending(): number {
    return this.#queue.size
  }

  start(): void {
    const { consensus, hypervisor } = this.#ports
    this.#unwatch.push(
      consensus.watch((notice) => {
        if (notice.kind === 'replaced') this.#all()
        if (notice.kind === 'applied') for (const event of notice.events) if (event.kind === 'vm') this.#wake(event.resourceId)
      }),
      hypervisor.watch((event) => {
        if (event.kind === 'domain') this.#queue.add(event.id)
        if (event.kind === 'connected') this.#all()
      }),
    )
    void this.#catchUp()
    this.#resyncLater()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    for (const cancel of this.#unwatch.splice(0)) cancel()
    this.#catchUpTimer?.()
    this.#resyncTimer?.()
    this.#images.stop()
    await this.#queue.stop()
  }

  async #catchUp(): Promise<void> {
    try {
      await this.#ports.consensus.readBarrier()
      this.#caughtUp = true
      this.#all()
    } catch {
      if (!this.#stopped) this.#catchUpTimer = this.#ports.clock.after(catchUpRetryMs, () => void this.#catchUp())
    }
  }

  #resyncLater(): void {
    const delayMs = resyncMs / 2 + this.#ports.random.integer(resyncMs)
    this.#resyncTimer = this.#ports.clock.after(delayMs, () => {
      this.#all()
      if (!this.#stopped) this.#resyncLater()
    })
  }

  /** A change of a VM that is not this node's, and of which it has nothing, is none of its business; what it has all the same the resync finds. */
  #wake(id: string): void {
    const vm = this.#ports.consensus.state.tables.vm.get(id)
    if (vm?.assignment?.nodeId === this.#nodeId || this.#memory.has(id)) this.#queue.add(id)
  }

  #all(): void {
    for (const vm of vmsOnNode(this.#ports.consensus.state, this.#nodeId)) this.#queue.add(vm.id)
    this.#ports.hypervisor.list().then(
      (domains) => {
        for (const domain of domains) this.#queue.add(domain.id)
      },
      (error: unknown) => this.#ports.log.debug('domains could not be listed', { error: String(error) }),
    )
  }

  async #reconcile(id: string): Promise<void> {
    if (!this.#caughtUp) return
    try {
      await this.#look(id)
      this.#memory.managed(id)
    } catch (error) {
      await this.#troubled(id, error)
      throw error
    }
  }

  async #look(id: string): Promise<void> {
    for (let round = 0; round < roundsMax && !this.#stopped; round++) {
      const vm = this.#ports.consensus.state.tables.vm.get(id)
      const domain = await this.#ports.hypervisor.find(id)
      if (vm === undefined) return this.#orphan(id, domain)
      if (isOnItsWay(vm)) return
      if (vm.assignment?.nodeId !== this.#nodeId) return this.#foreign(vm, domain)
      const operation = this.#operationOf(vm)
      if (isHalfDeleted(vm, currentStep(operation))) return
      const wanted = await this.#wanted(vm)
      const plan = planVm(vm, operation, { domain, ...wanted, ...this.#memory.of(vm, operation) })
      if (plan.length === 0) return this.#settled(vm, domain, wanted)
      const settled = await this.#execute({ vm, operation, domain, definition: wanted.definition }, plan)
      if (settled) return
    }
    this.#queue.addAfter(id, unsettledMs)
  }

  /** Nothing but faults comes of an operation: for a while that is waited out, then it has failed. The cluster being away is no fault of the VM. */
  async #troubled(id: string, error: unknown): Promise<void> {
    if (error instanceof OperationalError && isOfCluster(error)) return
    const vm = this.#ports.consensus.state.tables.vm.get(id)
    if (vm?.assignment?.nodeId !== this.#nodeId) return
    const operation = this.#operationOf(vm)
    const step = currentStep(operation)
    if (operation === null || step === null || step === 'remove' || this.#memory.troubledMs(id, operation) < troubleMsMax) return
    await this.#stepEnded(operation.id, operation.step, { kind: 'failed', ...faultOf(error) })
  }

  #operationOf(vm: StoredVm): StoredOperation | null {
    return vm.operationId === null ? null : (this.#ports.consensus.state.tables.operation.get(vm.operationId) ?? null)
  }

  /** What the spec asks for; the definition is empty while volumes are missing. */
  async #wanted(vm: StoredVm): Promise<Pick<VmObservation, 'definition' | 'volumesReady'>> {
    const volumes = await this.#ports.storage.volumes(vm.id)
    if (!hasAllVolumes(vm, volumes)) return { definition: '', volumesReady: false }
    return { definition: domainDigest(domainSpecOf(vm, volumes, this.#memory.seedPath(vm))), volumesReady: this.#memory.hasSeed(vm) }
  }

  /** True when there is nothing to do before something happens. */
  async #execute(
    target: { readonly vm: StoredVm; readonly operation: StoredOperation | null; readonly domain: Domain | null; readonly definition: string },
    plan: readonly VmActionStep[],
  ): Promise<boolean> {
    const { vm, operation, domain, definition } = target
    for (const action of plan) {
      if (action.kind === 'wait') {
        if (action.because === 'crashes') await this.#reportCrashes(vm, domain)
        this.#queue.addAfter(vm.id, action.delayMs)
        return true
      }
      if (action.kind === 'stepDone') {
        // Of what is deleted there is nothing left to say.
        if (currentStep(operation) !== 'remove') await this.#report(vm, await this.#ports.hypervisor.find(vm.id), definition)
        await this.#stepEnded(action.operationId, action.step, { kind: 'done' })
        continue
      }
      try {
        if (action.kind === 'prepare' && (await this.#awaitsImage(vm, domain))) return true
        await this.#act(vm, action.kind, operation)
      } catch (error) {
        if (action.kind === 'shutdown' && isRefused(error)) {
          // Forced when its time is over, like a guest that heard and did not obey.
          await this.#reportRefusal(vm, error)
          continue
        }
        await this.#actionFailed(vm, operation, error)
        throw error
      }
    }
    return false
  }

  async #act(vm: StoredVm, kind: Exclude<VmActionStep['kind'], 'wait' | 'stepDone'>, operation: StoredOperation | null): Promise<void> {
    const { hypervisor, storage, log } = this.#ports
    const epoch = vm.assignment?.epoch ?? 0
    if (kind !== 'guestStopped') log.info('vm action', { vmId: vm.id, vm: vm.name, action: kind })
    switch (kind) {
      case 'prepare': {
        const { volumes, seedPath } = await prepareVolumes(vm, storage)
        this.#memory.seeded(vm, seedPath)
        return hypervisor.define(domainSpecOf(vm, volumes, seedPath))
      }
      case 'boot':
        await hypervisor.boot(vm.id, epoch)
        return this.#memory.booted(vm, operation)
      case 'shutdown':
        this.#memory.shutdownAsked(vm.id, operation)
        return hypervisor.shutdown(vm.id)
      case 'destroy':
        return hypervisor.destroy(vm.id)
      case 'pause':
        return hypervisor.pause(vm.id)
      case 'resume':
        return hypervisor.resume(vm.id)
      case 'reset':
        await hypervisor.reset(vm.id)
        return this.#memory.resetMade(vm.id, operation)
      case 'remove':
        await hypervisor.undefine(vm.id)
        await storage.deleteVolumes(vm.id)
        this.#images.forget(vm.id)
        return this.#memory.forget(vm.id)
      case 'evict':
        await hypervisor.destroy(vm.id)
        return hypervisor.undefine(vm.id)
      case 'guestStopped':
        await this.#propose('vm.guestStopped', { id: vm.id as VmId, nodeId: this.#nodeId, epoch, generation: vm.generation, runState: 'stopped' }, { kind: 'guest', id: vm.id, name: 'guest', address: '' })
    }
  }

  /** The plan is empty: say what is, and come back for what changes without an event. */
  async #settled(vm: StoredVm, domain: Domain | null, wanted: Pick<VmObservation, 'definition'>): Promise<void> {
    this.#memory.settled(vm.id)
    await this.#report(vm, domain, wanted.definition)
    if (domain?.state === 'running' && vm.spec.nics.length > 0 && this.#memory.addresses(vm.id).length === 0 && this.#memory.mayPoll(vm.id)) {
      this.#queue.addAfter(vm.id, addressPollMs)
    }
  }

  async #report(vm: StoredVm, domain: Domain | null, definition: string): Promise<void> {
    const current = this.#ports.consensus.state.tables.vm.get(vm.id)
    if (current === undefined || current.assignment === null) return
    const phase = lastingPhase(domain)
    const runs = phase === 'running' || phase === 'paused'
    const report: VmReport = {
      phase,
      observedGeneration: vm.generation,
      addresses: runs ? [...(await this.#addressesOf(vm, phase))] : [],
      message: '', code: '',
      restartNeeded: runs && definition !== '' && this.#memory.isBehind(vm, definition),
      madeDisks: definition === '' ? (current.report.madeDisks ?? []) : vm.spec.disks.map((disk) => disk.name),
    }
    await this.#sendReport(current, report)
  }

  async #reportCrashes(vm: StoredVm, domain: Domain | null): Promise<void> {
    if (domain?.state !== 'off' && domain?.state !== 'crashed') return
    const message = 'The guest ended again and again soon after its start. It is started again after a pause.'
    await this.#sendReport(vm, { ...vm.report, phase: 'failed', observedGeneration: vm.generation, addresses: [], message, code: '', restartNeeded: false })
  }

  /** Told once in each stop; the report after the stop ends it. */
  async #reportRefusal(vm: StoredVm, error: unknown): Promise<void> {
    const { isNews, code, message } = this.#memory.shutdownRefused(vm.id, faultOf(error))
    if (isNews) this.#ports.log.warn('a guest could not be asked to power off', { vmId: vm.id, vm: vm.name, code, error: message })
    const told = `The guest could not be asked to power off, and is forced when its time is over: ${message}`.slice(0, messageCharactersMax)
    await this.#sendReport(vm, { ...vm.report, observedGeneration: vm.generation, message: told, code })
  }

  /** True while an image has yet to come: the VM says so, and is looked at again when it is here. */
  async #awaitsImage(vm: StoredVm, domain: Domain | null): Promise<boolean> {
    const message = await this.#images.missing(vm)
    if (message === null) return false
    await this.#sendReport(vm, { ...vm.report, phase: lastingPhase(domain), observedGeneration: vm.generation, message, code: '' })
    this.#queue.addAfter(vm.id, imagePollMs)
    return true
  }

  async #sendReport(vm: StoredVm, report: VmReport): Promise<void> {
    if (sameValue(report, vm.report)) return
    const epoch = vm.assignment?.epoch ?? 0
    await this.#propose('vm.report', { id: vm.id as VmId, nodeId: this.#nodeId, epoch, report })
  }

  async #addressesOf(vm: StoredVm, phase: string): Promise<readonly string[]> {
    if (vm.spec.nics.length === 0) return []
    if (phase !== 'running' || !this.#memory.mayAsk(vm.id)) return this.#memory.addresses(vm.id)
    try {
      this.#memory.learned(vm.id, await this.#ports.hypervisor.addresses(vm.id))
    } catch (error) {
      if (!(error instanceof OperationalError)) throw error
    }
    return this.#memory.addresses(vm.id)
  }

  /**
   * A running operation fails at once unless libvirt is only away for a moment, or it has begun to remove things: that goes on until it is
   * done. Without an operation, the VM says what is wrong and is tried again.
   */
  async #actionFailed(vm: StoredVm, operation: StoredOperation | null, error: unknown): Promise<void> {
    const { code, message } = faultOf(error)
    if (code === 'HYPERVISOR_UNREACHABLE' || code === 'HYPERVISOR_TIMEOUT' || (error instanceof OperationalError && isOfCluster(error))) return
    const domain = await this.#ports.hypervisor.find(vm.id)
    const off = domain === null || domain.state === 'off' || domain.state === 'crashed'
    const phase = off ? 'failed' : lastingPhase(domain)
    await this.#sendReport(vm, { ...vm.report, phase, observedGeneration: vm.generation, addresses: [], message, code, restartNeeded: false })
    const step = currentStep(operation)
    if (operation !== null && step !== null && step !== 'remove') await this.#stepEnded(operation.id, operation.step, { kind: 'failed', code, message })
  }

  async #stepEnded(operationId: string, step: number, outcome: CommandOf<'operation.step'>['payload']['outcome']): Promise<void> {
    await this.#propose('operation.step', { id: operationId as OperationId, nodeId: this.#nodeId, step, outcome })
  }

  /** A domain of ours whose VM the state does not know. It may be of another cluster's time: nothing is destroyed unasked. */
  #orphan(id: string, domain: Domain | null): void {
    this.#images.forget(id)
    this.#memory.forget(id)
    if (domain !== null && this.#memory.orphanIsNews(id)) this.#ports.log.warn('a domain of ours belongs to no VM; left alone', { vmId: id, domain: domain.domainName })
  }

  async #foreign(vm: StoredVm, domain: Domain | null): Promise<void> {
    this.#memory.forget(vm.id)
    this.#images.forget(vm.id)
    // A domain of a later epoch means that this node's state is behind, not the domain.
    if (domain !== null && domain.epoch > (vm.assignment?.epoch ?? 0)) return
    for (const action of planForeign(domain)) if (action.kind === 'evict') await this.#act(vm, action.kind, null)
  }

  #failed(id: string, error: unknown): void {
    const fields = error instanceof OperationalError ? { code: error.code, error: error.message } : { error: error instanceof Error ? (error.stack ?? error.message) : String(error) }
    this.#ports.log.warn('vm reconcile failed; it will be tried again', { vmId: id, ...fields })
  }

  async #propose<Type extends CommandType>(type: Type, payload: CommandPayload<Type>, actor?: Actor): Promise<CommandResult> {
    const { clock, random, consensus } = this.#ports
    const head = {
      id: uuidV7(clock.nowMs(), random.bytes(10)),
      actor: actor ?? { kind: 'node' as const, id: this.#nodeId, name: 'controller', address: '' },
    }
    return consensus.propose(makeCommand(type, head, payload), { timeoutMs: proposeTimeoutMs })
  }
}

function isOfCluster(error: OperationalError): boolean {
  return error.code === 'NO_QUORUM' || error.code === 'OUTCOME_UNKNOWN' || error.code === 'OVERLOADED'
}

/** libvirt is there, and did not pass on what was asked. */
function isRefused(error: unknown): boolean {
  return error instanceof OperationalError && (error.code === 'HYPERVISOR_REFUSED' || error.code === 'HYPERVISOR_TIMEOUT')
}

function faultOf(error: unknown): Fault {
  const message = error instanceof Error ? error.message : String(error)
  return { code: error instanceof OperationalError ? error.code : 'HYPERVISOR_REFUSED', message: message.slice(0, messageCharactersMax) }
}
