// Use cases of nodes.
import { z } from 'zod'
import { OperationalError } from '../model/error.ts'
import { labelsSchema, type NodeId } from '../model/id.ts'
import { nodeSpecSchema, type Node, type StoredNode } from '../model/node.ts'
import { allocationOf, findByRef } from '../state/query.ts'
import { authorize } from './authorize.ts'
import type { AppContext } from './context.ts'
import type { Caller, ListQuery, Nodes, Page, WriteOptions, Written } from './face.ts'
import { listPage, type ListShape } from './list.ts'
import { parseInput } from './parse.ts'
import { presentNode, roleOf } from './present.ts'
import { dryRun, propose } from './write.ts'

const patchSchema = z.strictObject({
  id: z.string().optional(), kind: z.string().optional(), name: z.string().optional(), project: z.string().optional(),
  generation: z.unknown().optional(), status: z.unknown().optional(),
  revision: z.number().int().nonnegative().optional(),
  labels: z.record(z.string(), z.string().nullable()).optional(),
  spec: nodeSpecSchema.partial().optional(),
})

export class NodeUseCases implements Nodes {
  readonly #context: AppContext
  readonly #shape: ListShape<StoredNode>

  constructor(context: AppContext) {
    this.#context = context
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
    authorize(caller, 'administer', '', 'nodes')
    const node = this.#find(ref)
    const input = parseInput(patchSchema, body)
    if (input.name !== undefined && input.name !== node.name) throw new OperationalError('INVALID', 'A node cannot be renamed in this version.', { data: { fields: [{ path: 'name', message: 'cannot be changed' }] } })
    const labels = input.labels === undefined ? undefined : parseInput(labelsSchema, mergeLabels(node.labels, input.labels))
    const payload = {
      id: node.id as NodeId,
      ...(labels === undefined ? {} : { labels }),
      ...(input.spec === undefined ? {} : { spec: { schedulable: input.spec.schedulable ?? node.spec.schedulable } }),
      ...(options.ifMatch === null ? {} : { ifMatch: options.ifMatch }),
      ...(input.revision === undefined ? {} : { revision: input.revision }),
    }
    if (options.dryRun) return dryRun(this.#context, caller, 'node.update', payload, 'node')
    await propose(this.#context, caller.actor, 'node.update', payload, options)
    return presentNode(this.#context, this.#find(node.id))
  }

  #find(ref: string): StoredNode {
    const node = findByRef(this.#context.state, 'node', ref, '')
    if (node === undefined) throw new OperationalError('NOT_FOUND', `There is no node ${ref.slice(0, 80)}.`)
    return node
  }
}

function mergeLabels(former: Readonly<Record<string, string>>, patch: Readonly<Record<string, string | null>>): Record<string, string> {
  const merged: Record<string, string> = { ...former }
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key]
    else merged[key] = value
  }
  return merged
}
