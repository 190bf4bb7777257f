// What a request carries on its way through the HTTP face, and what the pages are given.
import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'
import type { Caller } from '../app/face.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'

/** An answer in JSON, or of no body, before what every answer gets: names of headers in lower case. `response` stands for it on the way out. */
export type PlainAnswer = { readonly response: Response; readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: string | null; readonly node: string }

export type HttpEnv = {
  Bindings: HttpBindings
  Variables: {
    /** Set for every request that needs a credential; null on the few paths that need none and came without. */
    caller: Caller | null
    /** The fields of a form (application/x-www-form-urlencoded), read and checked for its CSRF token before any page sees it. */
    form: URLSearchParams | null
    /** Pattern of the path, for metrics. */
    route: string
    /** Null where the answer is a Response and nothing else. */
    plain: PlainAnswer | null
  }
}

/** What `uiRoutes(app, options)` gets. */
export type UiOptions = {
  readonly clock: Clock
  readonly log: Log
  readonly version: string
  /** URL of a file in ui/assets by its plain name: `app.css` → `/assets/app.0123456789ab.css`. */
  readonly assetUrl: (name: string) => string
  /** Fires when the server stops: live streams end then. */
  readonly stopping: AbortSignal
  readonly setSessionCookie: (context: Context<HttpEnv>, cookie: string, expiresMs: number) => void
  readonly clearSessionCookie: (context: Context<HttpEnv>) => void
}

/** The caller of a request that came past the credential check. */
export function callerOf(context: Context<HttpEnv>): Caller {
  const caller = context.get('caller')
  if (caller === null || caller === undefined) throw new TypeError('a handler behind the credential check has no caller')
  return caller
}

/** The client's IP address, without port; IPv4 in its own form also on a dual-stack socket. */
export function addressOf(incoming: HttpBindings['incoming']): string {
  // A request that was destroyed has lost its socket.
  const address = (incoming.socket as typeof incoming.socket | null)?.remoteAddress ?? ''
  return address.startsWith('::ffff:') ? address.slice(7) : address
}
