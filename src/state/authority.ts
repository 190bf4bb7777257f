// Whether the actor of a command has the right that it needs, at the very index where it is applied: a right may have been withdrawn since it was proposed.
import type { Command, CommandType } from '../model/command.ts'
import { allows, intersect, type RoleBinding, type Verb } from '../model/role.ts'
import type { Actor } from '../model/user.ts'
import type { State } from './state.ts'
import { Refusal, type Transaction } from './transaction.ts'

type NounOf<Type> = Type extends `${infer Noun}.${string}` ? Noun : never
/** Null: whoever has a credential may. `project` empty: the cluster's. */
type Right = { readonly verb: Verb; readonly project: string } | null
type Payload = { readonly id?: string; readonly project?: string; readonly userId?: string }
type Asked = { readonly transaction: Transaction; readonly type: CommandType; readonly payload: Payload; readonly userId: string }

const administer: Right = { verb: 'administer', project: '' }

/** By the noun of the command; a new noun has to say here what it needs. */
const rules: Readonly<Record<NounOf<CommandType>, (asked: Asked) => Right>> = {
  cluster: () => administer,
  joinToken: () => administer,
  node: () => administer,
  project: () => administer,
  role: () => administer,
  user: ({ type, payload, userId }) => (type === 'user.setPassword' && payload.id === userId ? null : administer),
  token: ({ transaction, type, payload, userId }) => {
    const owner = type === 'token.revoke' ? transaction.get('token', payload.id ?? '')?.userId : payload.userId
    return owner === userId ? null : administer
  },
  session: ({ type, payload, userId }) => (type === 'session.revokeAll' && payload.userId !== userId ? administer : null),
  image: (asked) => operate(asked, 'image'),
  vm: (asked) => operate(asked, 'vm'),
  operation: (asked) => operate(asked, 'operation'),
}

function operate({ transaction, payload }: Asked, table: 'vm' | 'image' | 'operation'): Right {
  const record = payload.id === undefined ? undefined : transaction.get(table, payload.id)
  return { verb: 'operate', project: record?.project ?? payload.project ?? '' }
}

/** Null where the actor is nobody (any more): a deleted or disabled user, a revoked or ended token. */
export function bindingsOf(state: State, actor: Pick<Actor, 'kind' | 'id'>): readonly RoleBinding[] | null {
  const token = actor.kind === 'token' ? state.tables.token.get(actor.id) : null
  if (token === undefined || (token !== null && token.revokedMs !== null)) return null
  const user = state.tables.user.get(token === null ? actor.id : token.userId)
  if (user === undefined || user.spec.disabled) return null
  return token?.spec.bindings === undefined ? user.spec.bindings : intersect(user.spec.bindings, token.spec.bindings)
}

/** @throws Refusal FORBIDDEN. What nodes, guests and the system itself command is not a matter of roles. */
export function requireAuthority(transaction: Transaction, command: Command): void {
  if (command.authorize !== true || (command.actor.kind !== 'user' && command.actor.kind !== 'token')) return
  const bindings = bindingsOf(transaction.state, command.actor)
  if (bindings === null) throw new Refusal('FORBIDDEN', `${command.actor.name} may do nothing any more.`)
  const userId = command.actor.kind === 'token' ? (transaction.get('token', command.actor.id)?.userId ?? '') : command.actor.id
  const noun = command.type.slice(0, command.type.indexOf('.')) as NounOf<CommandType>
  const right = rules[noun]({ transaction, type: command.type, payload: command.payload as Payload, userId })
  if (right !== null && !allows(bindings, right.verb, right.project)) {
    throw new Refusal('FORBIDDEN', `${command.actor.name} may not ${right.verb} ${right.project === '' ? 'the cluster' : `project ${right.project}`} (any more).`)
  }
}
