// Users: made, given a password, deleted; never the last administrator.
import type { CommandOf } from '../model/command.ts'
import type { StoredUser } from '../model/user.ts'
import type { Outcome } from './apply.ts'
import { Refusal, type Transaction } from './transaction.ts'

export const usersMax = 10_000

export function applyToUser(transaction: Transaction, command: CommandOf<'user.create' | 'user.setPassword' | 'user.delete'>): Outcome {
  switch (command.type) {
    case 'user.create':
      return create(transaction, command.payload)
    case 'user.setPassword': {
      const user = transaction.require('user', command.payload.id)
      const next = { ...user, passwordHash: command.payload.passwordHash, passwordChangedMs: transaction.timeMs, revision: transaction.index }
      transaction.put('user', user.id, next)
      say(transaction, user, 'updated', `The password of ${user.name} was changed`, 'user.passwordChanged')
      return { id: user.id }
    }
    case 'user.delete':
      return remove(transaction, transaction.require('user', command.payload.id))
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

function remove(transaction: Transaction, user: StoredUser): Outcome {
  const isAdministrator = (candidate: StoredUser) =>
    !candidate.spec.disabled && candidate.spec.bindings.some((binding) => binding.role === 'administrator' && binding.scope === '*')
  const others = [...transaction.state.tables.user.values()].filter((candidate) => candidate.id !== user.id && isAdministrator(candidate))
  if (others.length === 0) throw new Refusal('STATE_CONFLICT', `${user.name} is the last administrator and stays.`)
  for (const token of transaction.state.tables.token.values()) if (token.userId === user.id) transaction.delete('token', token.id)
  transaction.delete('user', user.id)
  say(transaction, user, 'deleted', `User ${user.name} was deleted`, 'user.deleted')
  return { id: user.id }
}

function say(transaction: Transaction, user: { id: string; name: string }, type: 'created' | 'updated' | 'deleted', message: string, reason: string): void {
  transaction.event({ type, kind: 'user', resourceId: user.id, name: user.name, project: '', message, reason })
}
