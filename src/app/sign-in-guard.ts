// Every check of a password passes here: pauses after failures, on this node and by what others tell, and a note of each failure for the audit.
import { OperationalError } from '../model/error.ts'
import type { StoredUser } from '../model/user.ts'
import type { AppContext } from './context.ts'
import { Lockout } from './lockout.ts'

const passwordCharactersMax = 1024

export class SignInGuard {
  readonly #context: AppContext
  readonly #lockout: Lockout

  constructor(context: AppContext) {
    this.#context = context
    this.#lockout = new Lockout(context.ports.clock)
    context.sightings.onFailure(({ name, address, cleared }) => void (cleared === true ? this.#lockout.succeeded(name, address) : this.#lockout.failed(name, address)))
  }

  /** @throws TOO_MANY_ATTEMPTS with retryAfterSeconds */
  requireTurn(input: { readonly name: string; readonly address: string }): void {
    const waitSeconds = this.#lockout.waitSeconds(this.#keyOf(input.name), input.address)
    if (waitSeconds > 0) throw new OperationalError('TOO_MANY_ATTEMPTS', `Too many failed attempts. Try again in ${waitSeconds} s.`, { data: { retryAfterSeconds: waitSeconds } })
  }

  /** The name as it was typed may be a password, where a form was mistyped: it is kept as a hash only. */
  #keyOf(name: string): string {
    return this.#context.ports.vault.sha256Hex(`sign-in ${name.toLowerCase()}`).slice(0, 32)
  }

  /**
   * Whether the password is that of the user; a missing or disabled one has none.
   * @throws TOO_MANY_ATTEMPTS with retryAfterSeconds
   */
  async check(input: { readonly name: string; readonly password: string; readonly address: string; readonly what: 'session.signIn' | 'user.setPassword' }, user: StoredUser | undefined): Promise<boolean> {
    const { vault, log } = this.#context.ports
    const { address } = input
    const name = this.#keyOf(input.name)
    this.requireTurn(input)
    const good = await vault.verifyPassword(input.password.slice(0, passwordCharactersMax), user === undefined || user.spec.disabled ? null : user.passwordHash)
    if (good && user !== undefined) {
      if (this.#lockout.succeeded(name, address)) this.#context.sightings.tellFailure({ name, address, cleared: true })
      return true
    }
    this.#lockout.failed(name, address)
    this.#context.sightings.tellFailure({ name, address })
    log.warn('sign-in failed', { address, known: user !== undefined })
    this.#context.sightings.note({
      id: this.#context.newId(), index: this.#context.state.index, timeMs: this.#context.ports.clock.nowMs(),
      actor: { kind: 'user', id: user?.id ?? '', name: user?.name ?? '(unknown)', address },
      command: input.what, target: user?.name ?? '', code: 'SIGN_IN_FAILED', detail: user?.spec.disabled === true ? 'The user is disabled.' : 'User name or password is wrong.',
    })
    return false
  }
}
