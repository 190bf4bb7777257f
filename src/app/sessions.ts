// Use cases of sessions: one's own, everybody's for an administrator; seen, and ended before their time.
import { OperationalError } from '../model/error.ts'
import type { UserId } from '../model/id.ts'
import type { SessionView } from '../model/session.ts'
import { findByRef } from '../state/query.ts'
import { authorize, may } from './authorize.ts'
import { isoTime, type AppContext } from './context.ts'
import type { Caller, ListQuery, Page, Sessions, WriteOptions, Written } from './face.ts'
import { sessionsFromMs } from './identity.ts'
import { listPage, type ListShape } from './list.ts'
import type { SessionSeen } from './sightings.ts'
import { dryRun, effect, findEarlier, propose } from './write.ts'

export class SessionUseCases implements Sessions {
  readonly #context: AppContext
  readonly #shape: ListShape<SessionSeen>

  constructor(context: AppContext) {
    this.#context = context
    const userName = (session: SessionSeen) => context.state.tables.user.get(session.userId)?.name ?? ''
    this.#shape = {
      id: (session) => session.id, name: userName, labels: () => ({}), sortDefault: '-seen',
      fields: { seen: (session) => session.seenMs, started: (session) => session.issuedMs, user: userName, userId: (session) => session.userId, address: (session) => session.address },
    }
  }

  list(caller: Caller, query: ListQuery): Page<SessionView> {
    const visible = [...this.#context.sightings.sessions()].filter((session) => this.#sees(caller, session) && this.#isValid(session))
    return listPage(visible, this.#shape, query, (session) => this.#view(caller, session))
  }

  async revoke(caller: Caller, id: string, options: WriteOptions): Promise<Written<null>> {
    if (findEarlier(this.#context, caller, options) !== null) return null
    const session = this.#context.sightings.session(id)
    if (session === undefined || !this.#sees(caller, session)) throw new OperationalError('NOT_FOUND', 'There is no such session, or no node has seen it yet.')
    const payload = { id: session.id, expiresMs: session.expiresMs }
    if (options.dryRun) return { ...dryRun(this.#context, caller, 'session.revoke', payload, 'revokedSession'), differences: [{ path: 'id', before: session.id, after: null }] }
    await propose(this.#context, caller.actor, 'session.revoke', payload, options)
    return null
  }

  async revokeAll(caller: Caller, ref: string, options: WriteOptions): Promise<Written<null>> {
    if (findEarlier(this.#context, caller, options) !== null) return null
    const user = findByRef(this.#context.state, 'user', ref, '')
    if (user === undefined || (user.id !== caller.userId && !may(caller, 'administer', ''))) {
      authorize(caller, 'administer', '', 'sessions of others')
      throw new OperationalError('NOT_FOUND', `There is no user ${ref.slice(0, 80)}.`)
    }
    const payload = { userId: user.id as UserId }
    if (options.dryRun) return effect(dryRun(this.#context, caller, 'session.revokeAll', payload, 'user'), { path: 'sessions', before: 'valid', after: 'ended' })
    await propose(this.#context, caller.actor, 'session.revokeAll', payload, options)
    return null
  }

  #sees(caller: Caller, session: SessionSeen): boolean {
    return session.userId === caller.userId || may(caller, 'administer', '')
  }

  #isValid(session: SessionSeen): boolean {
    const { user: users, revokedSession } = this.#context.state.tables
    const user = users.get(session.userId)
    return user !== undefined && !user.spec.disabled && !revokedSession.has(session.id) && session.expiresMs > this.#context.ports.clock.nowMs() && sessionsFromMs(user) <= session.issuedMs
  }

  #view(caller: Caller, session: SessionSeen): SessionView {
    return {
      id: session.id, user: this.#context.state.tables.user.get(session.userId)?.name ?? '', userId: session.userId, address: session.address, agent: session.agent,
      node: this.#context.nodeName(session.nodeId), startedAt: isoTime(session.issuedMs), lastSeenAt: isoTime(session.seenMs), expiresAt: isoTime(session.expiresMs),
      current: caller.session?.id === session.id,
    }
  }
}
