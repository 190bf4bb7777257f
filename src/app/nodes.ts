// Use cases of nodes.
import { z } from 'zod'
import type { CommandPayload } from '../model/command.ts'
import { OperationalError } from '../model/error.ts'
import { labelPatchSchema, type NodeId, type OperationId } from '../model/id.ts'
import { nodeDrainSchema, nodeRemoveSchema, nodeRenameSchema, nodeSpecPatchSchema, type DiscoveredNode, type Node, type StoredNode } from '../model/node.ts'
import type { Operation } from '../model/operation.ts'
import { defaultProject } from '../model/resource.ts'
import { planDrain } from '../planner/drain.ts'
import { allocationOf, findByRef, vmsOnNode } from '../state/query.ts'
import { authorize } from './authorize.ts'
import type { AppContext } from './context.ts'
import { DiscoveryUseCases } from './discovery.ts'
import type { Caller, Difference, DryRun, ListQuery, Membership, Nodes, Page, WriteOptions, Written } from './face.ts'
import { listPage, type ListShape } from './list.ts'
import { parseInput } from './parse.ts'
import { presentNode, presentOperation, roleOf } from './present.ts'
import { dryRun, findEarlier, labelChange, propose, waitUntil } from './write.ts'

/** A removal takes two changes of the configuration and a farewell. */
const removalSeconds = 5

/** A node by force: only after it has said nothing for so long. Whoever is heard of runs its VMs still. */
const silenceMsMin = 10_000

const patchSchema = z.strictObject({
  id: z.string().optional(), kind: z.string().optional(), name: z.string().optional(), project: z.string().optional(),
  generation: z.unknown().optional(), status: z.unknown().optional(),
  revision: z.number().int().nonnegative().optional(),
  labels: labelPatchSchema.optional(),
  spec: nodeSpecPatchSchema.optional(),
})

export class NodeUseCases implements Nodes {
  readonly #context: AppContext
  readonly #discovery: DiscoveryUseCases
  readonly #shape: ListShape<StoredNode>

