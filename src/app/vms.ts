// Use cases of virtual machines.
import { OperationalError } from '../model/error.ts'
import type { Explanation, PlacementView } from '../model/explanation.ts'
import { isId, type OperationId, type VmId } from '../model/id.ts'
import type { Operation } from '../model/operation.ts'
import { defaultProject } from '../model/resource.ts'
import { vmCreateSchema, vmRecoverSchema, vmReplaceSchema, vmStopSchema, type StoredVm, type Vm, type VmAction } from '../model/vm.ts'
import { z } from 'zod'
import { authorize, may } from './authorize.ts'
import type { AppContext } from './context.ts'
import { explainVm } from './explain.ts'
import type { Caller, Difference, ListQuery, Page, Vms, WriteOptions, Written } from './face.ts'
import { listPage, type ListShape } from './list.ts'
import { parseInput } from './parse.ts'
import { findPlace, type Place } from './placement.ts'
import { planRecovery } from './recovery.ts'
import { phaseOf, presentOperation, presentVm } from './present.ts'
import { migrationTargets, planMigration, previewMigration } from './vm-migration.ts'
import { findInProjects } from './reference.ts'
import { dryRun, effect, findEarlier, propose, waitUntil } from './write.ts'

const patchSchema = z.record(z.string(), z.unknown())
const emptySchema = z.strictObject({})
const bodyRevisionSchema = z.number().int().nonnegative().optional()
const placementTriesMax = 3
const reasonMax = 300

export class VmUseCases implements Vms {
  readonly #context: AppContext
  readonly #shape: ListShape<StoredVm>

  constructor(context: AppContext) {
    this.#context = context
    this.#shape = vmListShape(context)
  }

