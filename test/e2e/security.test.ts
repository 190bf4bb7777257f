// Safe from the start: nothing answers strangers, credentials end when they are ended, and no secret lies where it should not.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import t from 'tap'
import { z } from 'zod'
import { identityCertificate } from '../../src/drivers/crypto/authority.ts'
import { peerTls } from '../../src/p2p/peer-tls.ts'
import { Api, problemOf, tinySpec, type Answer, type CallOptions } from './lab-api.ts'
import { eventually, Lab, novacron, processesOfLab, run } from './lab-runner.ts'

t.setTimeout(600_000)
const lab = new Lab()
const api = new Api(lab)
const names = ['node1', 'node2'] as const
const program = join(import.meta.dirname, '..', '..', 'novacron')
/** Everything secret that comes up; none of it may be found in what the nodes keep. */
const secrets = new Map<string, string>()

t.teardown(async () => {
  await lab.run('down', '--purge')
  rmSync(dirname(lab.dir), { recursive: true, force: true })
})

const report = await lab.up(2)
secrets.set('administrator\'s token', report.token)
secrets.set('administrator\'s password', readFileSync(join(lab.dir, 'admin-password'), 'utf8').trim())

const nobody = { token: null } as const

await t.test('nothing answers without a credential but what must', async (t) => {
  const document = z.object({ paths: z.record(z.string(), z.record(z.string(), z.unknown())) }).parse((await api.expect(200, 'node1', 'GET', '/api/v1/openapi.json')).body)
  const routes = Object.entries(document.paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => ({ method: method.toUpperCase(), path: path.replaceAll(/\{\w+\}/g, 'web') })))
  t.ok(routes.length > 30, `${routes.length} routes`)
  const more = ['/metrics', '/api/docs', '/api/v1/openapi.json', '/api/v1/nothing', '/api', '/nothing.php', '/assets/xterm.mjs', '/assets/VERSIONS.json'].map((path) => ({ method: 'GET', path }))
  for (const credential of [null, 'nct_wrong', 'ncj_wrong']) {
    for (const { method, path } of [...routes, ...more]) {
      if (credential === 'ncj_wrong' && path === '/api/v1/cluster/join') continue
      const answer = await api.call('node1', method, path, { token: credential, headers: { accept: 'application/json' } })
      if (answer.status !== 401 || problemOf(answer).code !== 'UNAUTHENTICATED') t.fail(`${method} ${path} with ${credential ?? 'no credential'}: ${answer.status} ${answer.text.slice(0, 200)}`)
    }
  }
  t.pass(`${routes.length + more.length} paths refuse no credential and wrong ones`)
  const garbage = await api.call('node1', 'POST', '/api/v1/vms', { ...nobody, body: Buffer.from('{'), headers: { 'content-type': 'text/plain' } })
  t.equal(garbage.status, 401, 'the credential is asked before 400 and 415')
  for (const path of ['/', '/vms', '/vms/new', '/access']) {
    t.match(await api.call('node1', 'GET', path, { ...nobody, headers: { accept: 'text/html' } }), { status: 303, headers: { location: path === '/' ? '/login' : `/login?next=${encodeURIComponent(path)}` } }, `page ${path}`)
  }
  for (const path of ['/healthz', '/readyz', '/login']) t.equal((await api.call('node1', 'GET', path, nobody)).status, 200, path)
  const login = (await api.call('node1', 'GET', '/login', { ...nobody, headers: { accept: 'text/html' } })).text
  const assets = [...login.matchAll(/(?:href|src)="(\/assets\/[^"#]+)/g)].map((match) => match[1] ?? '')
  t.ok(assets.length >= 3)
  for (const path of assets) t.equal((await api.call('node1', 'GET', path, nobody)).status, 200, path)
  for (let at = 0; at < 100; at++) await api.call('node1', 'GET', '/api/v1/vms', nobody)
  t.equal((await api.call('node1', 'GET', '/api/v1/vms', nobody)).status, 401, 'missing credentials are not rate-limited')
})

await t.test('every answer carries the headers that keep browsers safe', async (t) => {
  for (const [path, options] of [['/login', nobody], ['/healthz', nobody], ['/api/v1/vms', nobody], ['/api/v1/vms', {}], ['/api/v1/vms/none', {}], ['/vms', { headers: { accept: 'text/html' } }], ['/metrics', {}]] as [string, CallOptions][]) {
    const { headers, status } = await api.call('node1', 'GET', path, options)
    const policy = String(headers['content-security-policy'])
    t.match(headers, { 'x-content-type-options': 'nosniff', 'strict-transport-security': /max-age=\d{6,}/ }, `${path} (${status})`)
    t.match(policy, /default-src 'none'/)
    t.notMatch(policy, /unsafe-|\*|https?:/)
  }
})

await t.test('only what must listens, and only on its own terms', async (t) => {
  for (const name of names) {
    const listening = await lab.run('exec', name, '--', 'ss', '-Hltn')
    const ports = [...listening.stdout.matchAll(/^\S+\s+\S+\s+\S+\s+\S*?:(\d+)\s/gm)].map((match) => Number(match[1])).toSorted((left, right) => left - right)
    t.same(ports, [7400, 8443], `${name} listens on these ports; libvirtd on none`)
    const { dataDir } = lab.node(name)
    for (const file of ['control.sock', 'identity.json', 'cluster.json']) t.equal(statSync(join(dataDir, file)).mode & 0o077, 0, `${file} is for root only`)
    t.equal(statSync(join(lab.dir, name, 'run', 'libvirt', 'libvirt-sock')).mode & 0o007, 0, 'libvirt\'s socket is not for everyone')
  }
})

await t.test('the peer port takes no stranger', async (t) => {
  const seed = randomBytes(32)
  const encrypter = peerTls(await identityCertificate(seed, { nodeId: 'stranger', nowMs: Date.now() }))
  const stranger = await createLibp2p({ privateKey: await generateKeyPairFromSeed('Ed25519', seed), start: true, addresses: { listen: [] }, transports: [tcp()], connectionEncrypters: [encrypter], streamMuxers: [yamux()] })
  t.teardown(() => stranger.stop())
  for (const protocol of ['/novacron/raft/1', '/novacron/request/1', '/novacron/snapshot/1', '/novacron/stream/1', '/meshsub/1.1.0']) {
    const outcome = await tryProtocol(stranger, `/ip4/${lab.node('node1').address}/tcp/7400`, protocol)
    t.not(outcome, 'answered', `${protocol}: ${outcome}`)
  }
  t.match(await api.cluster('node1'), { quorum: true, nodes: 2, nodesReady: 2 })
})

/** Dials as somebody who is no member and asks for a protocol. */
async function tryProtocol(stranger: Awaited<ReturnType<typeof createLibp2p>>, address: string, protocol: string): Promise<string> {
  try {
    const connection = await stranger.dial(multiaddr(address), { signal: AbortSignal.timeout(5000) })
    const stream = await connection.newStream(protocol, { signal: AbortSignal.timeout(5000) })
    stream.send(new Uint8Array([0, 0, 0, 1, 0]))
    // A stream that was opened must be closed by the other side before it says anything.
    for await (const chunk of stream) if (chunk.byteLength > 0) return 'answered'
    return 'closed'
  } catch (error) {
    return `refused (${error instanceof Error ? error.name : 'error'})`
  }
}

type JoinToken = { readonly id: string; readonly token: string }

async function joinToken(lifeSeconds = 600): Promise<JoinToken> {
  const made = (await api.expect(201, 'node1', 'POST', '/api/v1/cluster/join-tokens', { body: { lifeSeconds } })).body as JoinToken
  secrets.set(`join token ${made.id}`, made.token)
  const content = JSON.parse(Buffer.from(made.token.slice(4), 'base64url').toString()) as { s: string }
  secrets.set(`secret of join token ${made.id}`, content.s)
  return made
}

await t.test('a join token admits one node, once, for its time, unless it is revoked', async (t) => {
  const path = '/api/v1/cluster/join'
  const codeOf = async (token: string) => problemOf(await api.call('node2', 'POST', path, { token, body: {} })).code
  const short = await joinToken(1)
  const revoked = await joinToken()
  await api.expect(204, 'node2', 'DELETE', `/api/v1/cluster/join-tokens/${revoked.id}`)
  t.equal(await codeOf(revoked.token), 'TOKEN_INVALID', 'revoked')
  const used = await joinToken()
  const content = JSON.parse(Buffer.from(used.token.slice(4), 'base64url').toString()) as Record<string, unknown>
  const forge = (change: object) => `ncj_${Buffer.from(JSON.stringify({ ...content, ...change })).toString('base64url')}`
  t.equal(await codeOf(forge({ s: 'A'.repeat(43) })), 'TOKEN_INVALID', 'a wrong secret')
  t.equal(await codeOf(short.token.replace(/.$/, '')), 'TOKEN_INVALID', 'a token cut short')

  const extra = await startDaemon('extra', 0)
  const { control } = extra
  for (const [token, code] of [[revoked.token, 'TOKEN_INVALID'], [short.token, 'TOKEN_EXPIRED'], [forge({ f: '0'.repeat(64) }), 'TOKEN_OTHER_CLUSTER']] as const) {
    const refused = await novacron(['cluster', 'join', token, '--socket', control])
    t.match(refused, { code: 4, stderr: code }, `novacron cluster join: ${refused.stderr.trim()}`)
  }
  const joined = await novacron(['cluster', 'join', used.token, '--socket', control], { timeoutMs: 60_000 })
  t.equal(joined.code, 0, joined.stderr)
  await eventually('it is a member', 30_000, async () => (await api.cluster('node2')).nodes === 3)
  const late = await startDaemon('late', 1)
  const again = await novacron(['cluster', 'join', used.token, '--socket', late.control])
  t.match(again, { code: 4, stderr: 'TOKEN_USED' }, `the same token again: ${again.stderr.trim()}`)
  await late.stop()
  const list = (await api.expect(200, 'node1', 'GET', '/api/v1/cluster/join-tokens')).body as { items: { id: string; state: string; usedBy: string | null }[] }
  const state = (id: string) => list.items.find((token) => token.id === id)
  t.match([state(short.id)?.state, state(revoked.id)?.state, state(used.id)], ['expired', 'revoked', { state: 'used', usedBy: 'extra' }])
  t.notMatch(JSON.stringify(list), 'ncj_', 'the list holds no secrets')
  // The second voter and the third: only now may one of them be lost.
  await eventually('three vote', 30_000, async () => (await api.cluster('node1')).voters.length === 3)
  await extra.stop()
})

/** One more appliance in one of the hosts, in no cluster yet: the real daemon beside the host's own. */
async function startDaemon(name: string, at: number): Promise<{ readonly control: string; readonly stop: () => Promise<void> }> {
  const dir = join(lab.dir, 'extra', name)
  mkdirSync(dir, { recursive: true })
  const config = `${dir}.json`
  writeFileSync(config, JSON.stringify({
    name, dataDir: dir, listen: { port: 9443 + at }, peer: { port: 7500 + at }, advertise: lab.node('node1').address, accelerator: 'tcg', libvirt: { socket: join(dir, 'none') }, lab: true,
  }))
  const daemon = spawn(program, ['lab', 'exec', '--dir', lab.dir, 'node1', '--', program, 'daemon', '--config', config], { stdio: ['ignore', 'ignore', 'inherit'] })
  const ended = Promise.withResolvers<void>()
  daemon.on('close', () => ended.resolve())
  const control = join(dir, 'control.sock')
  await eventually(`daemon ${name} is there`, 30_000, async () => (await novacron(['cluster', 'status', '--socket', control])).code === 0)
  const stop = async () => {
    daemon.kill('SIGTERM')
    await ended.promise
  }
  return { control, stop }
}

/** A browser's way of asking: cookie, Origin, CSRF token. */
async function signIn(node: string, name: string, password: string): Promise<{ readonly answer: Answer; readonly cookie: string; readonly csrf: string }> {
  const answer = await api.call(node, 'POST', '/api/v1/session', { ...nobody, body: { name, password } })
  const cookie = answer.headers['set-cookie']?.[0]?.split(';')[0] ?? ''
  if (cookie !== '') secrets.set(`session of ${name} at ${node}`, cookie.split('=')[1] ?? '')
  return { answer, cookie, csrf: String((answer.body as { csrf?: string } | undefined)?.csrf) }
}

await t.test('sessions: good on every node, with CSRF and Origin, and over when signed out', async (t) => {
  const { answer, cookie, csrf } = await signIn('node1', 'admin', secrets.get('administrator\'s password') ?? '')
  t.equal(answer.status, 201)
  t.match(String(answer.headers['set-cookie']?.[0]), /^__Host-novacron=.*; Path=\/; .*Secure; HttpOnly; SameSite=(Lax|Strict)/)
  const origin = (node: string) => ({ cookie, origin: lab.node(node).url })
  for (const name of names) t.equal((await api.call(name, 'GET', '/api/v1/vms', { ...nobody, headers: { cookie } })).status, 200, `good on ${name}`)
  const body = { name: 'by-cookie', spec: {} }
  const post = async (headers: Record<string, string>) => await api.call('node1', 'POST', '/api/v1/tokens', { ...nobody, body, headers })
  t.match(await post({ cookie, 'x-csrf-token': csrf }), { status: 403, body: { code: 'CROSS_ORIGIN' } }, 'a write with the cookie and no Origin')
  t.match(await post(origin('node1')), { status: 403, body: { code: 'CROSS_ORIGIN' } }, 'a write without the CSRF token')
  t.match(await post({ ...origin('node1'), 'x-csrf-token': 'A'.repeat(43) }), { status: 403, body: { code: 'CROSS_ORIGIN' } }, 'a write with another one')
  t.match(await post({ cookie, origin: 'https://evil.example', 'x-csrf-token': csrf }), { status: 403, body: { code: 'CROSS_ORIGIN' } }, 'a write from another site')
  t.match(await post({ ...origin('node1'), 'sec-fetch-site': 'cross-site', 'x-csrf-token': csrf }), { status: 403, body: { code: 'CROSS_ORIGIN' } }, 'a write that the browser calls cross-site')
  const made = await post({ ...origin('node1'), 'x-csrf-token': csrf })
  t.equal(made.status, 201)
  secrets.set('token by cookie', (made.body as { secret: string }).secret)
  t.equal((await api.call('node1', 'GET', '/api/v1/vms', { ...nobody, headers: { cookie: `${cookie.slice(0, -2)}AA` } })).status, 401, 'a forged cookie')

  t.equal((await api.call('node1', 'DELETE', '/api/v1/session', { ...nobody, headers: { ...origin('node1'), 'x-csrf-token': csrf } })).status, 204)
  for (const name of names) await eventually(`over on ${name}`, 2000, async () => (await api.call(name, 'GET', '/api/v1/vms', { ...nobody, headers: { cookie } })).status === 401)
})

await t.test('a revoked API token is refused on every node, and its streams end', async (t) => {
  const made = (await api.expect(201, 'node1', 'POST', '/api/v1/tokens', { body: { name: 'short-lived' } })).body as { id: string; secret: string }
  secrets.set('token short-lived', made.secret)
  const { secret, id } = made
  for (const name of names) t.equal((await api.call(name, 'GET', `/api/v1/vms?minIndex=1`, { token: secret })).status, 200)
  const aborter = new AbortController()
  t.teardown(() => aborter.abort())
  let [text, over] = ['', false]
  await api.stream('node2', '/api/v1/events', { token: secret, signal: aborter.signal, onText: (more) => (text += more), onEnd: () => (over = true) })
  await api.expect(204, 'node2', 'DELETE', `/api/v1/tokens/${id}`)
  for (const name of names) await eventually(`refused on ${name}`, 2000, async () => (await api.call(name, 'GET', '/api/v1/vms', { token: secret })).status === 401)
  await eventually('its stream ended', 10_000, () => over)
  t.notMatch(text, secret)
  const listed = await api.expect(200, 'node1', 'GET', '/api/v1/tokens')
  t.notMatch(listed.text, /nct_|secret/i, 'no list shows secrets')
})

await t.test('guessing passwords is slowed down; roles bind', async (t) => {
  const password = 'correct horse battery staple'
  secrets.set('bob\'s password', password)
  await api.expect(201, 'node1', 'POST', '/api/v1/users', { body: { name: 'bob', password, spec: { bindings: [{ role: 'viewer', scope: '*' }] } } })
  const wrong = (name: string) => signIn('node1', name, 'not the password')
  const first = await wrong('bob')
  const unknown = await wrong('mallory')
  t.same([first.answer.status, first.answer.text], [401, unknown.answer.text], 'who exists is not told')
  let refused: Answer | undefined
  for (let tries = 0; tries < 8 && refused === undefined; tries++) {
    const { answer } = await wrong('bob')
    if (answer.status === 429) refused = answer
  }
  t.match(refused, { status: 429, body: { code: 'TOO_MANY_ATTEMPTS' }, headers: { 'retry-after': /^\d+$/ } })
  t.equal((await signIn('node1', 'bob', password)).answer.status, 429, 'then even the right one has to wait')
  await delay(Number(refused?.headers['retry-after'] ?? 1) * 1000 + 1000)
  await eventually('and is good again', 20_000, async () => (await signIn('node1', 'bob', password)).answer.status === 201)

  const { cookie, csrf } = await signIn('node2', 'bob', password)
  const headers = { cookie, origin: lab.node('node2').url, 'x-csrf-token': csrf }
  t.equal((await api.call('node2', 'GET', '/api/v1/vms', { ...nobody, headers })).status, 200, 'a viewer may look')
  for (const [method, path, body] of [['POST', '/api/v1/vms', { name: 'bad', spec: tinySpec }], ['POST', '/api/v1/users', { name: 'eve', password: 'long enough to be one', spec: {} }], ['POST', '/api/v1/cluster/join-tokens', {}], ['GET', '/api/v1/audit', undefined]] as const) {
    t.match(await api.call('node2', method, path, { ...nobody, headers, body }), { status: 403, body: { code: 'FORBIDDEN' } }, `a viewer may not ${method} ${path}`)
  }
})

await t.test('commands are audited with their actor, without secrets', async (t) => {
  await api.expect(201, 'node2', 'POST', '/api/v1/vms', { body: { name: 'audited', spec: { cpus: 1, memoryMiB: 64, cloudInit: { userData: '#cloud-config\npassword: hunter2-hunter2' } } } })
  const audit = await api.all('node1', 'audit')
  t.match(audit.find((record) => record['command'] === 'vm.create'), { actor: 'admin/initial', actorKind: 'token', address: String, target: /audited/, outcome: 'done' })
  t.ok(audit.some((record) => record['command'] === 'user.add'))
  t.notMatch(JSON.stringify(audit), /hunter2|argon2|nct_|ncj_/)
})

await t.test('no secret lies in logs, state, or command lines', async (t) => {
  t.ok(secrets.size > 10)
  const places = names.flatMap((name) => ['data', 'log', 'run', 'etc', 'var'].map((folder) => join(lab.dir, name, folder))).concat(join(lab.dir, 'extra'))
  for (const [what, secret] of secrets) {
    const found = await run(['grep', '-rlaF', '--devices=skip', '-e', secret, ...places])
    t.equal(found.stdout, '', `${what} is in no file`)
  }
  t.match((await run(['grep', '-rlaF', '--devices=skip', '-e', 'cluster.formed', ...places])).stdout, 'node1/data', 'the search would find what is there')
  const keys = await run(['grep', '-rlaE', '--devices=skip', '-e', 'BEGIN [A-Z ]*PRIVATE KEY', ...places])
  t.same(keys.stdout.split('\n').filter((path) => path !== '' && !/\/(?:identity|cluster|appliance)\.json$/.test(path)), [], 'private keys only where only root looks')
  const { id } = await lab.status()
  const lines = processesOfLab(lab.dir, id).join('\n')
  for (const [what, secret] of secrets) t.notOk(lines.includes(secret), `${what} is in no command line`)
})
