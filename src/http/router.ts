// All that is served under one origin, in the order it is asked: health, credential, API, documents, metrics, pages.
import { Hono } from 'hono'
import type { Context, MiddlewareHandler } from 'hono'
import { unclusteredPage } from '../../ui/views/unclustered.ts'
import type { App, Control } from '../app/face.ts'
import { OperationalError } from '../model/error.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import { renderDocs } from './api/docs.ts'
import { mountApi, refuseMethod } from './api/mount.ts'
import { openApi } from './api/openapi.ts'
import { routeTable } from './api/table.ts'
import type { Assets } from './assets.ts'
import { endedSessionCookie, joinTokenOf, renderSessionCookie, unauthenticated } from './authentication.ts'
import { compressed, compressedText } from './compression.ts'
import { addressOf, callerOf, type HttpEnv, type PlainAnswer, type UiOptions } from './context.ts'
import { createEventStreams } from './event-stream.ts'
import { createGate } from './gate.ts'
import type { Metrics } from './metrics.ts'
import { mountPeerImage } from './peer-image.ts'
import { problemResponse } from './problem.ts'
import { plainSecurityHeaders, secure } from './security.ts'

export type RouterDependencies = {
  readonly clock: Clock
  readonly log: Log
  readonly version: string
  /** Null where the pages' files are not there. */
  readonly assets: Assets | null
  readonly metrics: Metrics
  readonly stopping: AbortSignal
  readonly pages: ((app: App, options: UiOptions) => Hono<HttpEnv>) | null
  /** Why this node cannot serve at all; null while it can. */
  readonly halted: () => string | null
  /** This host while it is in no cluster. */
  readonly appliance: Appliance
}
/** `join` is null where discovery is switched off: then only root on the host makes it join. */
export type Appliance = { readonly status: () => Pick<ReturnType<Control['status']>, 'name' | 'fingerprint' | 'removed'>; readonly join: Control['join'] | null }

/** @param app null while the node is in no cluster: then nobody has a credential */
export function createRouter(app: App | null, dependencies: RouterDependencies): Hono<HttpEnv> {
  const { clock, stopping, assets, version, metrics, halted } = dependencies
  const router = new Hono<HttpEnv>()
  const table = routeTable(createEventStreams({ clock, stopping }))
  const pages = app === null ? null : (dependencies.pages?.(app, uiOptionsOf(dependencies)) ?? null)
  router.onError((error, context) => answerError(error, context, dependencies.log))
  router.notFound(() => problemResponse(new OperationalError('NOT_FOUND', 'There is nothing at this path.')))
  router.use('*', createFinish(app, dependencies))
  router.use('*', createGate({ app, clock, assets, table, isPage: pageTest(pages) }))
  mountHealth(router, app, halted)
  if (assets !== null) {
    router.get('/assets/*', (context) => {
      context.set('route', '/assets')
      return assets.answer(context.req.path, context.req.raw) ?? context.notFound()
    })
  }
  if (app === null) {
    mountUnclustered(router, dependencies.appliance)
    return router
  }
  mountApi(router, table, { app, clock, stopping })
  mountDocuments(router, {
    document: madeOnce(() => JSON.stringify(openApi(table, version))),
    page: madeOnce(() => renderDocs(table, { version, styles: stylesOf(assets), icon: assets?.assetUrl('logo.svg') ?? null })),
  })
  mountMetrics(router, app, metrics)
  mountPeerImage(router, app)
  if (pages !== null) router.route('/', pages)
  return router
}

/** Security headers, compression, the access log and figures: around every answer, errors included. */
function createFinish(app: App | null, { clock, log, metrics }: RouterDependencies): MiddlewareHandler<HttpEnv> {
  return async (context, next) => {
    const begunMs = clock.monotonicMs()
    const { method, path } = context.req
    context.set('route', 'other')
    context.set('plain', null)
    await next()
    const given = context.res
    const last = context.get('plain')
    // Not the one that was made, where something went wrong after it.
    const plain = last?.response === given ? last : null
    const streamed = plain === null && (given.headers.get('Content-Type') ?? '').startsWith('text/event-stream')
    if (method === 'HEAD' && streamed) await given.body?.cancel()
    const acceptEncoding = context.req.header('Accept-Encoding') ?? null
    const response = await (plain === null ? finished(given, acceptEncoding) : finishedPlain(plain, acceptEncoding))
    // Hono would merge the former answer's headers into the new one.
    context.res = undefined
    context.res = response
    // Whatever was asked for that is not there is one thing: the labels stay few.
    const route = response.status === 404 && !context.get('route').startsWith('/api/') ? 'other' : context.get('route')
    const seconds = (clock.monotonicMs() - begunMs) / 1000
    if (app !== null && !streamed) {
      metrics.observe({ node: plain?.node ?? app.freshness().node.name, method, route, status: response.status, seconds })
      app.answered({ status: response.status, seconds })
    }
    log.debug('http request', { method, path, status: response.status, durationMs: Math.round(seconds * 1000), address: addressOf(context.env.incoming), actor: context.get('caller')?.actor.name ?? '' })
  }
}

async function finished(given: Response, acceptEncoding: string | null): Promise<Response> {
  const response = await compressed(given, acceptEncoding)
  secure(response.headers)
  return response
}

