// The pages that move VMs: targets and why not, what is asked of the node, the drain's dialog, the history.
import { expect, it } from 'vitest'
import type { Migration } from '../../../src/model/migration.ts'
import { OperationalError } from '../../../src/model/error.ts'
import { makePages } from './pages.ts'
import { idOf } from './stand-in.ts'

it('offers the nodes that fit, best first, and says why others do not', async () => {
  const text = await (await makePages().get('/vms/web-02/migrate')).text()
  expect(text).toMatch(/name="node" value="" checked.*name="node" value="n2"/s)
  expect(text).toMatch(/Not possible.*n3.*is not in touch/s)
})

it('asks for the migration, with a bound where one is given', async () => {
  const pages = makePages()
  const answer = await pages.post('/vms/web-02/migrate', { node: 'n2', bandwidth: '50' })
  expect(answer.status).toBe(303)
  expect(pages.app.writes.at(-1)).toMatchObject({ what: 'vm.migrate', body: { node: 'n2', bandwidthMiBps: 50 } })
  const best = makePages()
  await best.post('/vms/web-02/migrate', { node: '', bandwidth: '' })
  expect(best.app.writes.at(-1)).toMatchObject({ what: 'vm.migrate', body: {} })
})

it('tells a wrong bandwidth at its field, and a refusal on the page', async () => {
  const pages = makePages()
  const wrong = await pages.post('/vms/web-02/migrate', { node: 'n2', bandwidth: 'fast' })
  expect(wrong.status).toBe(422)
  expect(await wrong.text()).toMatch(/id="migrate-bandwidth-err"/)
  expect(pages.app.writes).toEqual([])
  pages.app.refuse = new OperationalError('NO_FIT', 'web-02 cannot move to n2: it has 0 MiB of memory free.')
  const refused = await pages.post('/vms/web-02/migrate', { node: 'n2', bandwidth: '' })
  expect(refused.status).toBe(422)
  expect(await refused.text()).toContain('web-02 cannot move to n2')
})

it.each([
  [{ type: 'Draining', status: 'true' }, 3, /pill go[^>]*>.*Draining<\/span>/s, false],
  [{ type: 'Drained', status: 'true' }, 0, /pill warn[^>]*>.*Drained<\/span>/s, false],
  [{ type: 'Drained', status: 'false' }, 2, /Drained, 2\u00a0VMs left<\/span>/, true],
] as const)('a node says how far its drain is: %j', async (condition, vms, words, again) => {
  const pages = makePages()
  const node = pages.app.scene.nodes[0]!
  node.spec = { schedulable: false, draining: true, voting: 'auto' }
  node.status.allocated.vms = vms
  node.status.conditions = [{ ...condition, reason: '', message: 'what is left', sinceMs: 0, cause: { operationId: idOf(3, 1) } }]
  const text = await (await pages.get('/nodes/n1')).text()
  expect(text).toMatch(words)
  expect(text).toMatch(/what is left <a href="\/operations\/[0-9a-f-]{36}">The drain/)
  expect(text).toContain('Open to VMs')
  expect(text.includes('Drain again')).toBe(again)
  expect(text.includes('data-command="Drain n1…"')).toBe(again)
})

it('shows where each VM would go before a drain is begun, also without a script', async () => {
  const pages = makePages()
  const closed = await (await pages.get('/nodes/n1')).text()
  expect(closed).toMatch(/hx-get="\/ui\/nodes\/[0-9a-f-]{36}\/drain-plan" hx-trigger="intersect once" hx-target="#drain-plan"/)
  for (const text of [await (await pages.get('/nodes/n1/drain')).text(), await (await pages.get('/ui/nodes/n1/drain-plan', { 'HX-Request': 'true' })).text()]) {
    expect(text).toMatch(/1\u00a0VM would stay.*shop\.db would stay: n2 has 0 MiB.*shop\.db<\/th><td[^>]*><span class="dim">stays.*web-01<\/th><td[^>]*>n2</s)
  }
  expect((await pages.get('/ui/nodes/n1/drain-plan')).headers.get('Location')).toBe('/nodes/n1/drain')
  expect(pages.app.writes).toEqual([])
})

it('a wished node that does not take it is named with the reason; the best fit is chosen instead', async () => {
  const text = await (await makePages().get('/vms/web-02/migrate?node=n3')).text()
  expect(text).toMatch(/n3 does not take web-02: it is not in touch\..*name="node" value="" checked/s)
})

it('drains after asking, and opens a node that is closed', async () => {
  const pages = makePages()
  const dialog = await (await pages.get('/nodes/n1/drain')).text()
  expect(dialog).toMatch(/<dialog id="node-drain"[^>]*open/)
  await pages.post('/nodes/n1/drain', { concurrency: '4' })
  expect(pages.app.writes.at(-1)).toMatchObject({ what: 'node.drain', body: { body: { concurrency: 4 } } })
  pages.app.scene.nodes[0]!.spec.schedulable = false
  expect(await (await pages.get('/nodes/n1')).text()).toContain('Open to VMs')
  await pages.post('/nodes/n1/uncordon', {})
  expect(pages.app.writes.at(-1)).toMatchObject({ what: 'node.uncordon' })
})

it('shows what moved: way, bytes, time, and why it failed', async () => {
  const pages = makePages()
  const vm = pages.app.scene.vms.find((each) => each.name === 'web-02')!
  const migration = (outcome: Migration['status']['outcome'], reason: string): Migration => ({
    id: `01890a5d-ac96-774b-bcce-00000000000${outcome.length}`, kind: 'migration', name: 'vm-migrate-1', project: 'default', labels: {}, revision: 3, generation: 1,
    spec: { vm: { id: vm.id, name: 'web-02' }, from: { id: 'a', name: 'n1' }, to: { id: 'b', name: 'n2' }, live: true },
    status: { outcome, reason, actor: 'admin', bytes: 157_286_400, downtimeMs: 48, startedAt: '2026-11-20T14:00:00.000Z', endedAt: '2026-11-20T14:00:03.000Z', durationMs: 3000, operation: 'x' },
  })
  pages.app.scene.migrations = [migration('done', ''), migration('failed', 'The connection was cut.')]
  const text = await (await pages.get('/vms/web-02')).text()
  expect(text).toMatch(/n1 → n2.*150\u00a0MiB.*3\u00a0s.*48 ms/s)
  expect(text).toContain('The connection was cut.')
})
