// Signing in, sessions and API tokens. All of it works without quorum; only signing out needs one to be heard everywhere.
import { OperationalError } from '../model/error.ts'
import { normalBindings, type RoleBinding } from '../model/role.ts'
import { apiTokenPrefix, type StoredToken } from '../model/token.ts'
import type { StoredUser } from '../model/user.ts'
import type { Cancel } from '../ports/clock.ts'
import { bindingsOf } from '../state/authority.ts'
import { findByRef } from '../state/query.ts'
import { Abreast } from './abreast.ts'
import type { TicketHolder } from './console-ticket.ts'
import type { AppContext } from './context.ts'
import type { Caller, Identity, SignedIn } from './face.ts'
import type { ClusterKeys } from './keys.ts'
import type { SignInGuard } from './sign-in-guard.ts'
import { propose } from './write.ts'

export const sessionLifeMs = 12 * 3_600_000
/** Sessions signed out here alone; the oldest are forgotten first. */
const signedOutMax = 10_000
/** Of tokens in use. */
const hashesMax = 256
/** Commands after which a credential may be worth less than before. */
const credentialCommands = /^(?:user|role|token|session|project)\./

export class IdentityUseCases implements Identity {
  readonly #context: AppContext
  readonly #keys: ClusterKeys
  readonly #guard: SignInGuard
  readonly #abreast: Abreast
  /** Signed out here while the cluster could not be told. */
  readonly #signedOut = new Set<string>()
  readonly #listeners = new Set<() => void>()
  /** Hashes of the secrets of tokens that exist: what a secret's hash is never changes. */
  readonly #hashes = new Map<string, string>()
  /** What a token's holder may do, as long as both records are the same. */
  readonly #bindings = new WeakMap<StoredToken, { readonly user: StoredUser; readonly bindings: readonly RoleBinding[] }>()

  constructor(context: AppContext, keys: ClusterKeys, guard: SignInGuard) {
    this.#context = context
    this.#keys = keys
    this.#guard = guard
    this.#abreast = new Abreast(context)
  }

