// Sessions in a browser's hands: sign-in, the cookie, CSRF and Origin.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Hono } from 'hono'
import type { HttpEnv } from '../../../src/http/context.ts'
import { serve, type Ask, type Served } from './harness.ts'
import { createSmallApp, csrf, session } from './small-app.ts'

let served: Served
const forms: URLSearchParams[] = []
const pages = () => new Hono<HttpEnv>()
  .get('/login', (context) => context.html('<p>sign in'))
  .post('/login', (context) => context.text(context.get('form')?.get('name') ?? ''))
  .get('/vms', (context) => context.html('<p>vms'))
  .post('/vms', (context) => {
    forms.push(context.get('form') ?? new URLSearchParams())
    return context.text('done')
  })
beforeAll(async () => { served = await serve({ pages }) })
afterAll(() => served.http.stop())

const asBrowser = (path: string, { headers = {}, ...rest }: Ask) => served.ask(path, { token: null, ...rest, headers: { Cookie: `theme=dark; __Host-novacron=${session}; x=y`, ...headers } })
const refused = { status: 403, json: { code: 'CROSS_ORIGIN' } }

describe('sign-in', () => {
  test('gives a cookie that only this host gets, over TLS, out of reach for scripts', async () => {
    const answer = await served.ask('/api/v1/session', { method: 'POST', token: null, json: { name: 'admin', password: 'correct horse' } })
    expect(answer).toMatchObject({ status: 201, json: { csrf, user: { name: 'admin' } } })
    const cookie = String(answer.headers['set-cookie'])
    for (const part of ['__Host-novacron=', 'Path=/', 'Secure', 'HttpOnly', 'SameSite=Lax', 'Expires=']) expect(cookie).toContain(part)
    expect(cookie).not.toContain('Domain')
    expect(answer.text).not.toContain(session)
  })
  test('a wrong password is 401 with its own code', async () => {
    expect(await served.ask('/api/v1/session', { method: 'POST', token: null, json: { name: 'admin', password: 'x' } })).toMatchObject({ status: 401, json: { code: 'SIGN_IN_FAILED' } })
  })
  test('from another site it is refused', async () => {
    for (const headers of [{ Origin: 'https://evil.example' }, { Origin: 'null' }, { 'Sec-Fetch-Site': 'cross-site' }, { 'Sec-Fetch-Site': 'same-site' }] as Record<string, string>[]) {
      expect(await served.ask('/api/v1/session', { method: 'POST', token: null, json: { name: 'admin', password: 'correct horse' }, headers })).toMatchObject(refused)
      expect(await served.ask('/login', { method: 'POST', token: null, body: 'name=admin', headers: { ...headers, 'Content-Type': 'application/x-www-form-urlencoded' } })).toMatchObject(refused)
    }
  })
  test('strangers cannot make us hold long bodies', async () => {
    expect(await served.ask('/api/v1/session', { method: 'POST', token: null, json: { name: 'admin', password: 'x'.repeat(20_000) } })).toMatchObject({ status: 401 })
    expect(await served.ask('/login', { method: 'POST', token: null, body: `name=${'x'.repeat(20_000)}`, headers: { 'Content-Type': 'application/x-www-form-urlencoded' } })).toMatchObject({ status: 413 })
    // Who holds a join token may bring a host's VMs along; a token that is none holds nothing.
    expect(await served.ask('/api/v1/cluster/join', { method: 'POST', token: 'ncj_bad', json: { x: 'x'.repeat(20_000) } })).toMatchObject({ status: 413 })
    expect(await served.ask('/api/v1/cluster/join', { method: 'POST', token: 'ncj_good', json: { x: 'x'.repeat(2_000_000) } })).toMatchObject({ status: 413 })
  })
  test('a form signs in without a session', async () => {
    expect(await served.ask('/login', { method: 'POST', token: null, body: 'name=admin', headers: { 'Content-Type': 'application/x-www-form-urlencoded', Origin: served.origin } })).toMatchObject({ status: 200, text: 'admin' })
    expect(await served.ask('/login', { method: 'PUT', token: null })).toMatchObject({ status: 303 })
  })
})

