// Credentials other than passwords: API tokens, join tokens, and sessions that were signed out before their time.
import type { CommandOf } from '../model/command.ts'
import { normalBindings } from '../model/role.ts'
import type { Outcome } from './apply.ts'
import { Refusal, type Transaction } from './transaction.ts'

export const tokensMax = 10_000
export const joinTokensMax = 1000
/** Used, revoked and expired join tokens stay visible this long. */
export const joinTokenShownMs = 7 * 86_400_000
export const revokedSessionsMax = 10_000

type TokenCommand = CommandOf<'joinToken.create' | 'joinToken.revoke' | 'token.create' | 'token.issue' | 'token.revoke' | 'session.revoke'>

export function applyToToken(transaction: Transaction, command: TokenCommand): Outcome {
  switch (command.type) {
    case 'joinToken.create':
      return createJoinToken(transaction, command.payload)
    case 'joinToken.revoke': {
      const token = transaction.require('joinToken', command.payload.id)
      transaction.put('joinToken', token.id, { ...token, revokedMs: token.revokedMs ?? transaction.timeMs, revision: transaction.index })
      say(transaction, 'joinToken', token, 'updated', 'A join token was revoked')
      return { id: token.id }
    }
    case 'token.create':
      return createToken(transaction, { ...command.payload, bindings: null, parentId: null })
    case 'token.issue':
      return createToken(transaction, command.payload)
    case 'token.revoke': {
      const token = transaction.require('token', command.payload.id)
      for (const id of familyOf(transaction, token.id)) transaction.delete('token', id)
      say(transaction, 'token', token, 'deleted', `API token ${token.name} was revoked`)
      return { id: token.id }
    }
    case 'session.revoke': {
      if (transaction.state.tables.revokedSession.size >= revokedSessionsMax) throw new Refusal('LIMIT_REACHED', 'Too many sessions were signed out at once.')
      transaction.put('revokedSession', command.payload.id, command.payload)
      return { id: command.payload.id }
    }
  }
}

function createJoinToken(transaction: Transaction, payload: CommandOf<'joinToken.create'>['payload']): Outcome {
  const { joinToken } = transaction.state.tables
  for (const token of joinToken.values()) {
    if (token.expiresMs + joinTokenShownMs < transaction.timeMs) transaction.delete('joinToken', token.id)
  }
  if (joinToken.size >= joinTokensMax) throw new Refusal('LIMIT_REACHED', `At most ${joinTokensMax} join tokens are kept.`)
  const record = {
    id: payload.id, kind: 'joinToken' as const, name: payload.id.slice(-8), project: '' as const, labels: {}, revision: transaction.index, generation: 1,
    secretHash: payload.secretHash, createdMs: transaction.timeMs, expiresMs: transaction.timeMs + payload.lifeSeconds * 1000,
    usedByNodeId: null, revokedMs: null,
  }
  transaction.put('joinToken', payload.id, record)
  say(transaction, 'joinToken', record, 'created', 'A join token was made')
  return { id: payload.id }
}

function createToken(transaction: Transaction, payload: CommandOf<'token.issue'>['payload']): Outcome {
  transaction.require('user', payload.userId)
  const parent = payload.parentId === null ? null : transaction.get('token', payload.parentId)
  if (parent === undefined) throw new Refusal('FORBIDDEN', 'The token that asked was revoked.')
  transaction.requireFreeName('token', '', payload.name, payload.id)
  if (transaction.state.tables.token.size >= tokensMax) throw new Refusal('LIMIT_REACHED', `At most ${tokensMax} API tokens are kept.`)
  const asked = payload.expiresInDays === null ? null : transaction.timeMs + payload.expiresInDays * 86_400_000
  const latest = parent?.expiresMs ?? null
  if (asked !== null && latest !== null && asked > latest) {
    throw new Refusal('INVALID', 'A token cannot make one that outlives it.', [{ path: 'spec.expiresInDays', message: `must end before ${new Date(latest).toISOString()}` }])
  }
  transaction.put('token', payload.id, {
    id: payload.id, kind: 'token', name: payload.name, project: '', labels: {}, revision: transaction.index, generation: 1,
    spec: { ...(payload.expiresInDays === null ? {} : { expiresInDays: payload.expiresInDays }), ...(payload.bindings === null ? {} : { bindings: [...normalBindings(payload.bindings)] }) },
    userId: payload.userId, secretHash: payload.secretHash, createdMs: transaction.timeMs,
    expiresMs: asked ?? latest,
    revokedMs: null,
    ...(payload.parentId === null ? {} : { parentId: payload.parentId }),
  })
  say(transaction, 'token', payload, 'created', `API token ${payload.name} was made`)
  return { id: payload.id }
}

/** A token and all that it made, and what those made. */
function familyOf(transaction: Transaction, id: string): ReadonlySet<string> {
  const family = new Set([id])
  for (let size = 0; size !== family.size; ) {
    size = family.size
    for (const token of transaction.state.tables.token.values()) if (token.parentId !== undefined && family.has(token.parentId)) family.add(token.id)
  }
  return family
}

function say(transaction: Transaction, kind: string, token: { id: string; name: string }, type: 'created' | 'updated' | 'deleted', message: string): void {
  transaction.event({ type, kind, resourceId: token.id, name: token.name, project: '', message, reason: `${kind}.${type}` })
}