  list(caller: Caller, query: ListQuery): Page<Vm> {
    return listPage(this.#visible(caller), this.#shape, query, (vm) => withoutSecrets(caller, presentVm(this.#context, vm)))
  }

  get(caller: Caller, ref: string): Vm {
    return withoutSecrets(caller, presentVm(this.#context, this.#find(caller, ref)))
  }

  explain(caller: Caller, ref: string): Explanation {
    return explainVm(this.#context, this.#find(caller, ref))
  }

  counts(caller: Caller): Readonly<Record<string, number>> {
    const counts: Record<string, number> = {}
    for (const vm of this.#visible(caller)) {
      const phase = phaseOf(this.#context, vm)
      counts[phase] = (counts[phase] ?? 0) + 1
    }
    return counts
  }

  async create(caller: Caller, body: unknown, options: WriteOptions): Promise<Written<Vm>> {
    const input = parseInput(vmCreateSchema, body)
    const project = input.project ?? defaultProject
    authorize(caller, 'operate', project, `VMs of project ${project}`)
    const id = this.#context.newId() as VmId
    for (let tries = 1; ; tries++) {
      const labels = input.labels ?? {}
      const place: Place = this.#isKnownKey(caller, options) ? { nodeId: this.#context.nodeId, view: null } : findPlace(this.#context, { name: input.name, spec: input.spec, labels, project, vmId: '' })
      const payload = { id, name: input.name, project, labels, spec: input.spec, seed: this.#seed(), nodeId: place.nodeId, ...(place.view === null ? {} : { reason: place.view.reason.slice(0, reasonMax) }) }
      if (options.dryRun) return { ...dryRun(this.#context, caller, 'vm.create', payload, 'vm'), ...(place.view === null ? {} : { placement: place.view }) }
      try {
        const done = await propose(this.#context, caller.actor, 'vm.create', payload, options)
        await this.#waitSettled(done.id, options)
        return this.#present(done.id)
      } catch (error) {
        // Somebody was quicker and took the room: look for another place.
        if (!(error instanceof OperationalError) || error.code !== 'NO_FIT' || tries === placementTriesMax) throw error
      }
    }
  }

  async replace(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<Vm>> {
    const earlier = findEarlier(this.#context, caller, options)
    if (earlier !== null) return this.get(caller, earlier.id)
    const vm = this.#find(caller, ref)
    authorize(caller, 'operate', vm.project, vm.name)
    const input = parseInput(vmReplaceSchema, body)
    requireSameIdentity(vm, input)
    const payload = {
      id: vm.id as VmId, spec: input.spec, seed: this.#seed(),
      ...(input.name === undefined ? {} : { name: input.name }),
      ...(input.labels === undefined ? {} : { labels: input.labels }),
      ...guards(input.revision, options),
    }
    if (options.dryRun) return dryRun(this.#context, caller, 'vm.replace', payload, 'vm')
    const done = await propose(this.#context, caller.actor, 'vm.replace', payload, options)
    await this.#waitSettled(done.id, options)
    return this.#present(done.id)
  }

  async patch(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<Vm>> {
    const earlier = findEarlier(this.#context, caller, options)
    if (earlier !== null) return this.get(caller, earlier.id)
    const vm = this.#find(caller, ref)
    authorize(caller, 'operate', vm.project, vm.name)
    const { revision, ...patch } = parseInput(patchSchema, body)
    for (const ignored of ['id', 'kind', 'project', 'generation', 'status']) delete patch[ignored]
    const bodyRevision = parseInput(bodyRevisionSchema, revision)
    const payload = { id: vm.id as VmId, patch, seed: this.#seed(), ...guards(bodyRevision, options) }
    if (options.dryRun) return dryRun(this.#context, caller, 'vm.patch', payload, 'vm')
    const done = await propose(this.#context, caller.actor, 'vm.patch', payload, options)
    await this.#waitSettled(done.id, options)
    return this.#present(done.id)
  }

  act(caller: Caller, ref: string, action: VmAction, body: unknown, options: WriteOptions): Promise<Written<Operation>> {
    const takesForce = action === 'stop' || action === 'restart'
    const input = takesForce ? parseInput(vmStopSchema, body ?? {}) : { ...parseInput(emptySchema, body ?? {}), force: false }
    return this.#act(caller, ref, action, input, options)
  }

  async recover(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<Vm>> {
    const earlier = findEarlier(this.#context, caller, options)
    if (earlier !== null) return this.get(caller, earlier.id)
    const vm = this.#find(caller, ref)
    authorize(caller, 'operate', vm.project, vm.name)
    const input = parseInput(vmRecoverSchema, body)
    const payload = { id: vm.id as VmId, ...planRecovery(this.#context, vm, input.node), loseDisks: input.loseDisks, ...guards(undefined, options) }
    if (options.dryRun) {
      const nodes = { before: this.#context.nodeName(payload.formerNodeId), after: this.#context.nodeName(payload.nodeId) }
      return effect(dryRun(this.#context, caller, 'vm.recover', payload, 'vm'), { path: 'status.node', ...nodes })
    }
    const done = await propose(this.#context, caller.actor, 'vm.recover', payload, options)
    await this.#waitSettled(done.id, options)
    return this.#present(done.id)
  }

  async migrate(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<Operation>> {
    const earlier = findEarlier(this.#context, caller, options)
    if (earlier !== null) return this.#follow(caller, earlier.operationId ?? '', options)
    const vm = this.#find(caller, ref)
    authorize(caller, 'operate', vm.project, vm.name)
    const plan = planMigration(this.#context, vm, body, options)
    if (options.dryRun) return previewMigration(this.#context, caller, vm, plan)
    const done = await propose(this.#context, caller.actor, 'vm.migrate', plan.payload, options)
    return this.#follow(caller, done.operationId ?? plan.payload.operationId, options)
  }

  migrationTargets(caller: Caller, ref: string): PlacementView {
    return migrationTargets(this.#context, this.#find(caller, ref))
  }

  delete(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<Operation>> {
    return this.#act(caller, ref, 'delete', parseInput(vmStopSchema, body ?? {}), options)
  }

  async #act(caller: Caller, ref: string, action: VmAction | 'delete', input: { readonly force: boolean; readonly timeoutSeconds?: number | undefined }, options: WriteOptions): Promise<Written<Operation>> {
    const earlier = findEarlier(this.#context, caller, options)
    if (earlier !== null) return this.#follow(caller, earlier.operationId ?? '', options)
    const vm = this.#find(caller, ref)
    authorize(caller, 'operate', vm.project, vm.name)
    const payload = {
      id: vm.id as VmId, action, operationId: this.#context.newId() as OperationId, force: input.force,
      timeoutSeconds: input.timeoutSeconds ?? vm.spec.stopTimeoutSeconds, ...guards(undefined, options),
    }
    if (options.dryRun) {
      const gone: readonly Difference[] = action === 'delete' ? [{ path: 'name', before: vm.name, after: null }] : []
      return effect(dryRun(this.#context, caller, 'vm.act', payload, 'vm'), ...gone, { path: 'status.operation', before: null, after: `vm-${action}` })
    }
    const done = await propose(this.#context, caller.actor, 'vm.act', payload, options)
    return this.#follow(caller, done.operationId ?? payload.operationId, options)
  }

  /** Waits for the operation's end, where that was asked for. */
  async #follow(caller: Caller, operationId: string, options: WriteOptions): Promise<Operation> {
    const operation = () => this.#context.state.tables.operation.get(operationId)
    await waitUntil(this.#context, { seconds: options.waitSeconds, signal: options.signal, holds: () => operation()?.endedMs !== null })
    const found = operation()
    if (found === undefined || !may(caller, 'read', found.project)) throw new OperationalError('NOT_FOUND', 'The operation is over and its record is gone.')
    return presentOperation(this.#context, found)
  }

  /** A retried request gets its first answer, even if the VM would fit nowhere now. */
  #isKnownKey(caller: Caller, options: WriteOptions): boolean {
    if (options.idempotencyKey === null) return false
    return this.#context.state.tables.idempotency.has(`${caller.actor.kind}:${caller.actor.id}:${options.idempotencyKey}`)
  }

  async #waitSettled(id: string, options: WriteOptions): Promise<void> {
    if (options.waitSeconds === 0) return
    const settled = () => {
      const vm = this.#context.state.tables.vm.get(id)
      if (vm === undefined) return true
      const phase = phaseOf(this.#context, vm)
      return phase === vm.spec.runState || phase === 'failed'
    }
    await waitUntil(this.#context, { seconds: options.waitSeconds, signal: options.signal, holds: settled })
  }

  #present(id: string): Vm {
    const vm = this.#context.state.tables.vm.get(id)
    if (vm === undefined) throw new OperationalError('NOT_FOUND', 'The VM was made earlier by this key and has been deleted since.')
    return presentVm(this.#context, vm)
  }

  *#visible(caller: Caller): Iterable<StoredVm> {
    for (const vm of this.#context.state.tables.vm.values()) if (may(caller, 'read', vm.project)) yield vm
  }

  #find(caller: Caller, ref: string): StoredVm {
    const vm = findInProjects(this.#context.state, 'vm', ref, (record) => may(caller, 'read', record.project))
    if (vm === undefined) throw new OperationalError('NOT_FOUND', `There is no VM ${isId(ref) ? 'with id ' : ''}${ref.slice(0, 80)}.`)
    return vm
  }

  #seed(): string {
    return Buffer.from(this.#context.ports.random.bytes(8)).toString('hex')
  }
}

/** User data holds passwords and keys as a rule: whoever may only look does not see it. */
function withoutSecrets(caller: Caller, vm: Vm): Vm {
  if (vm.spec.cloudInit === undefined || may(caller, 'operate', vm.project)) return vm
  const { cloudInit: _, ...spec } = vm.spec
  return { ...vm, spec }
}

function vmListShape(context: AppContext): ListShape<StoredVm> {
  return {
    id: (vm) => vm.id,
    name: (vm) => vm.name,
    labels: (vm) => vm.labels,
    fields: {
      name: (vm) => vm.name,
      phase: (vm) => phaseOf(context, vm),
      node: (vm) => context.nodeName(vm.assignment?.nodeId ?? null) ?? '',
      cpus: (vm) => vm.spec.cpus,
      memory: (vm) => vm.spec.memoryMiB,
      created: (vm) => vm.createdMs,
      project: (vm) => vm.project,
      address: (vm) => vm.report.addresses[0] ?? '',
      id: (vm) => vm.id,
    },
    sortDefault: 'name',
  }
}

function guards(revision: number | undefined, options: WriteOptions): { readonly ifMatch?: number; readonly revision?: number } {
  return { ...(options.ifMatch === null ? {} : { ifMatch: options.ifMatch }), ...(revision === undefined ? {} : { revision }) }
}

/** PUT of another thing's representation is a mistake, not an edit. */
function requireSameIdentity(vm: StoredVm, input: { readonly id?: string | undefined; readonly kind?: string | undefined; readonly project?: string | undefined }): void {
  const fields = [
    ...(input.id === undefined || input.id === vm.id ? [] : [{ path: 'id', message: `is not that of ${vm.name}` }]),
    ...(input.kind === undefined || input.kind === 'vm' ? [] : [{ path: 'kind', message: 'must be vm' }]),
    ...(input.project === undefined || input.project === vm.project ? [] : [{ path: 'project', message: 'cannot be changed' }]),
  ]
  if (fields.length > 0) throw new OperationalError('INVALID', 'The body is that of another resource.', { data: { fields } })
}
