// Metrics on a real cluster: Prometheus scrapes all nodes as documented, what it says is compared with the machine; charts, top, and a host that dies.
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import t from 'tap'
import { z } from 'zod'
import { metricsViewSchema, usageSchema, type MetricsView } from '../../src/model/metrics.ts'
import { findings, openBrowser, overhang, sit } from './browser.ts'
import { Api } from './lab-api.ts'
import { eventually, Lab, novacron } from './lab-runner.ts'
import { Truth } from './lab-truth.ts'
import { documentedConfig, requirePrometheus, startPrometheus, type Prometheus } from './prometheus.ts'

t.setTimeout(480_000)
requirePrometheus()
const lab = new Lab()
const api = new Api(lab)
const truth = new Truth(lab)
const names = ['node1', 'node2', 'node3'] as const
let prometheus: Prometheus | null = null

t.teardown(async () => {
  await prometheus?.stop()
  await lab.run('down', '--purge')
  rmSync(dirname(lab.dir), { recursive: true, force: true })
})

const metricsOf = async (node: string, path: string): Promise<MetricsView> => metricsViewSchema.parse((await api.expect(200, node, 'GET', `/api/v1/${path}`)).body)
const seriesOf = (view: MetricsView, name: string) => view.series.find((series) => series.name === name)
const query = async (expression: string) => (await prometheus?.query(expression)) ?? []
const memoryTotalBytes = Number(/^MemTotal: +(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1]) * 1024

await t.test('a VM is measured on its node and known on all within seconds', async (t) => {
  await lab.up(3)
  const web = await api.createVm('node1', 'web', { on: 'node2' })
  for (const node of names) {
    await eventually(`${node} knows what web uses`, 30_000, async () => (seriesOf(await metricsOf(node, 'vms/web/metrics?range=1m'), 'cpu')?.latest ?? null) !== null)
  }
  const view = await metricsOf('node3', 'vms/web/metrics?range=1m')
  t.match(view, { kind: 'vm', id: web.id, name: 'web', stepSeconds: 5, stale: false, limits: { cpus: 1, memoryBytes: 128 * 2 ** 20 } })
  const pid = truth.qemuPid('node2', `web.${web.id.slice(-8)}`)
  const residentBytes = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
  const told = seriesOf(view, 'memoryResident')?.latest ?? 0
  t.ok(Math.abs(told - residentBytes) < 0.3 * residentBytes, `memory of QEMU: ${told} told, ${residentBytes} by /proc`)
  t.match(seriesOf(view, 'receive')?.points.every((point) => point === null), true, 'what QEMU does not count is unknown, not zero')
})

await t.test('a real Prometheus, set up as documented, scrapes all nodes', async (t) => {
  const targets = (lab.report?.nodes ?? []).map(({ url }) => new URL(url).host)
  prometheus = await startPrometheus({ config: documentedConfig(targets, 1), token: lab.report?.token ?? '', caFile: lab.report?.caFile ?? '' })
  await eventually('all targets are up', 30_000, async () => (await query('up == 1')).length === 3)
  await eventually('the CPU time of web has risen', 60_000, async () => (await query('rate(novacron_vm_cpu_seconds_total{vm="web"}[30s]) > 0')).length === 1)
  t.match(await query('novacron_vm_cpu_seconds_total'), [{ labels: { vm: 'web', node: 'node2', project: 'default' } }])
  const memory = await query('novacron_node_memory_used_bytes')
  t.same(memory.map(({ labels }) => labels['node'] ?? '').toSorted(), names, 'each node once, by its name')
  for (const { value } of memory) t.ok(value > 0 && value < memoryTotalBytes, `${value} of ${memoryTotalBytes} in use`)
  t.same((await query('novacron_node_memory_total_bytes')).map(({ value }) => value), names.map(() => memoryTotalBytes), 'the size of the memory is that of the machine')
  t.match(await query('sum(novacron_raft_is_leader)'), [{ value: 1 }])
  t.match(await query('count(novacron_raft_has_quorum == 1)'), [{ value: 3 }])
  await eventually('gossip is counted everywhere', 30_000, async () => (await query('rate(novacron_gossip_received_messages_total[30s]) > 0')).length === 3)
})

