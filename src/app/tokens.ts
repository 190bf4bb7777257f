// Use cases of API tokens: a user's own, all for an administrator.
import { OperationalError } from '../model/error.ts'
import type { TokenId, UserId } from '../model/id.ts'
import { tokenCreateSchema, type StoredToken, type Token } from '../model/token.ts'
import { findByRef } from '../state/query.ts'
import { covers, type RoleBinding } from '../model/role.ts'
import { may } from './authorize.ts'
import type { AppContext } from './context.ts'
import type { Caller, ListQuery, Page, Tokens, WriteOptions, Written } from './face.ts'
import { listPage, type ListShape } from './list.ts'
import { parseInput } from './parse.ts'
import { presentToken } from './present-people.ts'
import { dryRun, findEarlier, propose } from './write.ts'

export class TokenUseCases implements Tokens {
  readonly #context: AppContext
  readonly #shape: ListShape<StoredToken>

  constructor(context: AppContext) {
    this.#context = context
    this.#shape = {
      id: (token) => token.id, name: (token) => token.name, labels: (token) => token.labels, sortDefault: 'name',
      fields: { name: (token) => token.name, created: (token) => token.createdMs, used: (token) => context.sightings.token(token.id)?.usedMs ?? 0, user: (token) => context.state.tables.user.get(token.userId)?.name ?? '' },
    }
  }

  list(caller: Caller, query: ListQuery): Page<Token> {
    const visible = [...this.#context.state.tables.token.values()].filter((token) => this.#sees(caller, token))
    return listPage(visible, this.#shape, query, (token) => presentToken(this.#context, token))
  }

  get(caller: Caller, ref: string): Token {
    return presentToken(this.#context, this.#find(caller, ref))
  }

  async create(caller: Caller, body: unknown, options: WriteOptions): Promise<Written<Token>> {
    const input = parseInput(tokenCreateSchema, body)
    const bindings = boundsOf(caller, input.spec.bindings)
    const { vault } = this.#context.ports
    const secret = vault.apiTokenSecret()
    const payload = {
      id: this.#context.newId() as TokenId, name: input.name, userId: caller.userId as UserId,
      secretHash: vault.sha256Hex(secret), expiresInDays: input.spec.expiresInDays ?? null,
      bindings, parentId: caller.actor.kind === 'token' ? (caller.actor.id as TokenId) : null,
    }
    if (options.dryRun) return dryRun(this.#context, caller, 'token.issue', payload, 'token')
    const done = await propose(this.#context, caller.actor, 'token.issue', payload, options)
    // A replayed request cannot be answered with the secret again: only its hash was kept.
    return done.replayed === true ? this.get(caller, done.id) : { ...this.get(caller, done.id), secret }
  }

  async revoke(caller: Caller, ref: string, options: WriteOptions): Promise<Written<null>> {
    if (findEarlier(this.#context, caller, options) !== null) return null
    const payload = { id: this.#find(caller, ref).id as TokenId }
    if (options.dryRun) return dryRun(this.#context, caller, 'token.revoke', payload, 'token')
    await propose(this.#context, caller.actor, 'token.revoke', payload, options)
    return null
  }

  #sees(caller: Caller, token: StoredToken): boolean {
    return token.userId === caller.userId || may(caller, 'administer', '')
  }

  #find(caller: Caller, ref: string): StoredToken {
    const token = findByRef(this.#context.state, 'token', ref, '')
    if (token === undefined || !this.#sees(caller, token)) throw new OperationalError('NOT_FOUND', `There is no API token ${ref.slice(0, 80)}.`)
    return token
  }
}

/**
 * What the new token may do at most; null for all that its user may. One made by a token has that one's bounds at most.
 * @throws INVALID for more than the caller may
 */
function boundsOf(caller: Caller, wanted: readonly RoleBinding[] | undefined): RoleBinding[] | null {
  if (wanted === undefined) return caller.actor.kind === 'token' ? [...caller.bindings] : null
  const fields = wanted.flatMap((binding, at) => (covers(caller.bindings, binding) ? [] : [{ path: `spec.bindings.${at}`, message: `is more than ${caller.actor.name} may` }]))
  if (fields.length > 0) throw new OperationalError('INVALID', 'A token cannot be given more than whoever makes it may.', { data: { fields } })
  return [...wanted]
}
