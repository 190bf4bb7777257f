// A client's call on a host that may die under it: ends done, failed, or with its host; one that does neither hangs.
import type { SimHost } from './host.ts'
import type { World } from './world.ts'

/** A call that is not settled after so long, on a node that lives, hangs. */
const patienceMs = 25_000

export type Outcome<T> = { readonly kind: 'done'; readonly value: T } | { readonly kind: 'failed'; readonly error: unknown } | { readonly kind: 'died' }

export async function callHost<T>(world: World, host: SimHost, what: string, call: () => Promise<T>): Promise<Outcome<T>> {
  return await new Promise((resolve) => {
    const died = (): void => {
      cancel()
      resolve({ kind: 'died' })
    }
    const cancel = world.clock.after(patienceMs, () => {
      host.onDeath.delete(died)
      if (!host.clock.isStalled) world.checker.violate(`no answer within ${patienceMs / 1000} s: ${what}`)
      resolve({ kind: 'died' })
    })
    host.onDeath.add(died)
    const settle = (outcome: Outcome<T>): void => {
      cancel()
      host.onDeath.delete(died)
      resolve(outcome)
    }
    call().then(
      (value) => settle({ kind: 'done', value }),
      (error: unknown) => settle({ kind: 'failed', error }),
    )
  })
}
