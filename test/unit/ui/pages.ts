// The real pages over the stand-in app, asked without a network.
import { readFileSync } from 'node:fs'
import { Hono } from 'hono'
import type { Caller } from '../../../src/app/face.ts'
import type { HttpEnv } from '../../../src/http/context.ts'
import { renderSessionCookie } from '../../../src/http/authentication.ts'
import { uiRoutes } from '../../../src/http/ui/routes.ts'
import type { Clock } from '../../../src/ports/clock.ts'
import type { Log } from '../../../src/ports/log.ts'
import { admin, makeStandIn, nowMs, type StandIn } from './stand-in.ts'

const quiet: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined, child: () => quiet }

/** Time stands still until it is moved. */
export class TestClock implements Clock {
  #now = 0
  readonly #timers = new Set<{ at: number; readonly every: number | null; readonly action: () => void }>()

  nowMs(): number {
    return nowMs + this.#now
  }
  monotonicMs(): number {
    return this.#now
  }
  after(delayMs: number, action: () => void): () => void {
    return this.#add({ at: this.#now + delayMs, every: null, action })
  }
  every(periodMs: number, action: () => void): () => void {
    return this.#add({ at: this.#now + periodMs, every: periodMs, action })
  }
  #add(timer: { at: number; readonly every: number | null; readonly action: () => void }): () => void {
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }
  get pending(): number {
    return this.#timers.size
  }
  /** Runs what is due, then lets promises settle. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    for (;;) {
      const due = [...this.#timers].filter((timer) => timer.at <= end).toSorted((left, right) => left.at - right.at)[0]
      if (due === undefined) break
      this.#now = Math.max(this.#now, due.at)
      if (due.every === null) this.#timers.delete(due)
      else due.at += due.every
      due.action()
      await settle()
    }
    this.#now = end
    await settle()
  }
}

async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}

export type Pages = {
  readonly app: StandIn
  readonly clock: TestClock
  readonly stopping: AbortController
  get(path: string, headers?: Record<string, string>): Promise<Response>
  post(path: string, fields: Record<string, string | string[]>, headers?: Record<string, string>): Promise<Response>
}

export function makePages(options: { readonly caller?: Caller | null } = {}): Pages {
  const app = makeStandIn()
  const clock = new TestClock()
  const stopping = new AbortController()
  const outer = new Hono<HttpEnv>()
  outer.use('*', async (context, next) => {
    context.set('caller', options.caller === undefined ? admin : options.caller)
    const isForm = (context.req.header('Content-Type') ?? '').startsWith('application/x-www-form-urlencoded')
    context.set('form', isForm ? new URLSearchParams(await context.req.text()) : null)
    context.set('route', 'other')
    await next()
  })
  const pages = uiRoutes(app, {
    clock, log: quiet, version: '0.1.0', assetUrl: (name) => `/assets/${name}`, stopping: stopping.signal,
    setSessionCookie: (context, cookie, expiresMs) => context.header('Set-Cookie', renderSessionCookie(cookie, expiresMs)),
    clearSessionCookie: (context) => context.header('Set-Cookie', 'ended'),
  })
  outer.route('/', pages)
  const env = { incoming: { socket: { remoteAddress: '10.0.0.9' } } }
  const request = (path: string, init: RequestInit) => Promise.resolve(outer.fetch(new Request(`https://n2:8443${path}`, init), env))
  return {
    app, clock, stopping,
    get: (path, headers = {}) => request(path, { headers: { Accept: 'text/html', Cookie: '__Host-novacron=good-cookie', ...headers } }),
    post(path, fields, headers = {}) {
      const body = new URLSearchParams()
      for (const [name, value] of Object.entries(fields)) for (const each of Array.isArray(value) ? value : [value]) body.append(name, each)
      return request(path, { method: 'POST', body: body.toString(), headers: { 'Content-Type': 'application/x-www-form-urlencoded', ...headers } })
    },
  }
}

export function readAsset(name: string): Buffer {
  return readFileSync(new URL(`../../../ui/assets/${name}`, import.meta.url))
}
