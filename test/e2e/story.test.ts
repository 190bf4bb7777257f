// The story that must work: three appliances, a VM made and watched in a browser, a leader's host lost, a node cut off, the lab put down and up again.
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Page } from 'playwright-core'
import t from 'tap'
import { openBrowser, sit, signIn, type Seat } from './browser.ts'
import { Api, problemOf, tinySpec } from './lab-api.ts'
import { eventually, Lab, novacron } from './lab-runner.ts'
import { ConsoleReader, Truth } from './lab-truth.ts'

t.setTimeout(600_000)
const lab = new Lab()
const api = new Api(lab)
const truth = new Truth(lab)
const browser = await openBrowser()
const names = ['node1', 'node2', 'node3'] as const
const seats: Seat[] = []
/** A signed-in page for each node. */
const pages = new Map<string, Page>()
/** VM ids by name. */
const ids = new Map<string, string>()
/** The host that was the first leader. */
let killed = ''

t.teardown(async () => {
  await browser.close()
  await lab.run('down', '--purge')
  rmSync(dirname(lab.dir), { recursive: true, force: true })
})

/** A new visitor, signed in at a node by the form. */
async function visit(node: string, path: string): Promise<Page> {
  const seat = await sit(browser)
  seats.push(seat)
  await signIn(seat.page, lab.node(node).url, readFileSync(join(lab.dir, 'admin-password'), 'utf8').trim())
  await seat.page.goto(`${lab.node(node).url}${path}`)
  return seat.page
}

const id = (vm: string): string => ids.get(vm) ?? ''
const others = (name: string): string[] => names.filter((each) => each !== name)
const vmOn = (node: string): string => `on-${node}`

async function pidOf(node: string, vm: string): Promise<number | null> {
  return (await truth.domain(node, id(vm)))?.pid ?? null
}

/** The tick a VM's console shows now. */
async function tickOf(node: string, vm: string): Promise<number> {
  const reader = new ConsoleReader(lab, node, id(vm))
  try {
    await eventually(`${vm} ticks`, 30_000, () => reader.tick > 0)
    return reader.tick
  } finally {
    reader.close()
  }
}

/** Waits until a process is gone, or a zombie. Looks every 2 ms: a measurement starts here. */
async function momentOfDeath(pid: number): Promise<number> {
  const deadlineMs = performance.now() + 30_000
  for (;;) {
    const state = existsSync(`/proc/${pid}/stat`) ? readStart(`/proc/${pid}/stat`) : 'X'
    if (state === 'X' || state === 'Z') return performance.now()
    if (performance.now() > deadlineMs) throw new Error(`process ${pid} lives`)
    await delay(2)
  }
}

/** The state letter of a /proc/PID/stat; X where it vanished meanwhile. */
function readStart(path: string): string {
  try {
    return / ([A-Z]) /.exec(readFileSync(path, 'utf8').replace(/\(.*\)/, ''))?.[1] ?? 'X'
  } catch {
    return 'X'
  }
}

/** Told by gossip and computed at read: no part of the state. */
const fading: ReadonlySet<string> = new Set(['lastUsedAt', 'lastUsedFrom', 'lastSeenAt', 'progress', 'fetching'])

const lasting = (key: string, value: unknown): unknown => (fading.has(key) ? undefined : value)

/** What every node must hold alike; presence, load and what was only gossiped are no part of it. */
async function copyOf(node: string): Promise<string> {
  const nouns = ['vms', 'images', 'users', 'tokens', 'operations', 'events', 'audit']
  const all = await Promise.all(nouns.map(async (noun) => [noun, (await api.all(node, noun)) as readonly { readonly id?: string }[]] as const))
  // A failed sign-in or a refusal before the log is no entry of it: its id is no index.
  const lists = all.map(([noun, items]) => [noun, noun === 'audit' ? items.filter((item) => /^\d+$/.test(item.id ?? '')) : items] as const)
  const { term, leader, voters, learners, commitIndex, appliedIndex } = await api.cluster(node)
  return JSON.stringify({ ...Object.fromEntries(lists), term, leader, voters, learners, commitIndex, appliedIndex }, lasting)
}

async function allAreEqual(): Promise<boolean> {
  const [first, ...rest] = await Promise.all(names.map(copyOf))
  return rest.every((copy) => copy === first)
}

await t.test('one command makes a cluster of three', async (t) => {
  const report = await lab.up(3)
  t.equal(report.nodes.length, 3)
  for (const name of names) t.match(await api.cluster(name), { quorum: true, nodes: 3, nodesReady: 3, voters: [...names] })
})

