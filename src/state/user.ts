// Users and the roles bound to them: made, changed, deleted; never the last administrator.
import type { CommandOf } from '../model/command.ts'
import { bindingsMax, canonicalScope, isClusterAdministrator, normalBindings, projectOfScope, type RoleBinding } from '../model/role.ts'
import type { StoredUser } from '../model/user.ts'
import type { Outcome } from './apply.ts'
import { changedLabels } from './labels.ts'
import { projectExists } from './query.ts'
import { requireCurrent } from './revision.ts'
import { Refusal, type Transaction } from './transaction.ts'

export const usersMax = 10_000

type UserCommand = CommandOf<'user.create' | 'user.add' | 'user.update' | 'user.setPassword' | 'user.delete' | 'role.grant' | 'role.revoke' | 'session.revokeAll'>

export function applyToUser(transaction: Transaction, command: UserCommand): Outcome {
  switch (command.type) {
    case 'user.create':
      return create(transaction, command.payload)
    case 'user.add': {
      const bindings = [...normalBindings(command.payload.spec.bindings)]
      requireProjects(transaction, bindings)
      return create(transaction, { ...command.payload, spec: { ...command.payload.spec, bindings } })
    }
    case 'user.update':
      return update(transaction, command.payload)
    case 'user.setPassword': {
      const user = transaction.require('user', command.payload.id)
      const next = { ...user, passwordHash: command.payload.passwordHash, passwordChangedMs: transaction.timeMs, revision: transaction.index }
      transaction.put('user', user.id, next)
      say(transaction, user, 'updated', `The password of ${user.name} was changed`, 'user.passwordChanged')
      return { id: user.id }
    }
    case 'user.delete':
      return remove(transaction, transaction.require('user', command.payload.id))
    case 'role.grant':
    case 'role.revoke':
      return bind(transaction, command)
    case 'session.revokeAll': {
      const user = transaction.require('user', command.payload.userId)
      transaction.put('user', user.id, { ...user, sessionsFromMs: transaction.timeMs, revision: transaction.index })
      say(transaction, user, 'updated', `${user.name} was signed out everywhere`, 'user.signedOut')
      return { id: user.id }
    }
  }
}

function create(transaction: Transaction, payload: CommandOf<'user.create'>['payload']): Outcome {
  transaction.requireFreeName('user', '', payload.name, payload.id)
  if (transaction.state.tables.user.size >= usersMax) throw new Refusal('LIMIT_REACHED', `A cluster has at most ${usersMax} users.`)
  transaction.put('user', payload.id, {
    ...payload, kind: 'user', project: '', revision: transaction.index, generation: 1,
    createdMs: transaction.timeMs, passwordChangedMs: transaction.timeMs,
  })
  say(transaction, payload, 'created', `User ${payload.name} was made`, 'user.created')
  return { id: payload.id }
}

function update(transaction: Transaction, payload: CommandOf<'user.update'>['payload']): Outcome {
  const user = transaction.require('user', payload.id)
  requireCurrent(user, payload)
  const bindings = payload.bindings === undefined ? user.spec.bindings : [...normalBindings(payload.bindings)]
  if (payload.bindings !== undefined) requireProjects(transaction, bindings)
  const spec = { displayName: payload.displayName ?? user.spec.displayName, disabled: payload.disabled ?? user.spec.disabled, bindings }
  write(transaction, user, { ...user, labels: changedLabels(user.labels, payload), spec })
  say(transaction, user, 'updated', `User ${user.name} was changed`, 'user.updated')
  return { id: user.id }
}

function bind(transaction: Transaction, command: CommandOf<'role.grant' | 'role.revoke'>): Outcome {
  const { role, userId } = command.payload
  const scope = canonicalScope(command.payload.scope)
  const user = transaction.require('user', userId)
  const former = normalBindings(user.spec.bindings)
  const others = former.filter((binding) => binding.role !== role || binding.scope !== scope)
  const where = scope === 'cluster' ? 'the cluster' : scope.replace(':', ' ')
  if (command.type === 'role.revoke') {
    if (others.length === former.length) throw new Refusal('NOT_FOUND', `${user.name} is no ${role} of ${where}.`)
    write(transaction, user, { ...user, spec: { ...user.spec, bindings: [...others] } })
    say(transaction, user, 'updated', `${user.name} is no ${role} of ${where} any more`, 'role.revoked')
    return { id: user.id }
  }
  requireProjects(transaction, [{ role, scope }])
  if (others.length >= bindingsMax) throw new Refusal('LIMIT_REACHED', `A user has at most ${bindingsMax} roles.`)
  if (others.length < former.length) return { id: user.id }
  write(transaction, user, { ...user, spec: { ...user.spec, bindings: [...normalBindings([...former, { role, scope }])] } })
  say(transaction, user, 'updated', `${user.name} is ${role} of ${where}`, 'role.granted')
  return { id: user.id }
}

/** @throws Refusal STATE_CONFLICT where nobody would be left to administer the cluster */
function write(transaction: Transaction, former: StoredUser, next: StoredUser): void {
  if (isAdministrator(former) && !isAdministrator(next)) requireAnother(transaction, former)
  transaction.put('user', former.id, { ...next, revision: transaction.index, generation: former.generation + 1 })
}

function isAdministrator(user: StoredUser): boolean {
  return !user.spec.disabled && isClusterAdministrator(user.spec.bindings)
}

function requireAnother(transaction: Transaction, user: StoredUser): void {
  const others = [...transaction.state.tables.user.values()].filter((candidate) => candidate.id !== user.id && isAdministrator(candidate))
  if (others.length === 0) throw new Refusal('STATE_CONFLICT', `${user.name} is the last administrator and stays.`)
}

/** @throws Refusal REFERENCE_MISSING */
function requireProjects(transaction: Transaction, bindings: readonly RoleBinding[]): void {
  for (const [at, { scope }] of bindings.entries()) {
    const project = projectOfScope(scope)
    if (project !== null && !projectExists(transaction.state, project)) throw new Refusal('REFERENCE_MISSING', `There is no project ${project}.`, [{ path: `spec.bindings.${at}.scope`, message: `there is no project ${project}` }])
  }
}

function remove(transaction: Transaction, user: StoredUser): Outcome {
  requireAnother(transaction, user)
  for (const token of transaction.state.tables.token.values()) if (token.userId === user.id) transaction.delete('token', token.id)
  transaction.delete('user', user.id)
  say(transaction, user, 'deleted', `User ${user.name} was deleted`, 'user.deleted')
  return { id: user.id }
}

function say(transaction: Transaction, user: { id: string; name: string }, type: 'created' | 'updated' | 'deleted', message: string, reason: string): void {
  transaction.event({ type, kind: 'user', resourceId: user.id, name: user.name, project: '', message, reason })
}