await t.test('promtool finds nothing; both scopes; no credential, no figures', async (t) => {
  for (const scope of ['', '?scope=cluster']) {
    const { text } = await api.expect(200, 'node1', 'GET', `/metrics${scope}`)
    t.equal(execFileSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' }), '')
    t.equal(/novacron_vm_cpu_seconds_total\{[^}]*vm="web"/.test(text), scope !== '', 'web is on another node')
    t.equal(new Set([...text.matchAll(/novacron_node_memory_used_bytes\{node="(\w+)"\}/g)].map(([, name]) => name)).size, scope === '' ? 1 : 3)
  }
  t.equal((await api.call('node1', 'GET', '/metrics', { token: null })).status, 401)
  t.equal((await api.call('node1', 'GET', '/metrics?scope=all')).status, 422)
  for (const bad of ['range=2h', 'range=1', 'range=10m&step=7s', 'range=1h&step=5s', 'since=1']) {
    t.match(await api.call('node1', 'GET', `/api/v1/nodes/node1/metrics?${bad}`), { status: 422, body: { code: 'INVALID' } }, bad)
  }
  t.equal((await api.call('node1', 'GET', '/api/v1/vms/none/metrics')).status, 404)
})

await t.test('top: a table, sorted; one document', async (t) => {
  const top = await novacron(['vm', 'top'], { env: lab.env('node3') })
  t.match(top.stdout, /^NAME +NODE +CPU .*\nweb +node2 +[\d.]+ % +\d+ MiB/)
  const nodes = await novacron(['node', 'top', '--sort', 'memory', '--json'], { env: lab.env('node3') })
  const { items } = z.object({ items: z.array(usageSchema) }).parse(JSON.parse(nodes.stdout))
  t.same(items.map(({ name }) => name).toSorted(), names)
  t.same(items.map(({ memoryBytes }) => memoryBytes), items.map(({ memoryBytes }) => memoryBytes).toSorted((left, right) => (right ?? 0) - (left ?? 0)))
  const watched = await novacron(['node', 'top', '--watch', '1', '--count', '2', '--json'], { env: lab.env('node1') })
  t.equal(watched.stdout.trimEnd().split('\n').map((line) => JSON.parse(line) as object).length, 2)
  t.equal((await novacron(['vm', 'top', '--sort', 'colour'], { env: lab.env('node1') })).code, 2)
})

await t.test('charts on the pages: drawn, live, readable, within the budget', async (t) => {
  const browser = await openBrowser()
  t.teardown(() => browser.close())
  for (const dark of [false, true]) {
    const { page, context, troubles } = await sit(browser, { dark, width: dark ? 390 : 1440 })
    await context.setExtraHTTPHeaders({ authorization: `Bearer ${lab.report?.token ?? ''}` })
    for (const [path, charts] of [['/', 4], ['/nodes/node2', 6], ['/vms/web?range=10m', 3]] as const) {
      await page.goto(`${lab.node('node1').url}${path}`)
      await page.locator('.uplot').nth(charts - 1).waitFor({ timeout: 15_000 })
      t.ok((await page.locator('.uplot').count()) >= charts, `${path} shows its charts`)
      t.match(await page.locator('[data-plot=cpu]').getAttribute('aria-label'), /^CPU: now .+, between .+ and .+\.$/)
      await page.getByText('Show as table').click()
      t.ok(await page.getByRole('columnheader', { name: 'CPU in use' }).first().isVisible(), 'the same as a table')
      t.same(await findings(page), [], `axe on ${path}${dark ? ', dark, narrow' : ''}`)
      t.equal(await overhang(page), 0)
    }
    await page.goto(`${lab.node('node1').url}/vms`)
    // A phone's rows have no room for them.
    t.equal(await page.locator('[id^=use-] .spark').first().isVisible(), !dark, 'the list has its small lines')
    t.same(troubles, [], 'the policy and the console have nothing to say')
    await context.close()
  }
  const { page, context } = await sit(browser)
  await context.setExtraHTTPHeaders({ authorization: `Bearer ${lab.report?.token ?? ''}` })
  const network = await context.newCDPSession(page)
  let bytes = 0
  network.on('Network.loadingFinished', ({ encodedDataLength }) => (bytes += encodedDataLength))
  await network.send('Network.enable')
  await page.goto(`${lab.node('node1').url}/vms/web`, { waitUntil: 'load' })
  await page.locator('.uplot').first().waitFor()
  t.ok(bytes > 30_000 && bytes < 150 * 1024, `first load of a page with charts: ${(bytes / 1024).toFixed(1)} KiB`)
})

await t.test('a host dies: Prometheus sees it down, the others keep its hour and say since when', async (t) => {
  await lab.run('kill', 'node3')
  const browser = await openBrowser()
  t.teardown(() => browser.close())
  await eventually('Prometheus misses node3', 20_000, async () => (await query('up == 0')).length === 1)
  await eventually('node1 calls it stale', 40_000, async () => (await metricsOf('node1', 'nodes/node3/metrics')).stale)
  const view = await metricsOf('node1', 'nodes/node3/metrics?range=2m')
  const cpu = seriesOf(view, 'cpu')
  t.equal(cpu?.latest, null)
  t.equal(cpu?.points.at(-1), null, 'a gap, not the last value for ever')
  t.ok(cpu?.points.some((point) => point !== null), 'what was before is kept')
  t.match((await api.expect(200, 'node1', 'GET', '/metrics?scope=cluster')).text, /novacron_node_metrics_fresh\{node="node3"\} 0/)
  t.notMatch((await api.expect(200, 'node1', 'GET', '/metrics?scope=cluster')).text, /novacron_node_memory_used_bytes\{node="node3"\}/)
  t.match((await novacron(['node', 'top'], { env: lab.env('node1') })).stdout, /node3 .* not since 20\d\d-/)
  const { page, context } = await sit(browser)
  await context.setExtraHTTPHeaders({ authorization: `Bearer ${lab.report?.token ?? ''}` })
  await page.goto(`${lab.node('node1').url}/nodes/node3`)
  t.match(await page.locator('#metrics-state').innerText(), /Last heard \d\d:\d\d:\d\d/)
  await lab.run('start', 'node3')
  await eventually('it is heard of again', 60_000, async () => !(await metricsOf('node1', 'nodes/node3/metrics')).stale)
  await eventually('Prometheus scrapes it again', 30_000, async () => (await query('up == 1')).length === 3)
})
