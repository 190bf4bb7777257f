// Pages of who becomes a node and who ceases to be one: found appliances with their fingerprint, typed confirmation, refusals in the dialog.
import { describe, expect, test } from 'vitest'
import { makePages } from './pages.ts'
import { refusal } from './stand-in.ts'

const fingerprint = '0123456789abcdef'.repeat(4)

describe('found appliances', () => {
  test('stand on top of the nodes with name, address and a fingerprint to compare, and are admitted by a button', async () => {
    const pages = makePages()
    pages.app.scene.discovered = [{ name: 'n9<b>', address: '10.0.0.9:8443', fingerprint, version: '0.1.0', lastSeenAt: '2026-01-01T00:00:00.000Z' }]
    const text = await (await pages.get('/nodes')).text()
    expect(text).toContain('n9&lt;b&gt; at <span class="mono">10.0.0.9:8443</span>')
    expect(text).toContain('0123 4567 89ab cdef 0123')
    const path = /<form method="post" class="note go" action="([^"]+)"/.exec(text)?.[1] ?? ''
    const response = await pages.post(path, { _key: fingerprint })
    expect(response.status).toBe(303)
    expect(pages.app.writes.at(-1)).toMatchObject({ what: 'node.admit', body: fingerprint })
  })

  test('none: nothing is shown', async () => {
    expect(await (await makePages().get('/nodes')).text()).toContain('<div id="nodes-found" class="live col"></div>')
  })
})

describe('a node is removed', () => {
  test('after its name was typed; by force only where the box was ticked', async () => {
    const pages = makePages()
    const wrong = await pages.post('/nodes/n3/remove', { confirm: 'n2' })
    expect(wrong.status).toBe(422)
    expect(await wrong.text()).toMatch(/<dialog id="node-remove"[^>]* data-open open>.*Type n3 to confirm\./)
    expect(pages.app.writes).toEqual([])
    expect((await pages.post('/nodes/n3/remove', { confirm: 'n3' })).headers.get('Location')).toBe('/nodes')
    expect(pages.app.writes.at(-1)).toMatchObject({ what: 'node.remove', body: { body: {} } })
    await pages.post('/nodes/n3/remove', { confirm: 'n3', force: 'yes' })
    expect(pages.app.writes.at(-1)).toMatchObject({ what: 'node.remove', body: { body: { force: true, hostIsOff: true } } })
  })

  test('a refusal stands in the dialog, which works without a script too', async () => {
    const pages = makePages()
    pages.app.refuse = refusal('IN_USE', 'n3 has a VM: web. Drain it first.')
    const response = await pages.post('/nodes/n3/remove', { confirm: 'n3' })
    expect(response.status).toBe(409)
    expect(await response.text()).toContain('n3 has a VM: web. Drain it first.')
    expect(await (await makePages().get('/nodes/n3/remove')).text()).toMatch(/<dialog id="node-remove"[^>]* open>/)
  })
})

test('a node is renamed; a name that is taken is told at its field', async () => {
  const pages = makePages()
  const response = await pages.post('/nodes/n3/rename', { name: 'berlin' })
  expect(response.status).toBe(303)
  expect(pages.app.writes.at(-1)).toMatchObject({ what: 'node.patch', body: { name: 'berlin' } })
  pages.app.refuse = refusal('NAME_TAKEN', 'n1 is taken.', [{ path: 'name', message: 'is taken' }])
  const refused = await pages.post('/nodes/n3/rename', { name: 'n1' })
  expect(refused.status).toBe(409)
  expect(await refused.text()).toMatch(/value="n1"[^>]*>.*id="node-rename-name-err">.*name is taken\./)
})

describe('what ails a node', () => {
  test('42, 44: stands as its state, in the list and on its page, with the whole sentence', async () => {
    const pages = makePages()
    const [first] = pages.app.scene.nodes
    if (first === undefined) throw new Error('there is no node')
    for (const [type, word] of [['LogDamaged', 'Log damaged'], ['Resyncing', 'Re-syncing'], ['DiskFull', 'Disk full'], ['DiskHung', 'Disk hangs']] as const) {
      pages.app.scene.nodes = [{ ...first, status: { ...first.status, ready: false, reason: 'x', conditions: [{ type, status: 'true', reason: type, message: `Because <${type}>.`, sinceMs: 0 }] } }]
      expect(await (await pages.get('/nodes')).text()).toContain(word)
      const page = await (await pages.get('/nodes/n1')).text()
      expect(page).toContain(word)
      expect(page).toContain(`Because &lt;${type}&gt;.`)
    }
  })
})