await t.test('sign in on node 1 and create VM web from tiny there, by the pages', async (t) => {
  const page = await visit('node1', '/vms/new')
  pages.set('node1', page)
  await page.locator('#vm-name').fill('web')
  await page.locator('input[name=image][value=tiny]').check({ force: true })
  await page.locator('input[name=size][value=custom]').check({ force: true })
  await page.locator('#vm-memory').fill('128')
  await page.locator('#vm-node').selectOption('node1')
  await page.locator('input[name=start]').check()
  await page.locator('#create').click()
  await page.waitForURL('**/vms/web')
  const state = page.locator('#vm-state')
  await state.filter({ hasText: 'Running' }).waitFor()
  t.pass('its page says Running without a reload')

  const vm = await api.vm('node1', 'web')
  ids.set('web', vm.id)
  t.match(vm, { spec: { memoryMiB: 128, runState: 'running' }, status: { phase: 'running', node: 'node1' } })
  for (const name of names) t.equal((await api.vm(name, 'web')).status.phase, 'running', `${name} says the same`)
  t.match(await truth.domain('node1', vm.id), { state: 'running', name: `web.${vm.id.slice(-8)}`, pid: Number })
  for (const name of ['node2', 'node3']) t.same(await truth.domains(name), [], `no domain on ${name}`)
})

await t.test('its console ticks in the browser on node 2, and takes what is typed', async (t) => {
  const page = await visit('node2', '/vms/web/console')
  pages.set('node2', page)
  const screen = page.locator('#console .xterm-rows')
  await screen.filter({ hasText: /novacron tiny \S+ tick \d+/ }).waitFor({ timeout: 60_000 })
  const tick = async () => Number([...(await screen.innerText()).matchAll(/tick (\d+)/g)].at(-1)?.[1] ?? 0)
  const before = await tick()
  await eventually('the ticks go on', 15_000, async () => (await tick()) > before + 1)
  await page.locator('#console textarea').focus()
  await page.keyboard.type('hello from node two\n')
  await screen.filter({ hasText: 'echo: hello from node two' }).waitFor()
  t.match(await page.locator('#console-state').innerText(), 'Connected')
})

await t.test('every host runs a VM', async (t) => {
  for (const name of names) {
    // The command line makes them, each asked of another node than the one it is to run on.
    const asked = others(name)[0] ?? ''
    const ran = await novacron(['vm', 'create', vmOn(name), '--image', 'tiny', '--node', name, '--memory', '128', '--start', '--wait', '--json'], { env: lab.env(asked) })
    t.equal(ran.code, 0, ran.stderr)
    const vm = JSON.parse(ran.stdout) as { id: string; status: { phase: string } }
    ids.set(vmOn(name), vm.id)
    t.equal(vm.status.phase, 'running')
    t.match(await truth.domain(name, vm.id), { state: 'running', pid: Number })
  }
})

await t.test('the leader\'s host loses power: within seconds a VM is created through another node', async (t) => {
  killed = await api.leader('node2')
  const [asked = '', place = ''] = others(killed)
  const before = new Map<string, { pid: number | null; tick: number }>()
  for (const name of others(killed)) before.set(name, { pid: await pidOf(name, vmOn(name)), tick: await tickOf(name, vmOn(name)) })

  const pid = lab.node(killed).pid
  const kill = lab.run('kill', killed)
  const deadMs = await momentOfDeath(pid)
  const request = { body: { name: 'after', spec: { ...tinySpec, runState: 'running', placement: { node: place } } }, headers: { 'idempotency-key': 'after-the-leader' }, timeoutMs: 6000 }
  const refusals: string[] = []
  let answer = await api.call(asked, 'POST', '/api/v1/vms', request)
  while (answer.status !== 201 && performance.now() - deadMs < 30_000) {
    refusals.push(answer.status === 503 ? problemOf(answer).code : `${answer.status} ${answer.text}`)
    await delay(20)
    answer = await api.call(asked, 'POST', '/api/v1/vms', request)
  }
  const tookMs = performance.now() - deadMs
  t.comment(`leader's host dead → VM created through another node: ${tookMs.toFixed(0)} ms (wanted on a quiet machine: 3000)`)
  t.equal(answer.status, 201, answer.text)
  t.ok(tookMs < 10_000, `${tookMs.toFixed(0)} ms`)
  t.same(refusals.filter((code) => code !== 'NO_QUORUM' && code !== 'OUTCOME_UNKNOWN'), [], 'until then refused by a clear code')
  t.equal((await kill).code, 0)
  ids.set('after', (answer.body as { id: string }).id)
  await eventually('the new VM runs', 30_000, async () => (await api.vm(asked, 'after')).status.phase === 'running')
  t.match(await truth.domain(place, id('after')), { state: 'running', pid: Number })
  t.not(await api.leader(asked), killed)

  for (const name of others(killed)) {
    t.equal(await pidOf(name, vmOn(name)), before.get(name)?.pid, `the VM on ${name} has the same QEMU`)
    t.ok((await tickOf(asked, vmOn(name))) > (before.get(name)?.tick ?? 0), `the VM on ${name} went on ticking`)
  }
})

