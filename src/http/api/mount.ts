// Turns the table of routes into handlers: query, body and headers are checked the same way for each of them.
import type { Context, Hono } from 'hono'
import type { App } from '../../app/face.ts'
import { errorTable, OperationalError } from '../../model/error.ts'
import type { Clock } from '../../ports/clock.ts'
import { checkOrigin, joinTokenOf, nodeProofOf, unauthenticated } from '../authentication.ts'
import { bodyBytesMax, hasBody, invite, mediaTypeOf, openBodyBytesMax, parseJson, readBody, streamBody } from '../body.ts'
import { addressOf, callerOf, type HttpEnv } from '../context.ts'
import { writeOptionsOf } from '../preconditions.ts'
import { parseQuery } from '../query.ts'
import type { Answer, OpenRoute, Route, RouteRequest } from '../route.ts'

type Dependencies = { readonly app: App; readonly clock: Clock; readonly stopping: AbortSignal }
type HttpContext = Context<HttpEnv>

/** Registers every route, and 405 for the other methods of its path. */
export function mountApi(router: Hono<HttpEnv>, table: readonly Route[], dependencies: Dependencies): void {
  const paths = new Map<string, Route[]>()
  for (const route of table) {
    const path = route.path.replaceAll(/\{(\w+)\}/g, ':$1')
    paths.set(path, [...(paths.get(path) ?? []), route])
  }
  // What is asked first answers: a path that is fixed is nobody's name, with whatever method.
  const inOrder = [...paths].toSorted(([left], [right]) => Number(left.includes(':')) - Number(right.includes(':')))
  for (const [path, routes] of inOrder) {
    for (const route of routes) {
      router.on(route.method, path, async (context) => {
        context.set('route', route.path)
        return route.credential === 'caller' ? serve(context, route, dependencies) : serveOpen(context, route, dependencies)
      })
    }
    const allowed = routes.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method]))
    router.all(path, (context) => refuseMethod(context.req.method, allowed))
  }
}

/** @throws METHOD_NOT_ALLOWED */
export function refuseMethod(method: string, allowed: readonly string[]): never {
  throw new OperationalError('METHOD_NOT_ALLOWED', `${method} is not possible here; ${allowed.join(', ')} is.`, { data: { allow: allowed.join(', ') } })
}

async function serve(context: HttpContext, route: Extract<Route, { readonly credential: 'caller' }>, dependencies: Dependencies): Promise<Response> {
  const { app } = dependencies
  app.requireRight(callerOf(context), route.right, { command: commandOf(route), target: context.req.param('ref') ?? '', write: route.method !== 'GET' })
  const request = await prepare(context, route, dependencies)
  const { query } = request
  if (query['consistent'] === true) await app.readBarrier(request.signal)
  if (query['minIndex'] !== undefined) await app.waitIndex(Number(query['minIndex']), request.signal)
  // Taken before a read, so that what is answered is at least that new; taken after a write, so that it covers the write.
  const indexBefore = app.freshness().index
  const answer = await route.handle(callerOf(context), request)
  if (answer instanceof Response) return answer
  return render(answer, app, route.method === 'GET' ? indexBefore : app.freshness().index)
}

/** As the audit calls it: `vm.create`, `vm.stop`, `user.password`. */
function commandOf(route: Route): string {
  const [noun = '', ...rest] = route.path.replace('/api/v1/', '').split('/').filter((part) => !part.startsWith('{'))
  const verbs = { GET: 'read', POST: 'create', PUT: 'replace', PATCH: 'patch', DELETE: 'delete' } as const
  return [noun.replace(/s$/, ''), rest.at(-1) ?? verbs[route.method]].join('.')
}

async function serveOpen(context: HttpContext, route: OpenRoute, dependencies: Dependencies): Promise<Response> {
  const { headers } = context.req.raw
  if (route.credential === 'joinToken') joinTokenOf(headers)
  else if (route.credential === 'nodeKey') nodeProofOf(headers)
  else checkOrigin(headers, false)
  let request: RouteRequest
  try {
    request = await prepare(context, route, dependencies)
  } catch (error) {
    // Here the body is the credential: while it cannot be read, nobody has shown one, and that goes before every other fault.
    if (route.credential === 'password' && error instanceof OperationalError && errorTable[error.code].status < 500) throw unauthenticated(error.message)
    throw error
  }
  return render(await route.handle(request), dependencies.app, dependencies.app.freshness().index)
}

