// The node's page: its support bundle, and what is said where its state differs.
import { expect, test } from 'vitest'
import { makePages } from './pages.ts'

test('the bundle of the node that answers is downloaded here, of another one on its own page; what is in it is told', async () => {
  const pages = makePages()
  const own = await (await pages.get('/nodes/n2')).text()
  expect(own).toMatch(/<a class="btn" href="\/api\/v1\/cluster\/support-bundle" download id="support-bundle">/)
  expect(own).toMatch(/Passwords, keys, tokens, user data and addresses of imports are taken out/)
  const other = await (await pages.get('/nodes/n3')).text()
  expect(other).not.toContain('href="/api/v1/cluster/support-bundle"')
  expect(other).toMatch(/href="https:\/\/[^"]+\/nodes\/n3">.*On its own page/)
})

test('a node whose state differs says what to do', async () => {
  const pages = makePages()
  expect(await (await pages.get('/nodes/n3')).text()).not.toContain('node-diverged')
  const { nodes } = pages.app.scene
  const at = nodes.findIndex((node) => node.name === 'n3')
  const node = nodes[at]!
  Object.assign(nodes, { [at]: { ...node, status: { ...node.status, conditions: [{ type: 'StateDiverged', status: 'true', reason: 'hashDiffers', message: 'Run novacron support-bundle <first>.', sinceMs: 0 }] } } })
  expect(await (await pages.get('/nodes/n3')).text()).toMatch(/id="node-diverged">.*The state of n3 is not the cluster.*Run novacron support-bundle &lt;first&gt;\./)
})