  async signIn(input: { readonly name: string; readonly password: string; readonly address: string; readonly agent?: string }): Promise<SignedIn> {
    const { vault, clock } = this.#context.ports
    const name = input.name.slice(0, 128)
    // A node that has just joined, or lost its disk, knows nobody: that is no word on the password.
    if (!this.#context.state.tables.cluster.has('cluster')) throw new OperationalError('NO_QUORUM', 'This node does not hold the state of its cluster yet, so nobody can sign in here. Try another node, or again in a moment.')
    this.#guard.requireTurn({ name, address: input.address })
    await this.#abreast.come()
    const user = findByRef(this.#context.state, 'user', name, '')
    const good = await this.#guard.check({ name, password: input.password, address: input.address, what: 'session.signIn' }, user)
    if (!good || user === undefined) throw new OperationalError('SIGN_IN_FAILED', 'User name or password is wrong.')
    const nowMs = wholeSeconds(clock.nowMs())
    const session = { id: this.#context.newId(), expiresMs: nowMs + sessionLifeMs, csrf: vault.secret() }
    // State time may be ahead of this node's clock; the password that was just proved is the present one.
    const issuedMs = Math.max(nowMs, sessionsFromMs(user))
    const cookie = await vault.signSession(this.#keys.sessionKey(), { sid: session.id, sub: user.id, csrf: session.csrf, issuedMs, expiresMs: session.expiresMs })
    this.#context.sightings.sawSession({ id: session.id, userId: user.id, address: input.address, agent: input.agent ?? '', issuedMs, expiresMs: session.expiresMs })
    return { cookie, expiresMs: session.expiresMs, caller: callerOf(user, { kind: 'user', id: user.id, name: user.name, address: input.address }, { session, bindings: user.spec.bindings }) }
  }

  async signOut(caller: Caller): Promise<void> {
    if (caller.session === null) return
    this.#signedOut.add(caller.session.id)
    const [oldest] = this.#signedOut
    if (this.#signedOut.size > signedOutMax && oldest !== undefined) this.#signedOut.delete(oldest)
    for (const listener of this.#listeners) listener()
    await propose(this.#context, caller.actor, 'session.revoke', { id: caller.session.id, expiresMs: caller.session.expiresMs }, null)
    this.#signedOut.delete(caller.session.id)
  }

  async authenticateSession(cookie: string, address: string, agent = ''): Promise<Caller | null> {
    const { vault, clock } = this.#context.ports
    const claims = await vault.verifySession(this.#keys.sessionKey(), cookie, clock.nowMs())
    if (claims === null || this.#signedOut.has(claims.sid)) return null
    const { revokedSession, user: users } = this.#context.state.tables
    // The cookie is the cluster's own word: a user who is not here is one of whom this node has not heard yet.
    if (!users.has(claims.sub)) await this.#abreast.come()
    const user = users.get(claims.sub)
    if (user === undefined || user.spec.disabled || revokedSession.has(claims.sid)) return null
    if (sessionsFromMs(user) > claims.issuedMs) return null
    this.#context.sightings.sawSession({ id: claims.sid, userId: user.id, address, agent, issuedMs: claims.issuedMs, expiresMs: claims.expiresMs })
    const session = { id: claims.sid, expiresMs: claims.expiresMs, csrf: claims.csrf }
    return callerOf(user, { kind: 'user', id: user.id, name: user.name, address }, { session, bindings: user.spec.bindings })
  }

  async authenticateToken(secret: string, address: string): Promise<Caller | null> {
    if (!secret.startsWith(apiTokenPrefix) || secret.length > 200) return null
    let token = this.#tokenOf(secret)
    if (token === undefined) {
      await this.#abreast.come()
      token = this.#tokenOf(secret)
    }
    return token === undefined ? null : this.#callerOfToken(token, address)
  }

  /** What a console's ticket says of its holder. */
  refer(caller: Caller): TicketHolder {
    const user = this.#context.state.tables.user.get(caller.userId)
    const issuedMs = Math.max(this.#context.ports.clock.nowMs(), user === undefined ? 0 : sessionsFromMs(user))
    const session = caller.session === null ? null : { id: caller.session.id, expiresMs: caller.session.expiresMs }
    return { userId: caller.userId, actor: { kind: session === null ? 'token' : 'user', id: caller.actor.id }, session, issuedMs }
  }

  /** The caller as he is now; null where his session or token is not valid any more. */
  recall(holder: TicketHolder, address: string): Caller | null {
    const { tables } = this.#context.state
    if (holder.session === null) {
      const token = tables.token.get(holder.actor.id)
      return token === undefined ? null : this.#callerOfToken(token, address)
    }
    const user = tables.user.get(holder.userId)
    const { id, expiresMs } = holder.session
    if (user === undefined || user.spec.disabled || tables.revokedSession.has(id) || this.#signedOut.has(id)) return null
    if (expiresMs <= this.#context.ports.clock.nowMs() || sessionsFromMs(user) > holder.issuedMs) return null
    return callerOf(user, { kind: 'user', id: user.id, name: user.name, address }, { session: { id, expiresMs, csrf: '' }, bindings: user.spec.bindings })
  }

  onCredentialChange(listener: () => void): Cancel {
    this.#listeners.add(listener)
    const cancel = this.#context.ports.consensus.watch((notice) => {
      if (notice.kind === 'replaced' || (notice.kind === 'applied' && notice.command !== null && credentialCommands.test(notice.command.type))) listener()
    })
    return () => {
      this.#listeners.delete(listener)
      cancel()
    }
  }

  /** The lookup is by the hash of 256 random bits, so its time tells nothing of use. */
  #tokenOf(secret: string): StoredToken | undefined {
    const { state } = this.#context
    const known = this.#hashes.get(secret)
    const hash = known ?? this.#context.ports.vault.sha256Hex(secret)
    const token = state.tables.token.get(state.tokenIdsByHash.get(hash) ?? '')
    if (token === undefined) this.#hashes.delete(secret)
    else if (known === undefined) {
      if (this.#hashes.size >= hashesMax) this.#hashes.clear()
      this.#hashes.set(secret, hash)
    }
    return token
  }

  #bindingsOf(token: StoredToken, user: StoredUser): readonly RoleBinding[] | null {
    const known = this.#bindings.get(token)
    if (known?.user === user) return known.bindings
    const bindings = bindingsOf(this.#context.state, { kind: 'token', id: token.id })
    if (bindings === null) return null
    const normal = normalBindings(bindings)
    this.#bindings.set(token, { user, bindings: normal })
    return normal
  }

  #callerOfToken(token: StoredToken, address: string): Caller | null {
    const { state } = this.#context
    if (token.revokedMs !== null) return null
    if (token.expiresMs !== null && token.expiresMs <= this.#context.ports.clock.nowMs()) return null
    const user = state.tables.user.get(token.userId)
    const bindings = user === undefined ? null : this.#bindingsOf(token, user)
    if (user === undefined || bindings === null) return null
    this.#context.sightings.sawToken(token.id, address)
    return { actor: { kind: 'token', id: token.id, name: `${user.name}/${token.name}`, address }, userId: user.id, userName: user.name, bindings, session: null }
  }
}

/** Sessions that began before are over: the password was changed, or the user was signed out everywhere. */
export function sessionsFromMs(user: StoredUser): number {
  // One that began in the very second is over too: whose it was is not known.
  return wholeSeconds(Math.max(user.passwordChangedMs, user.sessionsFromMs ?? 0)) + 1000
}

/** Times in a session are whole seconds. */
function wholeSeconds(timeMs: number): number {
  return Math.floor(timeMs / 1000) * 1000
}

function callerOf(user: StoredUser, actor: Caller['actor'], { session, bindings }: { readonly session: Caller['session']; readonly bindings: readonly RoleBinding[] }): Caller {
  return { actor, userId: user.id, userName: user.name, bindings: normalBindings(bindings), session }
}