async function prepare(context: HttpContext, route: Route, { app, clock, stopping }: Dependencies): Promise<RouteRequest> {
  const { raw } = context.req
  const { incoming, outgoing } = context.env
  const url = new URL(raw.url)
  const query = parseQuery(url.searchParams, route.query ?? {})
  // Made when first asked for: most requests are answered before anybody would want to know.
  let made: AbortSignal | null = null
  const signal = () => (made ??= endOf(raw.signal, stopping))
  let bytes: Uint8Array = new Uint8Array()
  let body: unknown = {}
  const isJson = route.body?.json !== undefined && mediaTypeOf(raw.headers) === 'application/json'
  const binary = route.body?.schema === 'binary' && !isJson
  if (route.method === 'GET') {
    if (hasBody(incoming)) throw new OperationalError('MALFORMED', 'A GET request has no body.')
  } else if (binary) {
    checkMediaType(raw.headers, route)
    invite(incoming, outgoing)
    // The file itself is not at hand; its length tells most mistaken uses of one key.
    bytes = Buffer.from(raw.headers.get('Content-Length') ?? '')
  } else if (hasBody(incoming)) {
    checkMediaType(raw.headers, route)
    bytes = await readBody(incoming, outgoing, clock, mayBeLong(route, app, raw.headers) ? bodyBytesMax : openBodyBytesMax)
    if (bytes.length > 0) body = parseJson(bytes)
    if (route.body === undefined && (typeof body !== 'object' || body === null || Object.keys(body).length > 0)) {
      throw new OperationalError('INVALID', 'This request takes no input.', { data: { fields: [{ path: '', message: 'must be empty' }] } })
    }
  }
  if (route.body?.required === true && !binary && bytes.length === 0) throw new OperationalError('MALFORMED', 'The body is empty; send JSON.')
  const write = writeOptionsOf({ method: route.method, url, headers: raw.headers, signal, dryRun: query['dryRun'] === true }, bytes)
  return {
    app, params: context.req.param(), query, body, isJson, write, url, headers: raw.headers, address: addressOf(incoming),
    get signal() {
      return signal()
    },
    stream: () => streamBody(incoming, clock),
  }
}

/** Of whoever has shown a credential that counts: a joiner may bring a whole host along. */
function mayBeLong(route: Route, app: App, headers: Headers): boolean {
  return route.credential === 'caller' || (route.credential === 'joinToken' && app.membership.isUsable(joinTokenOf(headers)))
}

/** Fires when the client goes away or the server stops, with an AbortError as reason: the adapter's own is a bare string, which is bad to throw. */
function endOf(gone: AbortSignal, stopping: AbortSignal): AbortSignal {
  const controller = new AbortController()
  const either = AbortSignal.any([gone, stopping])
  if (either.aborted) controller.abort()
  else either.addEventListener('abort', () => controller.abort(), { once: true })
  return controller.signal
}

function checkMediaType(headers: Headers, route: Route): void {
  const accepted = [...(route.body?.types ?? ['application/json']), ...(route.body?.json === undefined ? [] : ['application/json'])]
  const type = mediaTypeOf(headers)
  if (!accepted.includes(type)) throw new OperationalError('UNSUPPORTED_MEDIA_TYPE', `The content type must be ${accepted.join(' or ')}${type === '' ? '; none was sent' : ''}.`)
  const charset = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(headers.get('Content-Type') ?? '')?.[1]
  if (charset !== undefined && charset.toLowerCase() !== 'utf-8') throw new OperationalError('UNSUPPORTED_MEDIA_TYPE', 'JSON is sent as UTF-8.')
}

function render(answer: Answer, app: App, index: number): Response {
  const headers = new Headers(answer.headers)
  headers.set('Novacron-Index', String(index))
  const { staleSinceMs } = app.freshness()
  if (staleSinceMs !== null) headers.set('Novacron-Stale-Since', new Date(staleSinceMs).toISOString())
  if (answer.body === undefined) return new Response(null, { status: answer.status, headers })
  headers.set('Content-Type', 'application/json')
  return new Response(JSON.stringify(answer.body), { status: answer.status, headers })
}
