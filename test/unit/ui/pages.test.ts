// Every page is put together, says what it should, and escapes what others named.
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { Caller } from '../../../src/app/face.ts'
import { makePages, readAsset } from './pages.ts'
import { admin, idOf, makeVm, refusal } from './stand-in.ts'

const paths = [
  '/', '/vms', '/vms?q=phase:running&sort=-memory&limit=50', '/vms/new', '/vms/web-01', '/vms/web-01/console', '/vms/web-01/screen', '/vms/web-01/edit', '/vms/web-01/events', '/vms/web-01/delete', '/nodes', '/nodes/n1',
  '/images', '/images/tiny/delete', '/images/tiny/edit', '/operations', `/operations/${idOf(3, 1)}`, '/events', '/access', '/users', '/users/mara', '/users/mara/delete', '/projects', '/projects/shop/edit', '/projects/shop/delete', '/audit', '/recovery',
]

/** Elements that are never closed in HTML. */
const empty = new Set(['meta', 'link', 'input', 'br', 'hr', 'rect', 'circle', 'path', 'use', '!doctype'])

/** Tags that do not match; a browser would repair them silently. */
function unbalanced(page: string): string[] {
  const open: string[] = []
  const wrong: string[] = []
  for (const [, close, name = '', rest = ''] of page.replaceAll(/<!--.*?-->/g, '').matchAll(/<(\/?)([a-z!][a-z0-9-]*)((?:"[^"]*"|'[^']*'|[^>"'])*)>/gi)) {
    const tag = name.toLowerCase()
    if (close === '/') {
      const last = open.pop()
      if (last !== tag) wrong.push(`</${tag}> closes <${last}>`)
    } else if (!empty.has(tag) && !rest.endsWith('/')) open.push(tag)
  }
  return [...wrong, ...open.map((tag) => `<${tag}> stays open`)]
}

describe('pages', () => {
  test.each(paths)('%s is whole: balanced, unique ids, no inline script or style', async (path) => {
    const pages = makePages()
    const response = await pages.get(path)
    expect(response.status).toBe(200)
    const page = await response.text()
    expect(unbalanced(page)).toEqual([])
    const ids = [...page.matchAll(/ id="([^"]*)"/g)].map((match) => match[1])
    expect(ids.filter((id, at) => ids.indexOf(id) !== at)).toEqual([])
    expect(page).not.toMatch(/<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=/)
    expect(page).not.toContain('[object')
    expect(page).not.toContain('undefined')
    expect(page).not.toMatch(/href="#(?:")/)
    expect([...page.matchAll(/<h1/g)]).toHaveLength(1)
    // What is described or labelled by an id needs that id.
    for (const [, targets = ''] of page.matchAll(/aria-(?:labelledby|describedby|controls)="([^"]*)"/g)) for (const id of targets.split(' ')) expect(ids).toContain(id)
  })

  test('every form that changes something carries the token and a key', async () => {
    const pages = makePages()
    for (const path of paths) {
      const page = await (await pages.get(path)).text()
      for (const [form] of page.matchAll(/<form[^>]*method="post"[\s\S]*?<\/form>/g)) {
        expect(form).toContain('name="_csrf" value="csrf-of-this-session"')
        expect(form).toMatch(/name="_key" value="[^"]+"/)
      }
    }
  })

  test('htmx attributes are on the list of those that need no evaluation', async () => {
    const allowed = new Set(['hx-headers:inherited', 'hx-sse:connect', 'hx-swap', 'hx-get', 'hx-post', 'hx-trigger', 'hx-sync', 'hx-target', 'hx-select', 'hx-push-url', 'hx-replace-url', 'hx-disable', 'hx-morph-skip'])
    const pages = makePages()
    for (const path of paths) {
      const page = await (await pages.get(path)).text()
      for (const [, name = ''] of page.matchAll(/\s(hx-[a-z0-9:-]+)(?==|\s|>)/g)) expect(allowed, `${name} on ${path}`).toContain(name)
      expect(page).not.toMatch(/hx-[a-z:-]+="(?:js|javascript):/)
      expect(page).not.toMatch(/hx-trigger="[^"]*\[/)
    }
  })

  test('names with markup are text everywhere', async () => {
    const pages = makePages()
    const name = '<img src=x onerror=alert(1)>"\'&'
    pages.app.scene.vms.unshift({ ...makeVm(77, 'failed', { name, message: name, labels: { a: name } }), id: idOf(2, 777) })
    pages.app.scene.events.unshift({ ...pages.app.scene.events[0]!, id: '999.0', name, message: name, actor: name, resourceId: idOf(2, 777) })
    pages.app.scene.operations.unshift({ ...pages.app.scene.operations[0]!, id: idOf(3, 77), spec: { ...pages.app.scene.operations[0]!.spec, target: { kind: 'vm', id: idOf(2, 777), name } } })
    for (const path of ['/', '/vms', '/vms?sort=-created', `/vms/${idOf(2, 777)}`, '/events', '/operations', '/nodes/n3', `/vms?q=${encodeURIComponent(name)}`, `/vms/${encodeURIComponent(name)}`, `/login?next=${encodeURIComponent(`/${name}`)}`]) {
      const page = await (await pages.get(path)).text()
      expect(page, path).not.toContain('<img')
      expect(unbalanced(page), path).toEqual([])
    }
  })

  test('no section is offered that does not exist', async () => {
    const page = await (await makePages().get('/')).text()
    const navigation = page.slice(page.indexOf('<nav class="nav"'), page.indexOf('<header class="topbar"'))
    const links = [...navigation.matchAll(/href="(\/[a-z]*)"/g)].map((match) => match[1])
    expect(links).toEqual(['/', '/', '/vms', '/images', '/nodes', '/operations', '/events', '/access', '/projects', '/users', '/audit', '/recovery'])
    for (const link of links) expect((await makePages().get(link!)).status).toBe(200)
  })

  test('the first load of the VM list stays within its budget', async () => {
    const page = await (await makePages().get('/vms')).text()
    const files = ['app.css', 'app.js', 'htmx.min.js', 'hx-sse.min.js', 'icons.svg', 'logo.svg'].map(readAsset)
    const bytes = [Buffer.from(page), ...files].reduce((sum, file) => sum + gzipSync(file).length, 0)
    expect(bytes).toBeLessThan(60 * 1024)
  })

  test('an empty cluster is welcomed', async () => {
    const pages = makePages()
    pages.app.scene.vms.length = 0
    pages.app.scene.operations.length = 0
    expect(await (await pages.get('/')).text()).toContain('Your cluster is ready')
    expect(await (await pages.get('/vms')).text()).toContain('No VMs yet')
  })

  test('a filter that cannot be read says so in place', async () => {
    const response = await makePages().get('/vms?q=colour:red')
    expect(response.status).toBe(200)
    expect(await response.text()).toContain('This filter cannot be read')
  })

  test('theme, navigation and zone follow the cookies and nothing else', async () => {
    const pages = makePages()
    const page = await (await pages.get('/access', { Cookie: 'theme=dark; nav=rail; tz=Europe%2FBerlin' })).text()
    expect(page).toContain('data-theme="dark" data-nav="rail"')
    expect(page).toContain('14:32:06')
    const wrong = await (await pages.get('/', { Cookie: 'theme="><script>; nav=x; tz=Nowhere/Land' })).text()
    expect(wrong).toContain('<html lang="en">')
  })
})

describe('without quorum', () => {
  test('pages are marked stale, changing parts are refused with the reason', async () => {
    const pages = makePages()
    pages.app.scene.freshness = { ...pages.app.scene.freshness, quorum: false, staleSinceMs: pages.clock.nowMs() - 60_000, leader: null }
    for (const path of ['/', '/vms', '/vms/web-01', '/vms/new', '/images', '/access']) {
      const page = await (await pages.get(path)).text()
      expect(page).toContain('<html lang="en" class="stale"')
      expect(page).toContain('This node has no quorum since 13:31:06')
      for (const [button] of page.matchAll(/<(?:button|a)[^>]* data-change[^>]*>/g)) if (!button.includes('data-act=')) expect(button).toContain('aria-disabled="true"')
    }
  })

  test('a write tried all the same is refused in place and keeps what was typed', async () => {
    const pages = makePages()
    pages.app.refuse = refusal('NO_QUORUM', 'Surely not done: this node has no quorum.')
    const response = await pages.post('/vms', { name: 'kept', image: 'tiny', size: 'small', _key: 'k' }, { 'HX-Request': 'true' })
    expect(response.status).toBe(503)
    const text = await response.text()
    expect(text).toContain('NO_QUORUM')
    expect(text).toContain('value="kept"')
  })
})

describe('who may what', () => {
  test('a viewer sees, but is offered no change', async () => {
    const caller: Caller = { ...admin, bindings: [{ role: 'viewer', scope: '*' }] }
    const page = await (await makePages({ caller }).get('/vms/web-01')).text()
    expect(page).toContain('Your role may look, but not change anything')
    expect(page).toMatch(/id="act-stop"[^>]*aria-disabled="true"/)
  })

  test('whoever has a role in a project alone sees its VMs, and no nodes', async () => {
    const caller: Caller = { ...admin, bindings: [{ role: 'operator', scope: 'project:shop' }] }
    const pages = makePages({ caller })
    expect((await pages.get('/')).headers.get('Location')).toBe('/vms')
    const page = await (await pages.get('/access')).text()
    const navigation = page.slice(page.indexOf('<nav class="nav"'), page.indexOf('<header class="topbar"'))
    expect([...navigation.matchAll(/href="(\/[a-z]*)"/g)].map((match) => match[1])).toEqual(['/', '/vms', '/images', '/operations', '/events', '/access', '/projects'])
  })

  test('without any role there is the own page, with its buttons alive', async () => {
    const pages = makePages({ caller: { ...admin, bindings: [] } })
    expect((await pages.get('/')).headers.get('Location')).toBe('/access')
    const page = await (await pages.get('/access')).text()
    expect(page).toContain('without a role')
    expect(page).not.toMatch(/id="pw-go"[^>]*aria-disabled/)
    const navigation = page.slice(page.indexOf('<nav class="nav"'), page.indexOf('<header class="topbar"'))
    expect([...navigation.matchAll(/href="(\/[a-z]*)"/g)].map((match) => match[1])).toEqual(['/', '/access'])
  })

  test('errors keep the shell', async () => {
    const pages = makePages()
    const missing = await pages.get('/vms/nothing')
    expect(missing.status).toBe(404)
    const page = await missing.text()
    expect(page).toContain('There is nothing here')
    expect(page).toContain('<nav class="nav"')
    expect((await pages.get('/backups')).status).toBe(404)
    pages.app.refuse = refusal('FORBIDDEN', 'Your role does not allow it.')
    const forbidden = await pages.post('/vms/web-01/start', {})
    expect(forbidden.status).toBe(403)
    expect(await forbidden.text()).toContain('You may not see or do this')
    pages.app.vms.get = () => {
      throw new TypeError('a bug with a secret in it')
    }
    const broken = await pages.get('/vms/web-01')
    expect(broken.status).toBe(500)
    expect(await broken.text()).not.toContain('secret in it')
  })
})