describe('a session', () => {
  test('reads without further ado, on pages and API', async () => {
    expect((await asBrowser('/api/v1/session', {})).json).toMatchObject({ csrf })
    expect(await asBrowser('/vms', {})).toMatchObject({ status: 200, text: '<p>vms' })
    expect(await served.ask('/vms')).toMatchObject({ status: 200 })
  })
  test('writes with its CSRF token, from a page of this node', async () => {
    const json = { name: 'csrf', spec: { cpus: 1, memoryMiB: 64 } }
    const good = { Origin: served.origin, 'X-CSRF-Token': csrf }
    const attempts: [Record<string, string>, number][] = [
      [{}, 403], [{ 'X-CSRF-Token': csrf }, 403], [{ Origin: served.origin }, 403], [{ ...good, Origin: 'https://evil.example' }, 403], [{ ...good, Origin: served.origin.replace('https', 'http') }, 403],
      [{ ...good, Origin: 'null' }, 403], [{ ...good, 'X-CSRF-Token': 'wrong' }, 403], [{ ...good, 'Sec-Fetch-Site': 'same-site' }, 403], [{ ...good, 'Sec-Fetch-Site': 'cross-site' }, 403],
      [{ 'Sec-Fetch-Site': 'same-origin', 'X-CSRF-Token': csrf }, 201], [good, 201],
    ]
    for (const [headers, status] of attempts) {
      const answer = await asBrowser('/api/v1/vms', { method: 'POST', json, headers })
      expect(answer.status, JSON.stringify(headers)).toBe(status)
      if (status === 403) expect(answer).toMatchObject(refused)
    }
  })
  test('a form carries the token in a field', async () => {
    const post = (body: string, headers: Record<string, string> = {}) => asBrowser('/vms', { method: 'POST', body, headers: { 'Content-Type': 'application/x-www-form-urlencoded', Origin: served.origin, ...headers } })
    expect(await post(`name=a%20b&_csrf=${csrf}`)).toMatchObject({ status: 200, text: 'done' })
    expect(forms.at(-1)?.get('name')).toBe('a b')
    for (const body of ['name=x', 'name=x&_csrf=', 'name=x&_csrf=wrong']) expect(await post(body)).toMatchObject(refused)
    expect(await post(`_csrf=${csrf}`, { Origin: 'https://evil.example' })).toMatchObject(refused)
    expect(await post(`_csrf=${csrf}&x=${'x'.repeat(1024 * 1024)}`)).toMatchObject({ status: 413 })
    expect(await post(Buffer.from([0x61, 0x3d, 0xff]).toString('latin1'), {})).toMatchObject({ status: 403 })
    expect(forms.length).toBe(1)
  })
  test('a form in the query or a token in it is no CSRF token', async () => {
    expect(await asBrowser(`/vms?_csrf=${csrf}`, { method: 'POST', headers: { Origin: served.origin } })).toMatchObject(refused)
  })
  test('bearer requests need neither; a wrong bearer is not saved by a cookie', async () => {
    expect(await served.ask('/api/v1/vms/csrf/start', { method: 'POST' })).toMatchObject({ status: 202 })
    expect(await served.ask('/api/v1/vms', { token: 'nct_wrong', headers: { Cookie: `__Host-novacron=${session}` } })).toMatchObject({ status: 401 })
    expect(await served.ask('/api/v1/vms', { token: null, headers: { Cookie: `__Host-novacron=${session}`, Authorization: 'Basic YWRtaW46eA==' } })).toMatchObject({ status: 401 })
  })
  test('cookies that are not it', async () => {
    for (const cookie of [`novacron=${session}`, `__Host-novacron=`, '__Host-novacron', `__Host-novacron=${'x'.repeat(5000)}`, `x__Host-novacron=${session}`]) {
      expect(await served.ask('/api/v1/vms', { token: null, headers: { Cookie: cookie } })).toMatchObject({ status: 401 })
    }
  })
  test('signing out takes the cookie away', async () => {
    const answer = await asBrowser('/api/v1/session', { method: 'DELETE', headers: { Origin: served.origin, 'X-CSRF-Token': csrf } })
    expect(answer.status).toBe(204)
    expect(String(answer.headers['set-cookie'])).toMatch(/__Host-novacron=; .*Max-Age=0/)
    expect(served.app.calls).toContain('signOut')
  })
})

test('a member without its state says that it cannot tell who somebody is; without a credential it is 401 as ever', async () => {
  const app = createSmallApp()
  const without = await serve({ app: { ...app, freshness: () => ({ ...app.freshness(), clusterName: '' }), identity: { ...app.identity, authenticateToken: async () => null, authenticateSession: async () => null } } })
  try {
    expect(await without.ask('/api/v1/vms')).toMatchObject({ status: 503, json: { code: 'NO_QUORUM' } })
    expect(await without.ask('/api/v1/vms', { token: null, headers: { Cookie: `__Host-novacron=${session}` } })).toMatchObject({ status: 503 })
    expect(await without.ask('/api/v1/vms', { token: null })).toMatchObject({ status: 401, json: { code: 'UNAUTHENTICATED' } })
    expect(await without.ask('/healthz', { token: null })).toMatchObject({ status: 200 })
  } finally {
    await without.http.stop()
  }
})
