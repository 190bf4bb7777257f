// People on a real cluster: roles in projects, sessions that end everywhere, tokens with less than their user, guessing, the audit, events as a WebSocket.
import { readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { WebSocket } from 'ws'
import { z } from 'zod'
import { findings, openBrowser, overhang, signIn as signInPage, sit } from './browser.ts'
import { Api, tinySpec, type Answer, type CallOptions } from './lab-api.ts'
import { eventually, Lab, novacron } from './lab-runner.ts'

t.setTimeout(600_000)
const lab = new Lab()
const api = new Api(lab)
const names = ['node1', 'node2', 'node3'] as const
const browser = await openBrowser()
t.teardown(async () => {
  await browser.close()
  await lab.run('down', '--purge')
  rmSync(dirname(lab.dir), { recursive: true, force: true })
})
const report = await lab.up(3)
const adminPassword = readFileSync(join(lab.dir, 'admin-password'), 'utf8').trim()
const password = 'kitchen lamp by the window'
const nobody = { token: null } as const

async function signIn(node: string, name: string, secret: string): Promise<{ readonly answer: Answer; readonly headers: Readonly<Record<string, string>> }> {
  const answer = await api.call(node, 'POST', '/api/v1/session', { ...nobody, body: { name, password: secret } })
  const cookie = String(answer.headers['set-cookie'] ?? '').split(';', 1)[0] ?? ''
  const csrf = z.object({ csrf: z.string() }).safeParse(answer.body).data?.csrf ?? ''
  return { answer, headers: { cookie, origin: lab.node(node).url, 'x-csrf-token': csrf } }
}

/** The same session at another node: there another origin is the own one. */
function at(node: string, headers: Readonly<Record<string, string>>): CallOptions {
  return { ...nobody, headers: { ...headers, origin: lab.node(node).url } }
}

function cli(args: readonly string[], token = report.token) {
  return novacron(args, { env: { NOVACRON_URL: lab.node('node2').url, NOVACRON_TOKEN: token, NOVACRON_CA: report.caFile } })
}

async function idsOf(node: string, path: string, options: CallOptions = {}): Promise<readonly string[]> {
  const { body } = await api.expect(200, node, 'GET', path, options)
  return z.object({ items: z.array(z.object({ id: z.string() })) }).parse(body).items.map((item) => item.id)
}

/** Every node has applied what any of them has by now: a write is answered once the node that was asked has it. */
async function everywhere(): Promise<void> {
  const indexes = await Promise.all(names.map(async (node) => (await api.cluster(node)).appliedIndex))
  await Promise.all(names.map((node) => api.expect(200, node, 'GET', `/api/v1/cluster?minIndex=${Math.max(...indexes)}`)))
}

await t.test('a project with an operator of its own: names, lists and rights end at its border', async (t) => {
  t.equal((await cli(['project', 'create', 'shop', '--description', 'The web shop'])).code, 0)
  await api.expect(201, 'node1', 'POST', '/api/v1/users', { body: { name: 'anna', password, spec: { bindings: [] } } })
  await everywhere()
  const { headers } = await signIn('node3', 'anna', password)
  const anna = at('node3', headers)
  t.same(await idsOf('node3', '/api/v1/vms', anna), [], 'without a role nothing is seen')
  t.equal((await api.call('node3', 'GET', '/api/v1/nodes', anna)).status, 403)
  t.equal((await api.call('node3', 'GET', '/', { ...anna, headers: { ...anna.headers, accept: 'text/html' } })).headers['location'], '/access', 'there is the own page')
  t.equal((await cli(['role', 'grant', 'anna', 'operator', '--project', 'shop'])).code, 0)
  await api.createVm('node1', 'web', { wait: 0, spec: { runState: 'stopped' } })
  const create = (project: string) => api.call('node3', 'POST', '/api/v1/vms', { ...anna, body: { name: 'web', project, spec: tinySpec } })
  await eventually('the role counts', 2000, async () => (await create('shop')).status !== 403)
  t.equal((await create('shop')).status, 409, 'it was made by the call before')
  t.match(await create('default'), { status: 403, body: { code: 'FORBIDDEN' } })
  t.equal((await idsOf('node3', '/api/v1/vms', anna)).length, 1, 'their own web alone')
  t.equal((await idsOf('node1', '/api/v1/vms')).length, 2, 'an administrator sees both')
  t.match(await api.expect(200, 'node1', 'GET', '/api/v1/vms/shop.web'), { body: { project: 'shop' } })
  t.match(await api.expect(200, 'node1', 'GET', '/api/v1/vms/web'), { body: { project: 'default' } })
  const started = await api.call('node3', 'POST', '/api/v1/vms/web/start', { ...anna, headers: { ...anna.headers, prefer: 'wait=60' }, timeoutMs: 70_000 })
  t.match(started, { status: 202, body: { status: { state: 'done' } } }, 'and may run it')
  t.match(await cli(['project', 'delete', 'shop', '--yes']), { code: 5, stderr: /not empty/ })
  t.equal((await cli(['project', 'rename', 'shop', 'store'])).code, 0)
  t.match(await api.expect(200, 'node3', 'GET', '/api/v1/vms/web', anna), { body: { project: 'store' } }, 'a rename takes VM and role along')
  t.match((await cli(['role', 'list'])).stdout, /anna-operator-project-store/)
})

await t.test('a viewer looks and changes nothing, by API, command line and page', async (t) => {
  const userData = '#cloud-config\npassword: not-for-viewers\n'
  await api.expect(201, 'node1', 'POST', '/api/v1/vms', { body: { name: 'secretive', spec: { cpus: 1, memoryMiB: 64, cloudInit: { userData } } } })
  await api.expect(201, 'node1', 'POST', '/api/v1/users', { body: { name: 'vera', password, spec: { bindings: [{ role: 'viewer', scope: 'cluster' }] } } })
  await everywhere()
  const { headers } = await signIn('node2', 'vera', password)
  const vera = at('node2', headers)
  const made = await api.expect(201, 'node2', 'POST', '/api/v1/tokens', { ...vera, body: { name: 'of-vera', spec: {} } })
  const { secret } = z.object({ secret: z.string() }).parse(made.body)
  t.notMatch((await api.expect(200, 'node2', 'GET', '/api/v1/vms/secretive', vera)).text, /not-for-viewers/)
  t.match((await api.expect(200, 'node2', 'GET', '/api/v1/vms/secretive')).text, /not-for-viewers/)
  for (const args of [['vm', 'create', 'x'], ['vm', 'stop', 'web'], ['vm', 'delete', 'web', '--yes'], ['user', 'delete', 'anna', '--yes'], ['role', 'grant', 'vera', 'administrator'], ['project', 'create', 'mine']]) {
    t.match(await cli(args, secret), { code: 4, stderr: /FORBIDDEN/ }, args.join(' '))
  }
  t.equal((await cli(['vm', 'list'], secret)).code, 0)
  const page = await api.call('node2', 'GET', '/vms', { ...vera, headers: { ...vera.headers, accept: 'text/html' } })
  t.match(page.text, /Your role may look, but not change anything/)
  t.equal((await api.call('node2', 'GET', '/users', { ...vera, headers: { ...vera.headers, accept: 'text/html' } })).status, 200, 'the list of users holds oneself')
  t.equal((await api.call('node2', 'GET', '/audit', { ...vera, headers: { ...vera.headers, accept: 'text/html' } })).status, 403)
})

await t.test('the last administrator stays', async (t) => {
  for (const args of [['user', 'delete', 'admin', '--yes'], ['user', 'set', 'admin', '--disable'], ['user', 'set', 'admin', '--role', 'viewer'], ['role', 'revoke', 'admin-administrator-cluster']]) {
    t.match(await cli(args), { code: 5, stderr: /last administrator/ }, args.join(' '))
  }
})

await t.test('sessions are seen on every node, and end on every node within a second', async (t) => {
  const first = await signIn('node1', 'vera', password)
  const second = await signIn('node2', 'vera', password)
  const [mine] = await idsOf('node1', '/api/v1/sessions?filter=user:vera&sort=-started', at('node1', first.headers))
  t.ok(mine)
  await eventually('an administrator sees them at node3', 3000, async () => (await idsOf('node3', '/api/v1/sessions?filter=user:vera')).length >= 2)
  const socket = new WebSocket(`${lab.node('node3').url.replace('https', 'wss')}/api/v1/events`, { ca: readFileSync(report.caFile), headers: { cookie: first.headers['cookie'] ?? '', origin: lab.node('node3').url } })
  const closed = new Promise<number>((resolve) => socket.on('close', resolve))
  await new Promise((resolve) => socket.on('open', resolve))
  const { body } = await api.expect(200, 'node3', 'GET', '/api/v1/session', at('node3', first.headers))
  t.match(body, { user: { name: 'vera' } })
  const ofFirst = z.object({ items: z.array(z.object({ id: z.string(), current: z.boolean() })) }).parse((await api.expect(200, 'node1', 'GET', '/api/v1/sessions', at('node1', first.headers))).body)
  const current = ofFirst.items.find((session) => session.current)?.id ?? ''
  await api.expect(204, 'node2', 'DELETE', `/api/v1/sessions/${current}`)
  const revokedMs = performance.now()
  for (const node of names) await eventually(`refused at ${node}`, 1000, async () => (await api.call(node, 'GET', '/api/v1/session', at(node, first.headers))).status === 401)
  t.equal(await closed, 1008, 'its stream ended')
  t.ok(performance.now() - revokedMs < 1500, `after ${Math.round(performance.now() - revokedMs)} ms`)
  t.equal((await api.call('node3', 'GET', '/api/v1/session', at('node3', second.headers))).status, 200, 'the other one goes on')
  t.equal((await cli(['user', 'sign-out', 'vera'])).code, 0)
  for (const node of names) await eventually(`signed out everywhere: ${node}`, 1000, async () => (await api.call(node, 'GET', '/api/v1/session', at(node, second.headers))).status === 401)
  t.equal((await signIn('node1', 'vera', password)).answer.status, 201, 'and may sign in again')
})

await t.test('a disabled user is out at once; a right that is taken away is missed at once', async (t) => {
  const { headers } = await signIn('node1', 'anna', password)
  t.equal((await cli(['user', 'set', 'anna', '--disable'])).code, 0)
  for (const node of names) await eventually(`out at ${node}`, 1000, async () => (await api.call(node, 'GET', '/api/v1/session', at(node, headers))).status === 401)
  t.equal((await signIn('node2', 'anna', password)).answer.status, 401)
  t.equal((await cli(['user', 'set', 'anna', '--enable'])).code, 0)
  await everywhere()
  const again = await signIn('node2', 'anna', password)
  t.equal(again.answer.status, 201)
  t.equal((await cli(['role', 'revoke', 'anna-operator-project-store'])).code, 0)
  await eventually('nothing is seen any more', 1000, async () => (await idsOf('node2', '/api/v1/vms', at('node2', again.headers))).length === 0)
})

await t.test('a token may do less than its user, makes none that may more, and takes its children along', async (t) => {
  const make = async (token: string, name: string, spec: object) => await api.call('node1', 'POST', '/api/v1/tokens', { token, body: { name, spec } })
  const secretOf = (answer: Answer) => z.object({ secret: z.string() }).parse(answer.body).secret
  const looking = secretOf(await make(report.token, 'looking', { bindings: [{ role: 'viewer', scope: 'cluster' }], expiresInDays: 10 }))
  await everywhere()
  t.equal((await api.call('node2', 'POST', '/api/v1/vms', { token: looking, body: { name: 'x', spec: tinySpec } })).status, 403)
  t.match(await make(looking, 'more', { bindings: [{ role: 'operator', scope: 'cluster' }] }), { status: 422 })
  t.match(await make(looking, 'longer', { expiresInDays: 11 }), { status: 422 })
  const child = secretOf(await make(looking, 'child', {}))
  await eventually('it has come to node2, and may no more', 2000, async () => (await api.call('node2', 'POST', '/api/v1/vms', { token: child, body: { name: 'x', spec: tinySpec } })).status === 403)
  await eventually('its use is known at another node', 40_000, async () => z.object({ status: z.object({ lastUsedAt: z.string().nullable() }) }).parse((await api.expect(200, 'node3', 'GET', '/api/v1/tokens/looking')).body).status.lastUsedAt !== null)
  t.equal((await cli(['token', 'revoke', 'looking'])).code, 0)
  for (const node of names) await eventually(`the child is gone at ${node}`, 1000, async () => (await api.call(node, 'GET', '/api/v1/vms', { token: child })).status === 401)
})

await t.test('guessing at one node is paid for at the others, and is told', async (t) => {
  for (let failed = 0; failed < 8; ) {
    const guess = await signIn('node1', 'vera', 'wrong password')
    if (guess.answer.status === 401) failed++
    else await delay(Number(guess.answer.headers['retry-after'] ?? 1) * 1000)
  }
  // From now on for 8 s.
  for (const name of ['node2', 'node3']) await eventually(`${name} wants a pause too`, 2000, async () => (await signIn(name, 'vera', 'wrong password')).answer.status === 429)
  const { answer } = await signIn('node3', 'vera', password)
  t.match(answer, { status: 429, headers: { 'retry-after': /^\d+$/ } })
  const failures = await api.expect(200, 'node3', 'GET', '/api/v1/audit?filter=code:SIGN_IN_FAILED')
  // Those at the others before they had heard of it are told too.
  const { items } = failures.body as { readonly items: readonly { readonly node: string }[] }
  t.match(items.find(({ node }) => node === 'node1'), { actor: 'vera', command: 'session.signIn', outcome: 'refused', node: 'node1' }, 'on another node\'s audit')
  await delay(Number(answer.headers['retry-after'] ?? 1) * 1000 + 1000)
  await eventually('then the right one is good', 20_000, async () => (await signIn('node1', 'vera', password)).answer.status === 201)
  await eventually('at once elsewhere too', 1000, async () => (await signIn('node2', 'vera', password)).answer.status === 201)
})

await t.test('passwords that are tried first are refused, and are in no answer', async (t) => {
  for (const weak of ['password1234', 'administrator', '1234567890']) {
    const answer = await api.call('node1', 'POST', '/api/v1/users', { body: { name: 'weak', password: weak, spec: {} } })
    t.match(answer, { status: 422, body: { fields: [{ path: 'password' }] } })
    t.notMatch(answer.text, weak)
  }
})

await t.test('the audit is filtered, and written to a file', async (t) => {
  const refused = await api.expect(200, 'node1', 'GET', '/api/v1/audit?filter=actor:vera/of-vera%20code:FORBIDDEN')
  t.match(refused.body, { items: [{ outcome: 'refused' }] }, 'what never came into the log is there too')
  const lines = await cli(['audit', 'export', '--format', 'jsonl', '--filter', 'noun:project', '--since', '1h'])
  t.equal(lines.code, 0)
  const records = lines.stdout.trimEnd().split('\n').map((line) => z.object({ command: z.string() }).parse(JSON.parse(line)).command)
  t.ok(records.includes('project.create') && records.includes('project.update'), records.join(' '))
  t.ok(records.every((command) => command.startsWith('project.')))
  const csv = await cli(['audit', 'export'])
  t.match(csv.stdout.split('\r\n')[0], 'at,actor,actorKind,address,command,target,outcome,code,detail,node,id')
  const document = await cli(['audit', 'export', '--json', '--filter', 'outcome:refused'])
  t.ok(z.object({ items: z.array(z.object({ outcome: z.literal('refused') })).min(1) }).safeParse(JSON.parse(document.stdout)).success)
  t.match(await cli(['audit', 'list', '--filter', 'since:yesterday']), { code: 5 })
})

await t.test('events by WebSocket: filtered, and resumed at another node', async (t) => {
  const open = (node: string, query: string) => {
    const socket = new WebSocket(`${lab.node(node).url.replace('https', 'wss')}/api/v1/events${query}`, { ca: readFileSync(report.caFile), headers: { authorization: `Bearer ${report.token}` } })
    const got: { readonly id?: string; readonly kind?: string; readonly name?: string; readonly start?: string }[] = []
    socket.on('error', () => undefined)
    socket.on('message', (data) => got.push(JSON.parse((data as Buffer).toString()) as (typeof got)[number]))
    t.teardown(() => socket.terminate())
    return { socket, got }
  }
  const first = open('node1', '?filter=kind:project')
  await eventually('a place', 5000, () => first.got[0]?.start !== undefined)
  await api.expect(201, 'node2', 'POST', '/api/v1/projects', { body: { name: 'one', spec: {} } })
  await api.expect(201, 'node2', 'POST', '/api/v1/users', { body: { name: 'ulla', password, spec: {} } })
  await api.expect(201, 'node2', 'POST', '/api/v1/projects', { body: { name: 'two', spec: {} } })
  await eventually('both projects, no user', 5000, () => first.got.length === 3)
  t.same(first.got.slice(1).map((event) => event.name), ['one', 'two'])
  first.socket.terminate()
  const resumed = open('node3', `?filter=kind:project&after=${first.got[1]?.id ?? ''}`)
  await eventually('the second again', 5000, () => resumed.got.length === 1)
  t.equal(resumed.got[0]?.name, 'two')
  const old = open('node2', '?after=999999999.0')
  const code = await new Promise<number>((resolve) => {
    old.socket.on('close', resolve)
    old.socket.on('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0))
  })
  t.ok(code === 4410 || code === 503, `a place that is not there: ${code}`)
})

await t.test('signing in works without quorum; signing out is heard of afterwards', async (t) => {
  await everywhere()
  await lab.run('partition', 'node1|node2,node3')
  t.teardown(() => lab.run('heal'))
  await eventually('node1 knows that it is alone', 20_000, async () => (await api.call('node1', 'GET', '/readyz', nobody)).status === 503)
  const { answer, headers } = await signIn('node1', 'ulla', password)
  t.equal(answer.status, 201)
  t.equal((await api.call('node1', 'GET', '/api/v1/vms', at('node1', headers))).status, 200)
  t.equal((await api.call('node1', 'DELETE', '/api/v1/session', at('node1', headers))).status, 503, 'nobody can be told')
  t.equal((await api.call('node1', 'GET', '/api/v1/vms', at('node1', headers))).status, 401, 'here it is over all the same')
})

await t.test('the pages: a user is made, given a role, shut out and deleted; the audit tells', async (t) => {
  await lab.run('heal')
  const url = lab.node('node2').url
  const { context, page, troubles } = await sit(browser)
  await signInPage(page, url, adminPassword)
  await page.goto(`${url}/users`)
  await page.getByLabel('Name', { exact: true }).fill('otto')
  await page.getByLabel('First password').fill('password1234')
  await page.getByRole('button', { name: 'Add user' }).click()
  await page.getByText('tried first').first().waitFor()
  t.equal(await page.getByLabel('Name', { exact: true }).inputValue(), 'otto', 'what was typed is kept')
  await page.getByLabel('First password').fill(password)
  await page.getByRole('button', { name: 'Add user' }).click()
  await page.waitForURL(`${url}/users/otto`)
  await page.getByLabel('Give the role').selectOption('viewer')
  await page.getByLabel('In', { exact: true }).selectOption('project:store')
  await page.getByRole('button', { name: 'Grant' }).click()
  await page.locator('#roles').getByText('project store').first().waitFor()
  await page.getByRole('button', { name: 'Disable' }).click()
  await page.getByText('Shut out').waitFor()
  t.match(await api.expect(200, 'node1', 'GET', '/api/v1/users/otto'), { body: { spec: { disabled: true } } })
  await page.getByRole('link', { name: 'Delete…' }).click()
  await page.getByLabel(/Type otto/).fill('otto')
  await page.getByRole('button', { name: 'Delete otto' }).click()
  await page.getByText('The user is deleted').waitFor()
  await page.goto(`${url}/audit?q=target:otto`)
  await page.getByText('user.delete').first().waitFor()
  for (const options of [{ width: 1440 }, { width: 390, height: 844, dark: true }]) {
    const seat = await sit(browser, options)
    await signInPage(seat.page, url, adminPassword)
    for (const path of ['/access', '/users', '/users/anna', '/users/anna/delete', '/projects', '/projects/store/edit', '/audit', '/audit?q=nonsense:x']) {
      await seat.page.goto(`${url}${path}`)
      t.same(await findings(seat.page), [], `${path} at ${options.width}`)
      t.equal(await overhang(seat.page), 0, `${path} at ${options.width} fits`)
    }
    t.same(seat.troubles, [])
    await seat.context.close()
  }
  t.same(troubles.filter((trouble) => !trouble.includes('422')), [])
  await context.close()
})
