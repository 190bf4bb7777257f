// Turns the table of routes into handlers: query, body and headers are checked the same way for each of them.
import type { ServerResponse } from 'node:http'
import type { Context, Hono } from 'hono'
import type { App, Freshness } from '../../app/face.ts'
import { errorTable, OperationalError } from '../../model/error.ts'
import type { Clock } from '../../ports/clock.ts'
import { checkOrigin, joinTokenOf, nodeProofOf, unauthenticated } from '../authentication.ts'
import { bodyBytesMax, hasBody, invite, mediaTypeOf, openBodyBytesMax, parseJson, readBody, streamBody } from '../body.ts'
import { addressOf, callerOf, type HttpEnv } from '../context.ts'
import { writeOptionsOf } from '../preconditions.ts'
import { emptyQuery, parseQuery, type Query } from '../query.ts'
import type { Answer, CallerRoute, OpenRoute, Route, RouteRequest } from '../route.ts'

type Dependencies = { readonly app: App; readonly clock: Clock; readonly stopping: AbortSignal }
type HttpContext = Context<HttpEnv>
/** A route with what is the same for all its requests. */
type Mounted<Kind extends Route = Route> = { readonly route: Kind; readonly command: string; /** Null where there has to be one. */ readonly emptyQuery: Query | null }

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
      const known = { command: commandOf(route), emptyQuery: emptyQuery(route.query ?? {}) }
      router.on(route.method, path, (context) => {
        context.set('route', route.path)
        return route.credential === 'caller' ? serve(context, { route, ...known }, dependencies) : serveOpen(context, { route, ...known }, dependencies)
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

async function serve(context: HttpContext, mounted: Mounted<CallerRoute>, dependencies: Dependencies): Promise<Response> {
  const { app } = dependencies
  const { route, command } = mounted
  app.requireRight(callerOf(context), route.right, { command, target: context.req.param('ref') ?? '', write: route.method !== 'GET' })
  const request = await prepare(context, mounted, dependencies)
  const { query } = request
  if (query['consistent'] === true) await app.readBarrier(request.signal)
  if (query['minIndex'] !== undefined) await app.waitIndex(Number(query['minIndex']), request.signal)
  // Taken before a read, so that what is answered is at least that new; taken after a write, so that it covers the write.
  const before = route.method === 'GET' ? app.freshness() : null
  const answered = route.handle(callerOf(context), request)
  const answer = answered instanceof Promise ? await answered : answered
  return answer instanceof Response ? answer : render(context, answer, before ?? app.freshness())
}

/** As the audit calls it: `vm.create`, `vm.stop`, `user.password`. */
function commandOf(route: Route): string {
  const [noun = '', ...rest] = route.path.replace('/api/v1/', '').split('/').filter((part) => !part.startsWith('{'))
  const verbs = { GET: 'read', POST: 'create', PUT: 'replace', PATCH: 'patch', DELETE: 'delete' } as const
  return [noun.replace(/s$/, ''), rest.at(-1) ?? verbs[route.method]].join('.')
}

async function serveOpen(context: HttpContext, mounted: Mounted<OpenRoute>, dependencies: Dependencies): Promise<Response> {
  const { route } = mounted
  const { headers } = context.req.raw
  if (route.credential === 'joinToken') joinTokenOf(headers)
  else if (route.credential === 'nodeKey') nodeProofOf(headers)
  else checkOrigin(headers, false)
  let request: RouteRequest
  try {
    request = await prepare(context, mounted, dependencies)
  } catch (error) {
    // Here the body is the credential: while it cannot be read, nobody has shown one, and that goes before every other fault.
    if (route.credential === 'password' && error instanceof OperationalError && errorTable[error.code].status < 500) throw unauthenticated(error.message)
    throw error
  }
  return render(context, await route.handle(request), dependencies.app.freshness())
}

async function prepare(context: HttpContext, { route, emptyQuery: without }: Mounted, { app, clock, stopping }: Dependencies): Promise<RouteRequest> {
  const { raw } = context.req
  const { incoming, outgoing } = context.env
  // Made when first asked for: most requests are answered before anybody would want to know.
  const url = onDemand(() => new URL(raw.url))
  const signal = onDemand(() => endOf(outgoing, stopping))
  const query = without !== null && !raw.url.includes('?') ? without : parseQuery(url().searchParams, route.query ?? {})
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
    app, params: context.req.param(), query, body, isJson, write, headers: raw.headers, address: addressOf(incoming),
    get url() {
      return url()
    },
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

function onDemand<Value>(make: () => Value): () => Value {
  let made: { readonly value: Value } | null = null
  return () => (made ??= { value: make() }).value
}

/** Fires when the client goes away or the server stops, with an AbortError as reason. The adapter's own is a bare string, which is bad to throw, and costs several times as much. */
function endOf(outgoing: ServerResponse, stopping: AbortSignal): AbortSignal {
  const controller = new AbortController()
  const end = () => controller.abort()
  if (stopping.aborted || outgoing.closed) {
    end()
    return controller.signal
  }
  stopping.addEventListener('abort', end, { once: true })
  outgoing.once('close', () => {
    stopping.removeEventListener('abort', end)
    if (!outgoing.writableFinished) end()
  })
  return controller.signal
}

function checkMediaType(headers: Headers, route: Route): void {
  const accepted = [...(route.body?.types ?? ['application/json']), ...(route.body?.json === undefined ? [] : ['application/json'])]
  const type = mediaTypeOf(headers)
  if (!accepted.includes(type)) throw new OperationalError('UNSUPPORTED_MEDIA_TYPE', `The content type must be ${accepted.join(' or ')}${type === '' ? '; none was sent' : ''}.`)
  const charset = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(headers.get('Content-Type') ?? '')?.[1]
  if (charset !== undefined && charset.toLowerCase() !== 'utf-8') throw new OperationalError('UNSUPPORTED_MEDIA_TYPE', 'JSON is sent as UTF-8.')
}

/** A Response that stands for it until all headers are known, and whose own are looked at only where something comes in between. */
function render(context: HttpContext, answer: Answer, { index, staleSinceMs, node }: Freshness): Response {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(answer.headers ?? {})) headers[name.toLowerCase()] = value
  headers['novacron-index'] = String(index)
  if (staleSinceMs !== null) headers['novacron-stale-since'] = new Date(staleSinceMs).toISOString()
  const body = answer.body === undefined ? null : JSON.stringify(answer.body)
  if (body !== null) headers['content-type'] = 'application/json'
  const { status } = answer
  const response = new Response(body, { status, headers })
  context.set('plain', { response, status, headers, body, node: node.name })
  return response
}
