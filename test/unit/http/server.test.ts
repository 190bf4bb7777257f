// The server's life: certificates swapped while it runs, joining a cluster, a node in none, a node that is halted.
import { connect } from 'node:tls'
import { once } from 'node:events'
import { afterEach, expect, test } from 'vitest'
import { selfSigned } from '../../../src/drivers/crypto/authority.ts'
import { fingerprint } from '../../../src/drivers/crypto/certificate.ts'
import { serve, type Served } from './harness.ts'
import { uiRoutes } from '../../../src/http/ui/routes.ts'
import { createSmallApp, smallControl } from './small-app.ts'

const running: Served[] = []
const start = async (...options: Parameters<typeof serve>) => {
  const served = await serve(...options)
  running.push(served)
  return served
}
afterEach(async () => { for (const served of running.splice(0)) await served.http.stop() })

test('a new certificate serves new connections', async () => {
  const served = await start()
  const next = await selfSigned({ commonName: 'n1', names: ['localhost'], addresses: [], days: 1, nowMs: Date.now() })
  served.http.setTls({ certPem: next.certificatePem, keyPem: next.keyPem })
  const socket = connect({ host: '127.0.0.1', port: served.http.port, servername: 'localhost', ca: next.certificatePem })
  await once(socket, 'secureConnect')
  expect(socket.getPeerCertificate().fingerprint256.replaceAll(':', '').toLowerCase()).toBe(fingerprint(next.certificatePem))
  expect(socket.getProtocol()).toBe('TLSv1.3')
  socket.destroy()
  await expect(served.ask('/healthz')).rejects.toThrow(/self-signed|unable to verify|signature/)
})

test('old TLS is refused', async () => {
  const served = await start()
  const socket = connect({ host: '127.0.0.1', port: served.http.port, servername: 'localhost', ca: served.certPem, maxVersion: 'TLSv1.1', minVersion: 'TLSv1.1' })
  await expect(once(socket, 'secureConnect')).rejects.toThrow()
})

test('a node in no cluster says so, and serves from the moment it joins', async () => {
  const served = await start({ app: null })
  expect(await served.ask('/healthz', { token: null })).toMatchObject({ status: 200 })
  expect(await served.ask('/readyz', { token: null })).toMatchObject({ status: 503, json: { ready: false, reason: 'in no cluster' } })
  expect((await served.ask('/login', { token: null })).text).toContain('novacron cluster init')
  expect(await served.ask('/', { token: null })).toMatchObject({ status: 303, headers: { location: '/login' } })
  expect(await served.ask('/api/v1/vms')).toMatchObject({ status: 401 })
  expect(await served.ask('/api/v1/cluster/join', { method: 'POST', token: 'ncj_x', json: {} })).toMatchObject({ status: 409, json: { code: 'NOT_CLUSTERED' } })
  expect(await served.ask('/api/v1/session', { method: 'POST', token: null, json: { name: 'admin', password: 'x' } })).toMatchObject({ status: 401 })
  served.http.setApp(createSmallApp())
  expect(await served.ask('/api/v1/vms')).toMatchObject({ status: 200 })
  expect(await served.ask('/readyz', { token: null })).toMatchObject({ status: 200 })
})

test('a halted node is alive but not ready', async () => {
  const served = await start({ control: { ...smallControl, status: () => ({ ...smallControl.status(), halted: 'the Raft log is damaged' }) } })
  expect(await served.ask('/healthz', { token: null })).toMatchObject({ status: 200 })
  expect(await served.ask('/readyz', { token: null })).toMatchObject({ status: 503, json: { reason: 'the Raft log is damaged' } })
})

test('a node whose state differs answers nothing but health and figures, and says what to do', async () => {
  const served = await start({ pages: uiRoutes })
  served.app.diverged = { phase: 'stopped', index: 7, hash: 'a'.repeat(16), expected: 'b'.repeat(16) }
  for (const path of ['/api/v1/vms', '/api/v1/nothing', '/api/v1/openapi.json', '/nothing']) {
    expect(await served.ask(path), path).toMatchObject({ status: 503, json: { code: 'STATE_DIVERGED', detail: expect.stringMatching(/index 7 or before.*support-bundle/) }, headers: { 'retry-after': '60' } })
  }
  expect(await served.ask('/api/v1/session', { method: 'POST', token: null, json: { name: 'admin', password: 'x' } })).toMatchObject({ status: 503 })
  const page = await served.ask('/vms')
  expect(page).toMatchObject({ status: 503, headers: { 'content-type': expect.stringMatching(/^text.html/), 'content-security-policy': expect.any(String) } })
  expect(page.text).toMatch(/another state than the cluster.*novacron support-bundle/s)
  // Without a credential nothing is told of it; one that is not known here may be good elsewhere.
  expect(await served.ask('/api/v1/vms', { token: null })).toMatchObject({ status: 401, json: { code: 'UNAUTHENTICATED' } })
  expect(await served.ask('/vms', { token: null })).toMatchObject({ status: 303, headers: { location: '/login?next=%2Fvms' } })
  const strangers = [await served.ask('/login', { token: null }), await served.ask('/api/v1/vms', { token: 'nct_unknown' }), await served.ask('/api/v1/session', { method: 'POST', token: null, json: { name: 'admin', password: 'x' } })]
  for (const { status, text } of strangers) expect([status, /[ab]{16}|index/.exec(text)]).toEqual([503, null])
  expect(await served.ask('/healthz', { token: null })).toMatchObject({ status: 200 })
  expect(await served.ask('/metrics')).toMatchObject({ status: 200 })
  served.app.diverged = { ...served.app.diverged, phase: 'doubt' }
  expect(await served.ask('/api/v1/vms')).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
  served.app.diverged = null
  expect(await served.ask('/api/v1/vms')).toMatchObject({ status: 200 })
})

test('a bug is a 500 that keeps its reason to the log', async () => {
  const served = await start()
  served.app.vms.list = () => { throw new TypeError('secret inside') }
  const answer = await served.ask('/api/v1/vms')
  expect(answer).toMatchObject({ status: 500, json: { code: 'INTERNAL' }, headers: { 'x-content-type-options': 'nosniff' } })
  expect(answer.text).not.toContain('secret inside')
  expect(served.lines.filter((line) => line.level === 'error')).toMatchObject([{ message: 'http request failed' }])
})

test('a port in use is an error, not a hang', async () => {
  const served = await start()
  await expect(serve({ port: served.http.port })).rejects.toThrow(/EADDRINUSE/)
})
