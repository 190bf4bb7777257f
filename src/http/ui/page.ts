// From a request to a page: the frame that views need, and the answer around a body.
import { randomBytes } from 'node:crypto'
import type { Context } from 'hono'
import type { App, Caller, Freshness } from '../../app/face.ts'
import { OperationalError } from '../../model/error.ts'
import type { Node } from '../../model/node.ts'
import type { Operation } from '../../model/operation.ts'
import { allows, isClusterAdministrator } from '../../model/role.ts'
import type { Frame, Html } from '../../../ui/views/frame.ts'
import { shell, type ShellOptions } from '../../../ui/views/shell.ts'
import { callerOf, type HttpEnv, type UiOptions } from '../context.ts'
import { permittedList } from './permitted.ts'

export type Ui = { readonly app: App; readonly options: UiOptions }
export type UiContext = Context<HttpEnv>

const nodesMax = 1000
const inboxMax = 5

/** Cookies that the page's script sets: looks only, nothing is trusted. */
export type Looks = { readonly theme: Frame['theme']; readonly nav: Frame['nav']; readonly timeZone: string }

export function looksOf(headers: Headers): Looks {
  const cookies = new Map((headers.get('Cookie') ?? '').split(';').map((part) => [part.slice(0, part.indexOf('=')).trim(), part.slice(part.indexOf('=') + 1).trim()]))
  const theme = cookies.get('theme')
  const nav = cookies.get('nav')
  return {
    theme: theme === 'light' || theme === 'dark' ? theme : null,
    nav: nav === 'rail' || nav === 'full' ? nav : null,
    timeZone: knownTimeZone(decodeCookie(cookies.get('tz') ?? '')),
  }
}

function decodeCookie(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return ''
  }
}

function knownTimeZone(name: string): string {
  if (!/^[A-Za-z0-9_+/-]{1,64}$/.test(name)) return 'UTC'
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone
  } catch {
    return 'UTC'
  }
}

/** All that a view needs besides its own data. */
export function frameOf(ui: Ui, caller: Caller, looks: Looks, path: string): Frame {
  const { app, options } = ui
  const freshness = app.freshness()
  const nodes = permittedList(() => app.nodes.list(caller, { limit: nodesMax, after: null, sort: null, filter: null }))
  return {
    ...looks,
    asset: options.assetUrl,
    version: options.version,
    csrf: caller.session?.csrf ?? '',
    formKey: randomBytes(12).toString('base64url'),
    nowMs: options.clock.nowMs(),
    path,
    user: { name: caller.userName, looks: caller.bindings.length > 0, administrator: isClusterAdministrator(caller.bindings), cluster: allows(caller.bindings, 'read', ''), role: roleOf(caller), session: caller.session !== null },
    cluster: clusterOf(freshness, nodes.items),
    counts: {
      vms: Object.values(app.vms.counts(caller)).reduce((sum, value) => sum + value, 0),
      images: app.images.list(caller, { limit: 1, after: null, sort: null, filter: null }).total,
      nodes: nodes.total,
      operationsRunning: app.operations.list(caller, { limit: 1, after: null, sort: null, filter: 'state:running' }).total,
    },
    refusal: refusalOf(caller, freshness, path.split('?', 1)[0]!),
  }
}

function clusterOf(freshness: Freshness, nodes: readonly Node[]): Frame['cluster'] {
  const voters = nodes.filter((node) => node.status.role === 'leader' || node.status.role === 'voter')
  return {
    name: freshness.clusterName,
    node: freshness.node.name,
    leader: freshness.leader === null ? null : { name: freshness.leader.name, url: freshness.leader.url },
    quorum: freshness.quorum,
    votersReady: voters.filter((node) => node.status.ready || node.name === freshness.node.name).length,
    voters: voters.length,
    staleSinceMs: freshness.staleSinceMs,
    peers: nodes.filter((node) => node.status.url !== '').map((node) => ({ name: node.name, url: node.status.url })),
  }
}

/** The own password, sessions and tokens are everybody's to change. */
function refusalOf(caller: Caller, freshness: Freshness, path: string): string | null {
  if (!freshness.quorum) return 'This node has no quorum: nothing can be changed from here'
  if (caller.bindings.length > 0 && caller.bindings.every((binding) => binding.role === 'viewer') && path !== '/access') return 'Your role may look, but not change anything'
  return null
}

function roleOf(caller: Caller): string {
  const order = ['administrator', 'operator', 'viewer'] as const
  return order.find((role) => caller.bindings.some((binding) => binding.role === role)) ?? 'no role'
}

/** What the reader did lately. */
function inboxOf(ui: Ui, caller: Caller): readonly Operation[] {
  const latest = ui.app.operations.list(caller, { limit: 50, after: null, sort: null, filter: null })
  return latest.items.filter((operation) => operation.status.actor === caller.userName || operation.status.actor === caller.actor.name).slice(0, inboxMax)
}

export function requestFrame(ui: Ui, context: UiContext): Frame {
  const url = new URL(context.req.url)
  return frameOf(ui, callerOf(context), looksOf(context.req.raw.headers), url.pathname + url.search)
}

export type PageOptions = ShellOptions & { readonly status?: number }

/** Answers a whole page. */
export function answerPage(ui: Ui, context: UiContext, frame: Frame, options: PageOptions, body: Html): Response | Promise<Response> {
  context.header('Cache-Control', 'no-store')
  context.header('Vary', 'HX-Request')
  context.status((options.status ?? 200) as 200)
  return context.html(shell(frame, { ...options, inbox: inboxOf(ui, callerOf(context)) }, body))
}

/** Whether htmx asks: it takes parts, where a browser takes pages. */
export function isPartial(context: UiContext): boolean {
  return context.req.header('HX-Request') === 'true'
}

/** @throws NOT_FOUND for a parameter that no route could have */
export function refOf(context: UiContext): string {
  const ref = context.req.param('ref')
  if (ref === undefined || ref.length > 128) throw new OperationalError('NOT_FOUND', 'There is no such thing.')
  return ref
}
