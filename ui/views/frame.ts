// The frame of a page: what every view needs besides its own data (who looks, from where, what may be changed, where assets lie).
import type { HtmlEscapedString } from 'hono/utils/html'

/** What a view returns. It is a promise only where a promise was put into a template; ours never do. */
export type Html = HtmlEscapedString | Promise<HtmlEscapedString>

export type Peer = { readonly name: string; readonly url: string }

export type Frame = {
  /** URL of an asset by its plain name, as `app.css`. */
  readonly asset: (name: string) => string
  readonly version: string
  readonly csrf: string
  /** Goes into each form; with path and body it makes the Idempotency-Key. */
  readonly formKey: string
  readonly nowMs: number
  /** IANA name; the browser tells it by cookie. */
  readonly timeZone: string
  readonly theme: 'light' | 'dark' | null
  readonly nav: 'rail' | 'full' | null
  /** Path and query of this page. */
  readonly path: string
  readonly user: {
    readonly name: string
    readonly role: string
    /** Of the whole cluster. */
    readonly administrator: boolean
    /** May look at the whole cluster; else only at what is of their projects. */
    readonly cluster: boolean
    /** Has a role at all. */
    readonly looks: boolean
    readonly session: boolean
  }
  readonly cluster: {
    readonly name: string
    readonly node: string
    readonly leader: Peer | null
    readonly quorum: boolean
    readonly votersReady: number
    readonly voters: number
    /** Since when nothing was heard from a leader; null while in touch. */
    readonly staleSinceMs: number | null
    readonly peers: readonly Peer[]
  }
  readonly counts: { readonly vms: number; readonly images: number; readonly nodes: number; readonly operationsRunning: number }
  /** Why nothing may be changed here and now; null where it may. */
  readonly refusal: string | null
}
