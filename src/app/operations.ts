// Use cases of operations: looking, waiting, cancelling.
import { OperationalError } from '../model/error.ts'
import type { OperationId } from '../model/id.ts'
import type { Operation, StoredOperation } from '../model/operation.ts'
import { authorize, may } from './authorize.ts'
import type { AppContext } from './context.ts'
import type { Caller, ListQuery, Operations, Page, WriteOptions, Written } from './face.ts'
import { listPage, type ListShape } from './list.ts'
import { presentOperation } from './present.ts'
import { dryRun, effect, propose, waitUntil } from './write.ts'

export class OperationUseCases implements Operations {
  readonly #context: AppContext
  readonly #shape: ListShape<StoredOperation>

  constructor(context: AppContext) {
    this.#context = context
    this.#shape = {
      id: (operation) => operation.id, name: (operation) => operation.spec.target.name, labels: (operation) => operation.labels, sortDefault: '-created',
      fields: {
        created: (operation) => operation.startedMs,
        state: (operation) => operation.state,
        operation: (operation) => operation.spec.operation,
        target: (operation) => operation.spec.target.name,
        targetId: (operation) => operation.spec.target.id,
        actor: (operation) => operation.actor,
        node: (operation) => context.nodeName(operation.nodeId) ?? '',
      },
    }
  }

  list(caller: Caller, query: ListQuery): Page<Operation> {
    const visible = [...this.#context.state.tables.operation.values()].filter((operation) => may(caller, 'read', operation.project))
    return listPage(visible, this.#shape, query, (operation) => presentOperation(this.#context, operation))
  }

  get(caller: Caller, ref: string): Operation {
    return presentOperation(this.#context, this.#find(caller, ref))
  }

  async cancel(caller: Caller, ref: string, options: WriteOptions): Promise<Written<Operation>> {
    const operation = this.#find(caller, ref)
    authorize(caller, 'operate', operation.project, operation.name)
    const payload = { id: operation.id as OperationId }
    if (options.dryRun) return effect(dryRun(this.#context, caller, 'operation.cancel', payload, 'vm'), { path: 'status.state', before: operation.state, after: 'cancelled' })
    await propose(this.#context, caller.actor, 'operation.cancel', payload, options)
    return this.get(caller, operation.id)
  }

  async wait(caller: Caller, ref: string, seconds: number, signal: AbortSignal): Promise<Operation> {
    const { id } = this.#find(caller, ref)
    await waitUntil(this.#context, { seconds, signal, holds: () => this.#context.state.tables.operation.get(id)?.endedMs !== null })
    return this.get(caller, id)
  }

  #find(caller: Caller, ref: string): StoredOperation {
    const table = this.#context.state.tables.operation
    const operation = table.get(ref) ?? [...table.values()].find((candidate) => candidate.name === ref)
    if (operation === undefined || !may(caller, 'read', operation.project)) throw new OperationalError('NOT_FOUND', `There is no operation ${ref.slice(0, 80)}.`)
    return operation
  }
}