await t.test('what the dead host ran is shown as unknown, and its wish can be changed', async (t) => {
  const [asked = ''] = others(killed)
  await eventually('it is unknown', 30_000, async () => (await api.vm(asked, vmOn(killed))).status.phase === 'unknown')
  const vm = await api.vm(asked, vmOn(killed))
  t.match(vm.status, { node: killed, message: killed })
  t.match((await api.all(asked, 'nodes')).find((node) => node['name'] === killed), { status: { ready: false } })
  await api.expect(200, asked, 'PATCH', `/api/v1/vms/${vmOn(killed)}`, { body: { spec: { runState: 'stopped' } } })
})

await t.test('powered on, the host catches up and its VMs are what the cluster says', async (t) => {
  t.equal((await lab.run('start', killed)).code, 0)
  await eventually('it is ready', 40_000, async () => (await lab.get(killed, '/readyz')).status === 200)
  if (killed === 'node1') await eventually('web runs again', 40_000, async () => (await api.vm('node2', 'web')).status.phase === 'running')
  await eventually('the one wished off is off', 40_000, async () => (await api.vm(killed, vmOn(killed))).status.phase === 'stopped')
  t.equal(await pidOf(killed, vmOn(killed)), null)
  t.not(await pidOf('node1', 'web'), null)
  t.equal((await api.vm(killed, 'after')).id, id('after'), 'it knows what was made while it was off')
  await eventually('all copies are equal', 30_000, allAreEqual)
  // A page that was open on the host when it died is live again.
  const page = pages.get(killed) ?? (await visit(killed, '/vms/web'))
  pages.set(killed, page)
  await page.locator('#alarm').filter({ hasNotText: /./ }).waitFor({ state: 'attached' })
  await api.act(killed, 'web', 'pause')
  if (page.url().endsWith('/vms/web')) await page.locator('#vm-state').filter({ hasText: 'Paused' }).waitFor()
  await api.act(killed, 'web', 'resume')
  if (page.url().endsWith('/vms/web')) await page.locator('#vm-state').filter({ hasText: 'Running' }).waitFor()
})

await t.test('a node cut off says so, answers reads, refuses writes at once', async (t) => {
  // The leader: the hardest to cut off.
  const alone = await api.leader('node1')
  const [majority = ''] = others(alone)
  const page = pages.get(alone) ?? (await visit(alone, '/vms'))
  pages.set(alone, page)
  await page.goto(`${lab.node(alone).url}/vms/web`)
  const pids = await Promise.all(names.map(async (name) => (await truth.domains(name)).map((domain) => domain.pid)))
  const cut = performance.now()
  t.equal((await lab.run('partition', `${alone}|${others(alone).join(',')}`)).code, 0)

  await page.locator('#alarm').filter({ hasText: 'no quorum' }).waitFor({ timeout: 20_000 })
  t.comment(`cut off → its open page says that it has no quorum: ${(performance.now() - cut).toFixed(0)} ms`)
  const fresh = await visit(alone, '/vms')
  t.match(await fresh.locator('#alarm').innerText(), 'no quorum', 'signing in works there')
  await fresh.locator('#vms').getByText('web', { exact: true }).first().waitFor()
  const read = await api.expect(200, alone, 'GET', '/api/v1/vms')
  t.ok(read.headers['novacron-stale-since'], 'reads are marked stale')
  t.match((read.body as { items: { name: string }[] }).items.map((vm) => vm.name).toSorted(), ['after', 'on-node1', 'on-node2', 'on-node3', 'web'])

  const write = { body: { name: 'never', spec: { ...tinySpec, placement: { node: alone } } }, headers: { 'idempotency-key': 'never-done' } }
  for (const [method, path, options] of [
    ['POST', '/api/v1/vms', write], ['PATCH', '/api/v1/vms/web', { body: { labels: { never: 'done' } } }], ['POST', '/api/v1/vms/web/stop', {}],
    ['DELETE', '/api/v1/vms/web', {}], ['GET', '/api/v1/vms?consistent=true', {}],
  ] as const) {
    const answer = await api.call(alone, method, path, options)
    t.match(problemOf(answer), { status: 503, code: 'NO_QUORUM' }, `${method} ${path}`)
    t.ok(answer.ms < 2000, `refused in ${answer.ms.toFixed(0)} ms`)
    if (method === 'POST') t.comment(`${method} ${path} refused after ${answer.ms.toFixed(0)} ms (wanted on a quiet machine: 1000)`)
  }
  t.match(await novacron(['vm', 'stop', 'web'], { env: lab.env(alone) }), { code: 6 }, 'the command line says so by its exit code')

  await eventually('the others go on', 10_000, async () => (await api.call(majority, 'PATCH', '/api/v1/vms/after', { body: { labels: { made: 'meanwhile' } } })).status === 200)
  t.same(await Promise.all(names.map(async (name) => (await truth.domains(name)).map((domain) => domain.pid))), pids, 'no VM noticed')
})

