// Refused writes: confirmed where this node may be behind, and noted where they never become a command, so that the audit tells of them too: who, what, why; never what was sent.
import { errorTable, OperationalError } from '../model/error.ts'
import { confirmed } from './confirmation.ts'
import type { AppContext } from './context.ts'
import type { Caller } from './face.ts'

/** For one actor in a minute: whoever tries more than that is seen well enough, and shall not wash out what others did. */
const perMinuteMax = 60
const actorsMax = 1000
const audited: ReadonlySet<number> = new Set([403, 409, 412, 422])

export class Refusals {
  readonly #context: AppContext
  #minute = 0
  readonly #counts = new Map<string, number>()

  constructor(context: AppContext) {
    this.#context = context
  }

  /** The same use cases; whichever takes a caller first and options of a write is watched. */
  watch<UseCases extends object>(noun: string, useCases: UseCases): UseCases {
    return new Proxy(useCases, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target)
        if (typeof member !== 'function' || typeof name !== 'string') return member
        return (...given: readonly unknown[]) => {
          const call = () => Reflect.apply(member, target, given) as unknown
          if (!isWrite(given)) return call()
          return this.#watched(() => (isRepeatable(given) ? confirmed(this.#context, call) : call()), { caller: given[0] as Caller, command: commandOf(noun, name, given), target: targetOf(given) })
        }
      },
    })
  }

  /** Does what may be refused before a use case is asked. @throws what it throws */
  attempt(ask: () => void, { write, ...attempt }: Write & { readonly write: boolean }): void {
    if (write) this.#watched(ask, attempt)
    else ask()
  }

  #watched(call: () => unknown, write: Write): unknown {
    try {
      const result = call()
      return result instanceof Promise ? result.catch((error: unknown) => this.#note(error, write)) : result
    } catch (error) {
      return this.#note(error, write)
    }
  }

  /** @throws what it was given */
  #note(error: unknown, { caller, command, target }: Write): never {
    const inLog = error instanceof OperationalError && error.data['inLog'] === true
    if (error instanceof OperationalError && audited.has(errorTable[error.code].status) && !inLog && this.#hasRoom(caller.actor.id)) {
      const { actor } = caller
      this.#context.sightings.note({
        id: this.#context.newId(), index: this.#context.state.index, timeMs: this.#context.ports.clock.nowMs(),
        actor: { kind: actor.kind, id: actor.id, name: actor.name, address: actor.address }, command, target, code: error.code, detail: error.message,
      })
    }
    throw error
  }

  #hasRoom(actorId: string): boolean {
    const minute = Math.floor(this.#context.ports.clock.monotonicMs() / 60_000)
    if (minute !== this.#minute || this.#counts.size > actorsMax) this.#counts.clear()
    this.#minute = minute
    const count = (this.#counts.get(actorId) ?? 0) + 1
    this.#counts.set(actorId, count)
    return count <= perMinuteMax
  }
}

type Write = { readonly caller: Caller; readonly command: string; readonly target: string }

function isWrite(given: readonly unknown[]): boolean {
  const has = (value: unknown, key: string) => typeof value === 'object' && value !== null && key in value
  return has(given[0], 'bindings') && given.some((value) => has(value, 'idempotencyKey') && !(value as { readonly dryRun: boolean }).dryRun)
}

/** What streams can be read once. */
function isRepeatable(given: readonly unknown[]): boolean {
  return !given.some((value) => typeof value === 'function')
}

/** `vm.create`, `vm.stop`: as the commands themselves are called. */
function commandOf(noun: string, method: string, given: readonly unknown[]): string {
  return `${noun}.${method === 'act' && typeof given[2] === 'string' ? given[2] : method}`
}

/** The name or id that was asked for; never more of what was sent. */
function targetOf(given: readonly unknown[]): string {
  const second = given[1]
  if (typeof second === 'string') return second.slice(0, 63)
  const name = typeof second === 'object' && second !== null ? (second as { readonly name?: unknown }).name : undefined
  return typeof name === 'string' ? name.slice(0, 63) : ''
}
