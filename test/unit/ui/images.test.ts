// The page of images: forms say what they will do, what is refused stays in the form, running imports show how far they are.
import { expect, test } from 'vitest'
import { makePages } from './pages.ts'
import { idOf, refusal } from './stand-in.ts'

test('an edit becomes a patch: labels that are gone are taken away', async () => {
  const pages = makePages()
  const [image] = pages.app.scene.images
  pages.app.scene.images[0] = { ...image!, labels: { old: 'x', tier: 'a' } }
  const response = await pages.post('/images/tiny/edit', { name: 'rock', copies: 'all', labels: 'tier=b, pet', revision: '5', _key: 'k' })
  expect(response.status).toBe(303)
  expect(pages.app.writes[0]?.body).toEqual({ revision: 5, name: 'rock', labels: { tier: 'b', pet: '', old: null }, spec: { copies: 'all' } })
})

test('what is refused stands in the dialog, with what was typed', async () => {
  const pages = makePages()
  pages.app.refuse = refusal('NAME_TAKEN', 'rock is taken.')
  const response = await pages.post('/images/tiny/edit', { name: 'rock', copies: '3', labels: '', revision: '5' })
  expect(response.status).toBe(409)
  const text = await response.text()
  expect(text).toContain('id="edit-image"')
  expect(text).toContain('rock is taken.')
  expect(text).toMatch(/<option value="3" selected>/)
})

test('an address becomes an import; one that is refused stays in the form', async () => {
  const pages = makePages()
  const form = { name: 'deb', url: 'https://images.example/a', sha256: 'A'.repeat(64), copies: '3', _key: 'k' }
  expect((await pages.post('/images/import', form)).status).toBe(303)
  expect(pages.app.writes[0]?.body).toEqual({ name: 'deb', spec: { source: { url: form.url, sha256: 'a'.repeat(64) }, copies: 3 } })
  pages.app.refuse = refusal('SOURCE_REFUSED', '10.0.0.1 is not a public address.')
  const text = await (await pages.post('/images/import', { ...form, url: 'http://10.0.0.1/"><script>' })).text()
  expect(text).toContain('10.0.0.1 is not a public address.')
  expect(text).toContain('value="http://10.0.0.1/&quot;&gt;&lt;script&gt;"')
})

test('a running import shows how far it is and can be cancelled', async () => {
  const pages = makePages()
  const [operation] = pages.app.scene.operations
  pages.app.scene.operations.push({
    ...operation!, id: idOf(3, 77), spec: { ...operation!.spec, operation: 'image-import', target: { kind: 'image', id: idOf(4, 9), name: 'deb' } },
    status: { ...operation!.status, state: 'running', endedAt: null, progress: { phase: 'download', processedBytes: 2 ** 30, totalBytes: 2 ** 32, bytesPerSecond: 2 ** 20, downtimeMs: null } },
  })
  const text = await (await pages.get('/images')).text()
  expect(text).toContain('Importing deb')
  expect(text).toContain('25 %')
  expect(text).toContain(`/operations/${idOf(3, 77)}/cancel`)
})

test('an image that is in use says by what, and its deletion is not armed', async () => {
  const pages = makePages()
  const [image] = pages.app.scene.images
  pages.app.scene.images[0] = { ...image!, status: { ...image!.status, usedBy: { count: 7, names: ['web-01', 'web-02'] } } }
  const list = await (await pages.get('/images')).text()
  expect(list).toContain('<a href="/vms/web-01">web-01</a>')
  expect(list).toContain('and 5 more')
  const dialog = await (await pages.get('/images/tiny/delete')).text()
  expect(dialog).toContain('7&nbsp;VMs made of it'.replace('&nbsp;', '\u00a0'))
})
