// Signing in, sessions and API tokens. All of it works without quorum; only signing out needs one to be heard everywhere.
import { OperationalError } from '../model/error.ts'
import { apiTokenPrefix } from '../model/token.ts'
import type { StoredUser } from '../model/user.ts'
import { findByRef } from '../state/query.ts'
import type { AppContext } from './context.ts'
import type { Caller, Identity, SignedIn } from './face.ts'
import type { ClusterKeys } from './keys.ts'
import { Lockout } from './lockout.ts'
import { propose } from './write.ts'

export const sessionLifeMs = 12 * 3_600_000
/** Sessions signed out here alone; the oldest are forgotten first. */
const signedOutMax = 10_000

export class IdentityUseCases implements Identity {
  readonly #context: AppContext
  readonly #keys: ClusterKeys
  readonly #lockout: Lockout
  /** Signed out here while the cluster could not be told. */
  readonly #signedOut = new Set<string>()

  constructor(context: AppContext, keys: ClusterKeys) {
    this.#context = context
    this.#keys = keys
    this.#lockout = new Lockout(context.ports.clock)
  }

  async signIn(input: { readonly name: string; readonly password: string; readonly address: string }): Promise<SignedIn> {
    const { vault, clock, log } = this.#context.ports
    const name = input.name.slice(0, 128)
    const waitSeconds = this.#lockout.waitSeconds(name, input.address)
    if (waitSeconds > 0) throw new OperationalError('TOO_MANY_ATTEMPTS', `Too many failed attempts. Try again in ${waitSeconds} s.`, { data: { retryAfterSeconds: waitSeconds } })
    const user = findByRef(this.#context.state, 'user', name, '')
    const good = await vault.verifyPassword(input.password.slice(0, 1024), user === undefined || user.spec.disabled ? null : user.passwordHash)
    if (!good || user === undefined) {
      this.#lockout.failed(name, input.address)
      log.warn('sign-in failed', { address: input.address, known: user !== undefined })
      throw new OperationalError('SIGN_IN_FAILED', 'User name or password is wrong.')
    }
    this.#lockout.succeeded(name, input.address)
    const nowMs = wholeSeconds(clock.nowMs())
    const session = { id: this.#context.newId(), expiresMs: nowMs + sessionLifeMs, csrf: vault.secret() }
    // State time may be ahead of this node's clock; the password that was just proved is the present one.
    const issuedMs = Math.max(nowMs, wholeSeconds(user.passwordChangedMs))
    const cookie = await vault.signSession(this.#keys.sessionKey(), { sid: session.id, sub: user.id, csrf: session.csrf, issuedMs, expiresMs: session.expiresMs })
    return { cookie, expiresMs: session.expiresMs, caller: callerOf(user, { kind: 'user', id: user.id, name: user.name, address: input.address }, session) }
  }

  async signOut(caller: Caller): Promise<void> {
    if (caller.session === null) return
    this.#signedOut.add(caller.session.id)
    const [oldest] = this.#signedOut
    if (this.#signedOut.size > signedOutMax && oldest !== undefined) this.#signedOut.delete(oldest)
    await propose(this.#context, caller.actor, 'session.revoke', { id: caller.session.id, expiresMs: caller.session.expiresMs }, null)
    this.#signedOut.delete(caller.session.id)
  }

  async authenticateSession(cookie: string, address: string): Promise<Caller | null> {
    const { vault, clock } = this.#context.ports
    const claims = await vault.verifySession(this.#keys.sessionKey(), cookie, clock.nowMs())
    if (claims === null || this.#signedOut.has(claims.sid)) return null
    const { revokedSession, user: users } = this.#context.state.tables
    const user = users.get(claims.sub)
    if (user === undefined || user.spec.disabled || revokedSession.has(claims.sid)) return null
    if (wholeSeconds(user.passwordChangedMs) > claims.issuedMs) return null
    return callerOf(user, { kind: 'user', id: user.id, name: user.name, address }, { id: claims.sid, expiresMs: claims.expiresMs, csrf: claims.csrf })
  }

  authenticateToken(secret: string, address: string): Promise<Caller | null> {
    return Promise.resolve(this.#tokenCaller(secret, address))
  }

  /** The lookup is by the hash of 256 random bits, so its time tells nothing of use. */
  #tokenCaller(secret: string, address: string): Caller | null {
    if (!secret.startsWith(apiTokenPrefix) || secret.length > 200) return null
    const { state } = this.#context
    const token = state.tables.token.get(state.tokenIdsByHash.get(this.#context.ports.vault.sha256Hex(secret)) ?? '')
    if (token === undefined || token.revokedMs !== null) return null
    if (token.expiresMs !== null && token.expiresMs <= this.#context.ports.clock.nowMs()) return null
    const user = state.tables.user.get(token.userId)
    if (user === undefined || user.spec.disabled) return null
    return callerOf(user, { kind: 'token', id: token.id, name: `${user.name}/${token.name}`, address }, null)
  }
}

/** Times in a session are whole seconds. */
function wholeSeconds(timeMs: number): number {
  return Math.floor(timeMs / 1000) * 1000
}

function callerOf(user: StoredUser, actor: Caller['actor'], session: Caller['session']): Caller {
  return { actor, userId: user.id, userName: user.name, bindings: user.spec.bindings, session }
}