await t.test('healed, nothing has diverged', async (t) => {
  t.equal((await lab.run('heal')).code, 0)
  await eventually('all are in touch', 40_000, async () => (await Promise.all(names.map(async (name) => (await lab.get(name, '/readyz')).status))).every((status) => status === 200))
  await eventually('all copies are equal', 30_000, allAreEqual)
  for (const name of names) {
    t.equal((await api.vm(name, 'after')).labels['made'], 'meanwhile', `${name} has what was written meanwhile`)
    t.equal((await api.vm(name, 'web')).labels['never'], undefined, `${name} has nothing that was refused`)
    t.equal((await api.call(name, 'GET', '/api/v1/vms/never')).status, 404)
    t.match((await api.vm(name, 'web')).status, { phase: 'running', operation: null })
    await pages.get(name)?.locator('#alarm').filter({ hasText: 'no quorum' }).waitFor({ state: 'detached' })
  }
})

await t.test('down, up: all is as it was', async (t) => {
  await api.expect(201, 'node3', 'POST', '/api/v1/users', { body: { name: 'ann', password: 'a long enough password', spec: {} } })
  const made = await api.expect(201, 'node2', 'POST', '/api/v1/tokens', { body: { name: 'kept' } })
  const { secret } = made.body as { secret: string }
  const describe = async (node: string) => JSON.stringify({
    vms: (await api.all(node, 'vms')).map(({ id, name, labels, spec, generation, status }) => ({ id, name, labels, spec, generation, phase: (status as { phase: string }).phase })),
    rest: await Promise.all(['images', 'users', 'tokens'].map((noun) => api.all(node, noun))),
  }, lasting)
  const before = await describe('node1')
  const token = lab.report?.token
  const clusterId = (await api.cluster('node1')).id
  t.equal((await lab.run('down')).code, 0)
  await Promise.all(seats.map((seat) => seat.context.close()))
  for (const name of names) t.same(await truth.domains(name).catch(() => 'off'), 'off')

  const report = await lab.up()
  t.equal(report.token, token)
  t.equal((await api.cluster('node1')).id, clusterId)
  for (const name of names) {
    await eventually(`${name} says what was`, 60_000, async () => (await describe(name)) === before)
    t.equal((await api.call(name, 'GET', '/api/v1/vms', { token: secret })).status, 200, 'API tokens are good')
    t.equal((await api.call(name, 'POST', '/api/v1/session', { token: null, body: { name: 'ann', password: 'a long enough password' } })).status, 201, 'users can sign in')
    for (const vm of await api.all(name, 'vms')) {
      const { phase, node } = vm['status'] as { phase: string; node: string }
      // What was reported last stands until the host has looked again: a guest that is just being started is still paused.
      await eventually(`${String(vm['name'])} to be what it is said to be: ${phase}`, 60_000, async () => {
        const domain = await truth.domain(node, String(vm['id']))
        return (domain?.pid !== null && domain?.state === 'running') === (phase === 'running')
      })
    }
  }
  t.ok((await tickOf('node3', 'web')) > 0, 'web ticks')
})

await t.test('no page broke its content policy or threw', (t) => {
  // That connections break while hosts are off and nodes cut off is the story itself.
  const troubles = seats.flatMap((seat) => seat.troubles).filter((trouble) => !/Failed to load resource|htmx:sse:error|WebSocket|net::ERR|EventSource|Failed to fetch|NetworkError/.test(trouble))
  t.same(troubles, [])
  t.end()
})