/** The same for most answers there are, in one go: fields that nobody looks at again need not be a Headers. */
async function finishedPlain({ status, headers, body }: PlainAnswer, acceptEncoding: string | null): Promise<Response> {
  if (body === null) return new Response(null, { status, headers: { ...plainSecurityHeaders, ...headers } })
  const bytes = await compressedText(body, acceptEncoding)
  const encoded = typeof bytes === 'string' ? {} : { 'content-encoding': 'gzip', 'content-length': String(bytes.length) }
  return new Response(bytes, { status, headers: { ...plainSecurityHeaders, ...headers, vary: 'Accept-Encoding', ...encoded } })
}

function answerError(error: unknown, context: Context<HttpEnv>, log: Log): Response {
  const aborted = error instanceof Error && error.name === 'AbortError'
  if (!(error instanceof OperationalError) && !aborted) {
    log.error('http request failed', { method: context.req.method, path: context.req.path, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
  // The client went away, or we are stopping; the former does not read it.
  if (aborted) return problemResponse(new OperationalError('STOPPING', 'The request was ended before its answer.'))
  return problemResponse(error)
}

function mountHealth(router: Hono<HttpEnv>, app: App | null, halted: () => string | null): void {
  router.get('/healthz', (context) => {
    context.set('route', '/healthz')
    return context.json({ status: 'running' })
  })
  router.get('/readyz', (context) => {
    context.set('route', '/readyz')
    const reason = halted() ?? (app === null ? 'in no cluster' : app.readiness())
    return reason === null ? context.json({ ready: true }) : context.json({ ready: false, reason }, 503, { 'Retry-After': '1' })
  })
  for (const path of ['/healthz', '/readyz']) router.all(path, (context) => refuseMethod(context.req.method, ['GET', 'HEAD']))
}

/** What a node in no cluster has to say. */
function mountUnclustered(router: Hono<HttpEnv>, { status, join }: Appliance): void {
  router.get('/login', (context) => context.html(unclusteredPage(status())))
  router.post('/api/v1/appliance/join', async (context) => {
    const token = joinTokenOf(context.req.raw.headers)
    if (join === null) throw new OperationalError('FORBIDDEN', 'Discovery is switched off on this host: run "novacron cluster join TOKEN" on it.')
    return context.json(await join({ token }))
  })
  router.post('/api/v1/session', () => {
    throw unauthenticated('This node is in no cluster: nobody can sign in yet.')
  })
  router.post('/api/v1/cluster/join', (context) => {
    joinTokenOf(context.req.raw.headers)
    throw new OperationalError('NOT_CLUSTERED', 'This node is in no cluster that could be joined; ask a member.')
  })
}

function mountDocuments(router: Hono<HttpEnv>, { document, page }: { readonly document: () => string; readonly page: () => ReturnType<typeof renderDocs> }): void {
  router.get('/api/v1/openapi.json', (context) => {
    context.set('route', '/api/v1/openapi.json')
    return context.body(document(), 200, { 'Content-Type': 'application/json' })
  })
  router.get('/api/docs', (context) => {
    context.set('route', '/api/docs')
    return context.html(page())
  })
  for (const path of ['/api/v1/openapi.json', '/api/docs']) router.all(path, (context) => refuseMethod(context.req.method, ['GET', 'HEAD']))
}

/** When it is first asked for, which on most nodes is never. */
function madeOnce<Value>(make: () => Value): () => Value {
  let made: { readonly value: Value } | null = null
  return () => (made ??= { value: make() }).value
}

function mountMetrics(router: Hono<HttpEnv>, app: App, metrics: Metrics): void {
  router.get('/metrics', async (context) => {
    context.set('route', '/metrics')
    app.requireRight(callerOf(context), 'read cluster', { command: 'metrics.read', target: '', write: false })
    const scope = context.req.query('scope') ?? 'node'
    if (scope !== 'node' && scope !== 'cluster') throw new OperationalError('INVALID', 'scope is node or cluster.', { data: { fields: [{ path: 'scope', message: 'must be node or cluster' }] } })
    const { text, contentType } = await metrics.render(app, callerOf(context), scope)
    return context.body(text, 200, { 'Content-Type': contentType })
  })
  router.all('/metrics', (context) => refuseMethod(context.req.method, ['GET', 'HEAD']))
}

function uiOptionsOf({ clock, log, version, assets, stopping }: RouterDependencies): UiOptions {
  return {
    clock, log, version, stopping,
    assetUrl: assets === null ? (name) => `/assets/${name}` : assets.assetUrl,
    setSessionCookie: (context, cookie, expiresMs) => context.header('Set-Cookie', renderSessionCookie(cookie, expiresMs), { append: true }),
    clearSessionCookie: (context) => context.header('Set-Cookie', endedSessionCookie, { append: true }),
  }
}

function stylesOf(assets: Assets | null): readonly string[] {
  return assets === null ? [] : ['app.css', 'docs.css'].map(assets.assetUrl)
}

/** A page's path begins as one of the pages' routes does. */
function pageTest(pages: Hono<HttpEnv> | null): (path: string) => boolean {
  const beginnings = new Set(['', ...(pages?.routes ?? []).map(({ path }) => path.split('/')[1] ?? '').filter((part) => /^[a-z]/.test(part))])
  return (path) => beginnings.has(path.split('/')[1] ?? '')
}