  constructor(context: AppContext, membership: Membership) {
    this.#context = context
    this.#discovery = new DiscoveryUseCases(context, membership)
    this.#shape = {
      id: (node) => node.id, name: (node) => node.name, labels: (node) => node.labels, sortDefault: 'name',
      fields: {
        name: (node) => node.name,
        role: (node) => roleOf(context.ports.consensus.status(), node.id),
        ready: (node) => String(context.unreadiness(node.id) === ''),
        version: (node) => node.announcement?.version ?? '',
        vms: (node) => allocationOf(context.state, node.id).vms,
        created: (node) => node.joinedMs,
      },
    }
  }

  list(caller: Caller, query: ListQuery): Page<Node> {
    authorize(caller, 'read', '', 'nodes')
    return listPage(this.#context.state.tables.node.values(), this.#shape, query, (node) => presentNode(this.#context, node))
  }

  get(caller: Caller, ref: string): Node {
    authorize(caller, 'read', '', 'nodes')
    return presentNode(this.#context, this.#find(ref))
  }

  async patch(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<Node>> {
    const earlier = findEarlier(this.#context, caller, options)
    if (earlier !== null) return this.get(caller, earlier.id)
    authorize(caller, 'administer', '', 'nodes')
    const node = this.#find(ref)
    const input = parseInput(patchSchema, body)
    const guards = { ...(options.ifMatch === null ? {} : { ifMatch: options.ifMatch }), ...(input.revision === undefined ? {} : { revision: input.revision }) }
    if (input.name !== undefined && input.name !== node.name) {
      if (input.labels !== undefined || input.spec !== undefined) throw invalidField('name', 'is changed alone, without labels and spec')
      const { name } = parseInput(nodeRenameSchema, { name: input.name })
      return this.#write(caller, 'node.rename', { id: node.id as NodeId, name, ...guards }, options)
    }
    if (input.spec?.voting !== undefined && input.spec.voting !== (node.spec.voting ?? 'auto')) throw invalidField('spec.voting', 'is changed by promote and demote')
    const payload = {
      id: node.id as NodeId,
      ...labelChange(this.#context, node.labels, input.labels),
      ...(input.spec?.schedulable === undefined ? {} : { spec: { schedulable: input.spec.schedulable } }),
      ...guards,
    }
    return this.#write(caller, 'node.update', payload, options)
  }

  /** Resolves with null once it is forgotten, or with the node while that takes longer: a node that is asked about itself does not see its end. */
  async remove(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<Node | null>> {
    authorize(caller, 'administer', '', 'nodes')
    const context = this.#context
    const earlier = findEarlier(context, caller, options)
    if (earlier !== null && findByRef(context.state, 'node', ref, '') === undefined) return null
    const node = this.#find(ref)
    const { force, hostIsOff } = parseInput(nodeRemoveSchema, body ?? {})
    const vms = vmsOnNode(context.state, node.id)
    if (force && !hostIsOff) throw invalidField('hostIsOff', 'must be true: make sure that the host is off, for its VMs may be started elsewhere')
    if (force && earlier === null) requireSilence(context, node)
    if (force && vms.length > 0 && context.unreadiness(node.id) === '') {
      throw new OperationalError('STATE_CONFLICT', `${node.name} is in touch and has ${vms.length} VMs: drain it instead. Nothing was changed.`)
    }
    const payload = { id: node.id as NodeId, force, ...(options.ifMatch === null ? {} : { ifMatch: options.ifMatch }) }
    if (options.dryRun) {
      const { dryRun: isDry } = dryRun(context, caller, 'node.remove', payload, 'node')
      return { dryRun: isDry, differences: [{ path: 'name', before: node.name, after: null }, ...vms.map((vm) => ({ path: `vms.${vm.name}.node`, before: node.name, after: null }))] }
    }
    await propose(context, caller.actor, 'node.remove', payload, options)
    const isGone = () => !context.state.tables.node.has(node.id)
    // Of its own end a node hears last.
    if (node.id !== context.nodeId) await waitUntil(context, { seconds: Math.max(removalSeconds, options.waitSeconds), signal: options.signal, holds: isGone })
    return isGone() ? null : presentNode(context, this.#find(node.id))
  }

  async drain(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<Operation>> {
    authorize(caller, 'administer', '', 'nodes')
    const { concurrency } = parseInput(nodeDrainSchema, body ?? {})
    const earlier = findEarlier(this.#context, caller, options)
    const node = this.#find(ref)
    const payload = { id: node.id as NodeId, operationId: this.#context.newId() as OperationId, concurrency, ...(options.ifMatch === null ? {} : { ifMatch: options.ifMatch }) }
    if (options.dryRun) {
      const preview = dryRun(this.#context, caller, 'node.drain', payload, 'node')
      return { ...preview, ...previewDrain(this.#context, node, preview.differences) }
    }
    const operationId = (earlier ?? (await propose(this.#context, caller.actor, 'node.drain', payload, options))).operationId ?? payload.operationId
    const operation = () => this.#context.state.tables.operation.get(operationId)
    await waitUntil(this.#context, { seconds: options.waitSeconds, signal: options.signal, holds: () => operation()?.endedMs !== null })
    const found = operation()
    if (found === undefined) throw new OperationalError('NOT_FOUND', 'The operation is over and its record is gone.')
    return presentOperation(this.#context, found)
  }

  async uncordon(caller: Caller, ref: string, options: WriteOptions): Promise<Written<Node>> {
    authorize(caller, 'administer', '', 'nodes')
    const payload = { id: this.#find(ref).id as NodeId, ...(options.ifMatch === null ? {} : { ifMatch: options.ifMatch }) }
    return this.#write(caller, 'node.uncordon', payload, options)
  }

  discovered(caller: Caller): Page<DiscoveredNode> {
    return this.#discovery.discovered(caller)
  }

  admit(caller: Caller, fingerprint: string, options: WriteOptions): Promise<Written<Node>> {
    return this.#discovery.admit(caller, fingerprint, options)
  }

  async #write<Type extends 'node.update' | 'node.rename' | 'node.uncordon'>(caller: Caller, type: Type, payload: CommandPayload<Type>, options: WriteOptions): Promise<Written<Node>> {
    const { id } = payload
    if (options.dryRun) return dryRun(this.#context, caller, type, payload, 'node')
    await propose(this.#context, caller.actor, type, payload, options)
    return presentNode(this.#context, this.#find(id))
  }

  #find(ref: string): StoredNode {
    const node = findByRef(this.#context.state, 'node', ref, '')
    if (node === undefined) throw new OperationalError('NOT_FOUND', `There is no node ${ref.slice(0, 80)}.`)
    return node
  }
}

/** Where each VM would go, the others counted; null where no node takes it, and a note that says why. */
function previewDrain(context: AppContext, node: StoredNode, differences: readonly Difference[]): Pick<DryRun, 'differences' | 'notes'> {
  const moves = planDrain(context.state, node.id, context.readyNodeIds()).map((move) => ({ ...move, name: move.vm.project === defaultProject ? move.vm.name : `${move.vm.project}.${move.vm.name}` }))
  const notes = moves.flatMap(({ name, nodeId, reason }) => (nodeId === null ? [`${name} would stay: ${reason}.`] : []))
  return {
    differences: [...differences, ...moves.map(({ name, nodeId }) => ({ path: `vms.${name}.node`, before: node.name, after: context.nodeName(nodeId) }))],
    ...(notes.length === 0 ? {} : { notes }),
  }
}

/** Presence is gossip, so this is asked here and not in apply: it guards against a mistake, not against a race. @throws STATE_CONFLICT */
function requireSilence(context: AppContext, node: StoredNode): void {
  const { ms, everHeard } = context.silence(node.id)
  if (ms >= silenceMsMin) return
  const ago = `${Math.floor(ms / 1000)} s`
  const heard = everHeard ? `${node.name} was heard of ${ms < 1000 ? 'just now' : `${ago} ago`}` : `This node has listened for ${ago} only`
  throw new OperationalError('STATE_CONFLICT', `${heard}: a node is removed by force only once nothing has been heard of it for ${silenceMsMin / 1000} s. Switch its host off and wait so long; or drain it and remove it in good order, without force. Nothing was changed.`)
}

function invalidField(path: string, message: string): OperationalError {
  return new OperationalError('INVALID', `${path} ${message}.`, { data: { fields: [{ path, message }] } })
}
