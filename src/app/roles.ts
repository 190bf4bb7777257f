// Use cases of role bindings: who may act as what, where; granted and revoked by administrators.
import { OperationalError } from '../model/error.ts'
import type { UserId } from '../model/id.ts'
import { normalBindings, roleGrantSchema, type RoleResource } from '../model/role.ts'
import { findByRef } from '../state/query.ts'
import { authorize, may } from './authorize.ts'
import type { AppContext } from './context.ts'
import type { Caller, ListQuery, Page, Roles, WriteOptions, Written } from './face.ts'
import { listPage, type ListShape } from './list.ts'
import { parseInput } from './parse.ts'
import { presentRole } from './present-people.ts'
import { dryRun, findEarlier, propose } from './write.ts'

const shape: ListShape<RoleResource> = {
  id: (binding) => binding.id, name: (binding) => binding.name, labels: () => ({}), sortDefault: 'name',
  fields: {
    name: (binding) => binding.name, subject: (binding) => binding.spec.subject.name, role: (binding) => binding.spec.role, scope: (binding) => binding.spec.scope,
    project: (binding) => binding.spec.scope.replace(/^project:/, ''),
  },
}

export class RoleUseCases implements Roles {
  readonly #context: AppContext

  constructor(context: AppContext) {
    this.#context = context
  }

  /** Who may not administer sees their own. */
  list(caller: Caller, query: ListQuery): Page<RoleResource> {
    return listPage(this.#visible(caller), shape, query, (binding) => binding)
  }

  get(caller: Caller, ref: string): RoleResource {
    return this.#find(caller, ref)
  }

  async grant(caller: Caller, body: unknown, options: WriteOptions): Promise<Written<RoleResource>> {
    authorize(caller, 'administer', '', 'roles')
    const { spec } = parseInput(roleGrantSchema, body)
    const user = findByRef(this.#context.state, 'user', spec.subject.name, '')
    if (user === undefined) throw new OperationalError('REFERENCE_MISSING', `There is no user ${spec.subject.name}.`, { data: { fields: [{ path: 'spec.subject.name', message: 'does not exist' }] } })
    const payload = { userId: user.id as UserId, role: spec.role, scope: spec.scope }
    if (options.dryRun) return dryRun(this.#context, caller, 'role.grant', payload, 'user')
    await propose(this.#context, caller.actor, 'role.grant', payload, options)
    const now = this.#context.state.tables.user.get(user.id)
    if (now === undefined) throw new OperationalError('NOT_FOUND', `User ${user.name} was deleted since.`)
    return presentRole(now, { role: spec.role, scope: spec.scope })
  }

  async revoke(caller: Caller, ref: string, options: WriteOptions): Promise<Written<null>> {
    if (findEarlier(this.#context, caller, options) !== null) return null
    authorize(caller, 'administer', '', 'roles')
    const { spec, status } = this.#find(caller, ref)
    const payload = { userId: status.subjectId as UserId, role: spec.role, scope: spec.scope }
    if (options.dryRun) return dryRun(this.#context, caller, 'role.revoke', payload, 'user')
    await propose(this.#context, caller.actor, 'role.revoke', payload, options)
    return null
  }

  *#visible(caller: Caller): Iterable<RoleResource> {
    const all = may(caller, 'administer', '')
    for (const user of this.#context.state.tables.user.values()) {
      if (!all && user.id !== caller.userId) continue
      for (const binding of normalBindings(user.spec.bindings)) yield presentRole(user, binding)
    }
  }

  #find(caller: Caller, ref: string): RoleResource {
    for (const binding of this.#visible(caller)) if (binding.id === ref || binding.name === ref) return binding
    throw new OperationalError('NOT_FOUND', `There is no role binding ${ref.slice(0, 80)}.`)
  }
}
