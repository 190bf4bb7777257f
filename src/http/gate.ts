// The gate in front of everything: a credential before any other question, and the checks on a browser's cookie.
import type { Context, MiddlewareHandler } from 'hono'
import { divergedPage } from '../../ui/views/diverged.ts'
import type { App } from '../app/face.ts'
import { divergenceBrief, divergenceText, type Divergence } from '../model/checkpoint.ts'
import { OperationalError } from '../model/error.ts'
import type { Clock } from '../ports/clock.ts'
import type { Assets } from './assets.ts'
import { authenticate, checkCsrf, checkOrigin, hasCredential, isWrite, requireKnowledge, unauthenticated } from './authentication.ts'
import { bodyBytesMax, hasBody, mediaTypeOf, openBodyBytesMax, parseForm, readBody } from './body.ts'
import { addressOf, type HttpEnv } from './context.ts'
import { peerImagePath } from './peer-image.ts'
import { problemResponse } from './problem.ts'
import type { Route } from './route.ts'

type Dependencies = {
  readonly app: App | null
  readonly clock: Clock
  readonly assets: Assets | null
  readonly table: readonly Route[]
  /** Whether a path is a page's: there a visitor is sent to sign in. */
  readonly isPage: (path: string) => boolean
}

export function createGate(dependencies: Dependencies): MiddlewareHandler<HttpEnv> {
  const { app, assets, table, isPage, clock } = dependencies
  const open = new Map<string, ReadonlySet<string>>()
  for (const { method, path } of table.filter((route) => route.credential !== 'caller')) open.set(method, new Set([...(open.get(method) ?? []), path]))
  const isPublic = (method: string, path: string) => {
    const read = method === 'GET' || method === 'HEAD'
    if (path === '/login') return read || method === 'POST'
    return (read && (path === '/healthz' || path === '/readyz' || path === peerImagePath || assets?.isPublic(path) === true)) || open.get(method)?.has(path) === true
  }
  return async (context, next) => {
    const { method, path } = context.req
    const { headers } = context.req.raw
    // Most have a credential and read: of them it is not asked.
    const isOpen = () => isPublic(method, path)
    const divergence = app?.divergence() ?? null
    const caller = app === null ? null : await authenticate(app, headers, addressOf(context.env.incoming))
    if (divergence !== null && !isServedDiverged(path) && assets?.isPublic(path) !== true) {
      if (caller === null && !isOpen() && !hasCredential(headers)) return refuse(context, isPage(path))
      // Not even who may ask is sure: a credential that is not known here may be good. Its bearer hears no detail.
      return answerDiverged(context, { divergence, known: caller !== null, page: isPage(path) })
    }
    context.set('caller', caller)
    context.set('form', null)
    if (caller === null && !isOpen()) {
      if (app !== null) requireKnowledge(app, headers)
      return refuse(context, isPage(path))
    }
    if (!isWrite(method)) return next()
    const isApi = path.startsWith('/api/')
    // The open API routes check their own: a program that signs in or joins sends no Origin.
    const byCookie = caller !== null && caller.session !== null
    if (byCookie || !isApi) checkOrigin(headers, byCookie && !isOpen())
    if (!isApi && mediaTypeOf(headers) === 'application/x-www-form-urlencoded' && hasBody(context.env.incoming)) {
      context.set('form', parseForm(await readBody(context.env.incoming, context.env.outgoing, clock, caller === null ? openBodyBytesMax : bodyBytesMax)))
    }
    if (byCookie && !isOpen()) checkCsrf(caller, headers.get('X-CSRF-Token') ?? context.get('form')?.get('_csrf') ?? null)
    return next()
  }
}

/** Health and figures are what the alarm is heard by. */
function isServedDiverged(path: string): boolean {
  return path === '/healthz' || path === '/readyz' || path === '/metrics'
}

type Diverged = { readonly divergence: Divergence; readonly known: boolean; readonly page: boolean }

function answerDiverged(context: Context<HttpEnv>, { divergence, known, page }: Diverged): Response | Promise<Response> {
  const isWanted = page && context.req.method === 'GET' && context.req.header('HX-Request') !== 'true'
  const answer = problemResponse(new OperationalError('STATE_DIVERGED', known ? divergenceText(divergence) : divergenceBrief, { data: { retryAfterSeconds: divergence.phase === 'doubt' ? 1 : 60 } }))
  if (!isWanted) return answer
  for (const [name, value] of answer.headers) if (name !== 'content-type') context.header(name, value)
  return context.html(divergedPage(known ? divergence : null), 503)
}

function refuse(context: Context<HttpEnv>, page: boolean): Response {
  const { headers, url } = context.req.raw
  const target = new URL(url)
  const login = (path: string) => (path === '/' ? '/login' : `/login?next=${encodeURIComponent(path)}`)
  if (headers.get('HX-Request') === 'true') {
    // htmx swaps a 401 into the page unless told to leave it.
    const response = problemResponse(unauthenticated('The session is over; sign in again.'))
    response.headers.set('HX-Redirect', login(pathOf(headers.get('HX-Current-URL'))))
    return response
  }
  const wanted = page || (!target.pathname.startsWith('/api/') && (headers.get('Accept') ?? '').includes('text/html'))
  if (!wanted) return problemResponse(unauthenticated())
  const read = context.req.method === 'GET' || context.req.method === 'HEAD'
  return new Response(null, { status: 303, headers: { Location: read ? login(target.pathname + target.search) : '/login' } })
}

function pathOf(url: string | null): string {
  if (url === null || !URL.canParse(url)) return '/'
  const { pathname, search } = new URL(url)
  return pathname + search
}
