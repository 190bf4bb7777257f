// Use cases of users.
import { OperationalError } from '../model/error.ts'
import type { UserId } from '../model/id.ts'
import { weaknessOf } from '../model/password.ts'
import { normalBindings } from '../model/role.ts'
import { passwordChangeSchema, userCreateSchema, userPatchSchema, type StoredUser, type User } from '../model/user.ts'
import { findByRef } from '../state/query.ts'
import { authorize, may } from './authorize.ts'
import type { AppContext } from './context.ts'
import type { Caller, ListQuery, Page, Users, WriteOptions, Written } from './face.ts'
import { listPage, type ListShape } from './list.ts'
import { parseInput } from './parse.ts'
import { presentUser } from './present-people.ts'
import type { SignInGuard } from './sign-in-guard.ts'
import { dryRun, findEarlier, labelChange, propose } from './write.ts'

const shape: ListShape<StoredUser> = {
  id: (user) => user.id, name: (user) => user.name, labels: (user) => user.labels, sortDefault: 'name',
  fields: {
    name: (user) => user.name, created: (user) => user.createdMs, disabled: (user) => String(user.spec.disabled),
    /** The strongest. */
    role: (user) => normalBindings(user.spec.bindings)[0]?.role ?? '',
  },
}

export class UserUseCases implements Users {
  readonly #context: AppContext
  readonly #guard: SignInGuard

  constructor(context: AppContext, guard: SignInGuard) {
    this.#context = context
    this.#guard = guard
  }

  /** Who may not administer sees themselves. */
  list(caller: Caller, query: ListQuery): Page<User> {
    const all = this.#context.state.tables.user.values()
    const visible = may(caller, 'administer', '') ? all : [...all].filter((user) => user.id === caller.userId)
    return listPage(visible, shape, query, (user) => presentUser(this.#context, user))
  }

  get(caller: Caller, ref: string): User {
    return presentUser(this.#context, this.#find(caller, ref))
  }

  async create(caller: Caller, body: unknown, options: WriteOptions): Promise<Written<User>> {
    authorize(caller, 'administer', '', 'users')
    const input = parseInput(userCreateSchema, body)
    requireStrong(input.password, input.name)
    const passwordHash = options.dryRun ? '' : await this.#context.ports.vault.hashPassword(input.password)
    const payload = { id: this.#context.newId() as UserId, name: input.name, labels: input.labels ?? {}, spec: input.spec, passwordHash }
    if (options.dryRun) return dryRun(this.#context, caller, 'user.add', payload, 'user')
    const done = await propose(this.#context, caller.actor, 'user.add', payload, options)
    return this.get(caller, done.id)
  }

  async patch(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<User>> {
    const earlier = findEarlier(this.#context, caller, options)
    if (earlier !== null) return this.get(caller, earlier.id)
    authorize(caller, 'administer', '', 'users')
    const user = this.#find(caller, ref)
    const input = parseInput(userPatchSchema, body)
    if (input.name !== undefined && input.name !== user.name) throw new OperationalError('INVALID', 'A user keeps the name.', { data: { fields: [{ path: 'name', message: 'cannot be changed' }] } })
    const payload = {
      id: user.id as UserId,
      ...labelChange(this.#context, user.labels, input.labels),
      ...definedOf(input.spec ?? {}),
      ...(options.ifMatch === null ? {} : { ifMatch: options.ifMatch }),
      ...(input.revision === undefined ? {} : { revision: input.revision }),
    }
    if (options.dryRun) return dryRun(this.#context, caller, 'user.update', payload, 'user')
    await propose(this.#context, caller.actor, 'user.update', payload, options)
    return this.get(caller, user.id)
  }

  /** One's own needs the present password too. */
  async setPassword(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<User>> {
    const earlier = findEarlier(this.#context, caller, options)
    if (earlier !== null) return this.get(caller, earlier.id)
    const user = this.#find(caller, ref)
    const input = parseInput(passwordChangeSchema, body)
    if (user.id !== caller.userId) authorize(caller, 'administer', '', 'other users\' passwords')
    else if (!(await this.#guard.check({ name: user.name, password: input.current ?? '', address: caller.actor.address, what: 'user.setPassword' }, user))) {
      throw new OperationalError('INVALID', 'The present password is wrong. Nothing was changed.', { data: { fields: [{ path: 'current', message: 'is wrong' }] } })
    }
    requireStrong(input.password, user.name)
    const payload = { id: user.id as UserId, passwordHash: options.dryRun ? '' : await this.#context.ports.vault.hashPassword(input.password) }
    if (options.dryRun) return dryRun(this.#context, caller, 'user.setPassword', payload, 'user')
    await propose(this.#context, caller.actor, 'user.setPassword', payload, options)
    return this.get(caller, user.id)
  }

  async delete(caller: Caller, ref: string, options: WriteOptions): Promise<Written<null>> {
    if (findEarlier(this.#context, caller, options) !== null) return null
    authorize(caller, 'administer', '', 'users')
    const payload = { id: this.#find(caller, ref).id as UserId }
    if (options.dryRun) return dryRun(this.#context, caller, 'user.delete', payload, 'user')
    await propose(this.#context, caller.actor, 'user.delete', payload, options)
    return null
  }

  #find(caller: Caller, ref: string): StoredUser {
    const user = findByRef(this.#context.state, 'user', ref, '')
    if (user === undefined || (user.id !== caller.userId && !may(caller, 'administer', ''))) throw new OperationalError('NOT_FOUND', `There is no user ${ref.slice(0, 80)}.`)
    return user
  }
}

/** @throws INVALID */
function requireStrong(password: string, userName: string): void {
  const weakness = weaknessOf(password, userName)
  if (weakness !== null) throw new OperationalError('INVALID', `The password ${weakness}.`, { data: { fields: [{ path: 'password', message: weakness }] } })
}

type Defined<Fields> = { [Key in keyof Fields]: Exclude<Fields[Key], undefined> }

function definedOf<Fields extends object>(fields: Fields): Defined<Fields> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<Fields>
}
