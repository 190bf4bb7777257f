// Forms become writes: what is asked, in which words it is refused, and that sending twice is one write.
import { describe, expect, test } from 'vitest'
import { localPath } from '../../../src/http/ui/login.ts'
import { commandOf, labelsOf, numberOf, specOf } from '../../../src/http/ui/vm-draft.ts'
import type { VmDraft } from '../../../ui/views/vm-form.ts'
import { makePages } from './pages.ts'
import { cookie, idOf, refusal } from './stand-in.ts'

const htmx = { 'HX-Request': 'true' }
const draft: VmDraft = { name: 'web', project: 'default', image: 'tiny', size: 'custom', cpus: '2', memory: '768', disk: '4', network: 'nat', node: 'n2', strategy: 'pack', apart: 'tier=db, noisy=yes!', labels: 'tier=web, pet', firmware: 'bios', userData: '', start: true }

describe('create', () => {
  test('the form becomes the body of a create request', async () => {
    const pages = makePages()
    const response = await pages.post('/vms', { ...draft, start: 'yes', _key: 'k1', _csrf: 'x' })
    expect(response.status).toBe(303)
    expect(response.headers.get('Location')).toBe('/vms/web')
    expect(pages.app.writes).toHaveLength(1)
    expect(pages.app.writes[0]?.body).toEqual({
      name: 'web', labels: { tier: 'web', pet: '' },
      spec: { cpus: 2, memoryMiB: 768, firmware: 'bios', disks: [{ name: 'root', image: 'tiny', sizeGiB: 4 }], nics: [{ network: 'nat' }], placement: { node: 'n2', strategy: 'pack', antiAffinity: [{ label: 'tier=db' }, { label: 'noisy=yes', required: true }] }, runState: 'running' },
    })
  })

  test('htmx is told where to go', async () => {
    const response = await makePages().post('/vms', { ...draft, start: 'yes' }, htmx)
    expect(response.status).toBe(200)
    expect(response.headers.get('HX-Redirect')).toBe('/vms/web')
  })

  test('errors stand at their fields; what belongs to none stands above', async () => {
    const pages = makePages()
    pages.app.refuse = refusal('INVALID', 'Several fields are wrong.', [{ path: 'spec.cpus', message: 'must be at most 512' }, { path: 'spec.disks.0.image', message: 'is not known' }, { path: 'spec.odd', message: 'is odd' }])
    const response = await pages.post('/vms', { ...draft, start: 'yes' }, htmx)
    expect(response.status).toBe(422)
    const text = await response.text()
    expect(text).toContain('hx-target="#form"')
    expect(text).toMatch(/id="vm-cpus-err">.*Must be at most 512\./)
    expect(text).toContain('Is not known.')
    expect(text).toContain('<code>spec.odd</code>')
    pages.app.refuse = refusal('NAME_TAKEN', 'web is taken in project default.')
    const plain = await pages.post('/vms', { ...draft, start: 'yes' })
    expect(plain.status).toBe(409)
    const page = await plain.text()
    expect(page).toContain('<nav class="nav"')
    expect(page).toContain('web is taken in project default.')
    expect(page).toContain('value="web"')
  })

  test('the same as a command', () => {
    expect(commandOf(draft)).toBe("novacron vm create web --image tiny --cpus 2 --memory 768 --disk 4 --node n2 --strategy pack --apart tier=db --apart 'noisy=yes!' --label tier=web --label pet --start")
    expect(commandOf({ ...draft, name: "a'; rm -rf /", labels: '' })).toContain(`'a'\\''; rm -rf /'`)
  })

  test('a blank disk, no disk, no network, presets', () => {
    expect(specOf({ ...draft, image: '', disk: '10' })['disks']).toEqual([{ name: 'root', sizeGiB: 10 }])
    expect(specOf({ ...draft, image: '', disk: '' })['disks']).toEqual([])
    expect(specOf({ ...draft, network: '' })['nics']).toEqual([])
    expect(specOf({ ...draft, size: 'medium' })).toMatchObject({ cpus: 2, memoryMiB: 2048 })
    expect(specOf({ ...draft, start: false })['runState']).toBe('stopped')
  })

  test('figures that are none go to the schema as they are', () => {
    expect(numberOf('2')).toBe(2)
    expect(numberOf('1.5')).toBe(1.5)
    for (const text of ['', 'two', '-1', '1e3', '0x10']) expect(numberOf(text)).toBe(text)
    expect(labelsOf(' , ')).toEqual({})
    expect(labelsOf('a=b=c')).toEqual({ labels: { a: 'b=c' } })
  })
})

describe('sending twice', () => {
  test('the same form has the same key, a corrected one another', async () => {
    const pages = makePages()
    const form = { ...draft, start: 'yes', _key: 'k1' }
    await pages.post('/vms', form)
    await pages.post('/vms', form)
    await pages.post('/vms', { ...form, cpus: '3' })
    await pages.post('/vms', { ...form, _key: 'k2' })
    const keys = pages.app.writes.map((write) => write.options.idempotencyKey)
    expect(keys[0]).toBe(keys[1])
    expect(new Set(keys).size).toBe(3)
    for (const key of keys) expect(key).toMatch(/^[\x21-\x7e]{1,255}$/)
  })

  test('each VM of a bulk action has its own key', async () => {
    const pages = makePages()
    const response = await pages.post('/vms/bulk', { id: [idOf(2, 1), idOf(2, 2), idOf(2, 2)], action: 'start', _key: 'k' }, htmx)
    expect(response.status).toBe(200)
    expect(pages.app.writes.map((write) => write.what)).toEqual(['vm.start', 'vm.start'])
    expect(new Set(pages.app.writes.map((write) => write.options.idempotencyKey)).size).toBe(2)
    expect(await response.text()).toContain('Start: 2\u00a0VMs under way')
  })
})

describe('several VMs migrate', () => {
  test('one after the other, each to where it fits best, and the answer says where to', async () => {
    const pages = makePages()
    const response = await pages.post('/vms/bulk', { id: [idOf(2, 1), idOf(2, 2)], action: 'migrate', _key: 'k' }, htmx)
    expect(pages.app.writes.map((write) => [write.what, write.body])).toEqual([['vm.migrate', {}], ['vm.migrate', {}]])
    expect(await response.text()).toMatch(/Migrate: 2\u00a0VMs under way.*Under way to n\d\./s)
    expect(await (await pages.get('/vms')).text()).toMatch(/data-do="bulk" data-action="migrate"/)
  })

  test('no more than hosts and links bear at once', async () => {
    const pages = makePages()
    const response = await pages.post('/vms/bulk', { id: Array.from({ length: 17 }, (_, at) => idOf(2, at)), action: 'migrate' }, htmx)
    expect(response.status).toBe(422)
    expect(await response.text()).toContain('At most 16 VMs are migrated at once. To empty a node, drain it')
    expect(pages.app.writes).toEqual([])
  })
})

describe('actions', () => {
  test.each([['start', {}], ['stop', {}], ['kill', { force: true }], ['restart', {}], ['pause', {}], ['resume', {}], ['reset', {}]])('%s', async (action, body) => {
    const pages = makePages()
    const response = await pages.post(`/vms/web-01/${action}`, { _key: 'k' })
    expect(response.status).toBe(303)
    expect(response.headers.get('Location')).toBe('/vms/web-01')
    expect(pages.app.writes[0]?.what).toBe(`vm.${action === 'kill' ? 'stop' : action}`)
    expect(pages.app.writes[0]?.body).toEqual(body)
  })

  test('htmx gets the cells that changed and the sentence', async () => {
    const response = await makePages().post('/vms/web-01/restart', {}, htmx)
    expect(response.status).toBe(202)
    const text = await response.text()
    for (const target of ['#vm-state', '#vm-actions', '#vm-op', '#toasts', '#say']) expect(text).toContain(`hx-target="${target}"`)
    expect(text).toContain('Restarting web-01.')
  })

  test('a refusal stands in place', async () => {
    const pages = makePages()
    pages.app.refuse = refusal('OPERATION_ACTIVE', 'Another operation is running on web-01.')
    const response = await pages.post('/vms/web-01/stop', {}, htmx)
    expect(response.status).toBe(409)
    expect(await response.text()).toContain('<hx-partial hx-target="#page-note" hx-swap="innerHTML">')
  })

  test('an unknown action is no page', async () => {
    const pages = makePages()
    expect((await pages.post('/vms/web-01/explode', {})).status).toBe(404)
    expect(pages.app.writes).toEqual([])
  })

  test('deletion asks for the name, checked here again', async () => {
    const pages = makePages()
    const wrong = await pages.post('/vms/web-01/delete', { confirm: 'web-1' })
    expect(wrong.status).toBe(422)
    expect(await wrong.text()).toContain('Type web-01 to confirm.')
    expect(pages.app.writes).toEqual([])
    expect((await pages.post('/vms/web-01/delete', { confirm: 'web-01' })).headers.get('Location')).toBe('/vms')
    expect(pages.app.writes.map((write) => write.what)).toEqual(['vm.delete'])
  })

  test('bulk deletion asks for the count; nonsense does nothing', async () => {
    const pages = makePages()
    const ids = [idOf(2, 1), idOf(2, 2)]
    expect((await pages.post('/vms/bulk', { id: ids, action: 'delete', confirm: 'delete 3' }, htmx)).status).toBe(422)
    expect((await pages.post('/vms/bulk', { id: [], action: 'start' }, htmx)).status).toBe(422)
    expect((await pages.post('/vms/bulk', { id: ids, action: '__proto__' }, htmx)).status).toBe(422)
    expect(pages.app.writes).toEqual([])
    await pages.post('/vms/bulk', { id: [...ids, idOf(2, 999)], action: 'delete', confirm: 'delete 3' }, htmx)
    expect(pages.app.writes).toHaveLength(2)
  })

  test('an edit sends what differs, with the revision; labels that are gone become null', async () => {
    const pages = makePages()
    const vm = pages.app.scene.vms[3]!
    const response = await pages.post('/vms/web-03/edit', { name: vm.name, cpus: '8', memory: String(vm.spec.memoryMiB), runState: vm.spec.runState, labels: 'tier=db', revision: '103' })
    expect(response.status).toBe(303)
    expect(pages.app.writes[0]?.body).toEqual({ labels: { tier: 'db', env: null }, spec: { cpus: 8 }, revision: 103 })
  })

  test('cancel', async () => {
    const pages = makePages()
    expect((await pages.post(`/operations/${idOf(3, 1)}/cancel`, {})).headers.get('Location')).toBe(`/operations/${idOf(3, 1)}`)
    expect(pages.app.writes[0]?.what).toBe('operation.cancel')
  })
})

describe('access', () => {
  test('a token is shown once, on the answer alone', async () => {
    const pages = makePages()
    const page = await (await pages.post('/access/tokens', { name: 'ci2', days: '30' })).text()
    expect(page).toContain('nct_the-secret')
    expect(pages.app.writes[0]?.body).toEqual({ name: 'ci2', spec: { expiresInDays: 30 } })
    expect(await (await pages.get('/access')).text()).not.toContain('nct_')
  })

  test('a join token lives as long as asked', async () => {
    const pages = makePages()
    expect(await (await pages.post('/access/join-tokens', { life: '900' })).text()).toContain('ncj_the-join-token')
    expect(pages.app.writes[0]?.body).toEqual({ lifeSeconds: 900 })
  })

  test('passwords are typed twice, and errors stand at their fields', async () => {
    const pages = makePages()
    const differ = await pages.post('/access/password', { current: 'a', password: 'one-password', again: 'other' })
    expect(differ.status).toBe(422)
    expect(pages.app.writes).toEqual([])
    pages.app.refuse = refusal('INVALID', 'x', [{ path: 'password', message: 'must have at least 10 characters' }])
    const short = await (await pages.post('/access/password', { current: 'a', password: 'b', again: 'b' })).text()
    expect(short).toMatch(/id="pw-new-err">.*Must have at least 10 characters\./)
    expect(short).not.toContain('value="b"')
  })

  test('a user is removed only under their name', async () => {
    const pages = makePages()
    expect((await pages.post('/users/mara/delete', {})).status).toBe(422)
    expect(pages.app.writes).toEqual([])
    expect((await pages.post('/users/mara/delete', { confirm: 'mara' })).status).toBe(303)
  })

  test('a token can be bound to less than its maker may', async () => {
    const pages = makePages()
    await pages.post('/access/tokens', { name: 'ci2', days: '', role: 'viewer', scope: 'project:shop' })
    expect(pages.app.writes[0]?.body).toEqual({ name: 'ci2', spec: { bindings: [{ role: 'viewer', scope: 'project:shop' }] } })
  })

  test('a user is added, gets roles, is shut out and signed out', async () => {
    const pages = makePages()
    await pages.post('/users', { name: 'anna', displayName: 'Anna', role: 'operator', scope: 'project:shop', password: 'a long passphrase' })
    expect((await pages.post('/users/mara/roles', { role: 'viewer', scope: 'cluster' })).status).toBe(303)
    await pages.post('/users/mara/disable', {})
    await pages.post('/users/mara/sign-out', {})
    await pages.post(`/users/mara/sessions/${pages.app.scene.sessions[1]!.id}/revoke`, {})
    expect(pages.app.writes.map((write) => write.what)).toEqual(['user.create', 'role.grant', 'user.patch', 'session.revokeAll', 'session.revoke'])
    expect(pages.app.writes[0]?.body).toEqual({ name: 'anna', spec: { displayName: 'Anna', bindings: [{ role: 'operator', scope: 'project:shop' }] }, password: 'a long passphrase' })
    expect(pages.app.writes[2]?.body).toEqual({ spec: { disabled: true } })
  })

  test('what is wrong with a new user stands at its field, and the password is not sent back', async () => {
    const pages = makePages()
    pages.app.refuse = refusal('INVALID', 'x', [{ path: 'password', message: 'must not be one of the passwords that are tried first' }])
    const response = await pages.post('/users', { name: 'anna', role: 'operator', scope: 'cluster', password: 'password1234' })
    expect(response.status).toBe(422)
    const page = await response.text()
    expect(page).toMatch(/id="us-password-err">.*Must not be one of the passwords that are tried first\./)
    expect(page).toContain('value="anna"')
    expect(page).not.toContain('password1234')
  })

  test('a project is made, renamed and deleted under its name', async () => {
    const pages = makePages()
    await pages.post('/projects', { name: 'store', description: 'x' })
    await pages.post('/projects/shop/edit', { name: 'store', description: 'y' })
    expect((await pages.post('/projects/shop/delete', { confirm: 'shpo' })).status).toBe(422)
    expect((await pages.post('/projects/shop/delete', { confirm: 'shop' })).status).toBe(303)
    expect(pages.app.writes.map((write) => write.what)).toEqual(['project.create', 'project.patch', 'project.delete'])
  })
})

describe('sign-in', () => {
  test('sets the cookie and goes where it was asked', async () => {
    const pages = makePages({ caller: null })
    const response = await pages.post('/login', { name: 'admin', password: 'right-password', next: '/vms?q=web' })
    expect(response.status).toBe(303)
    expect(response.headers.get('Location')).toBe('/vms?q=web')
    expect(response.headers.get('Set-Cookie')).toContain(`__Host-novacron=${cookie}`)
  })

  test('says no in place, keeps the name, never the password', async () => {
    const response = await makePages({ caller: null }).post('/login', { name: 'admin', password: 'wrong-one' })
    expect(response.status).toBe(401)
    const page = await response.text()
    expect(page).toContain('User name or password is wrong.')
    expect(page).toContain('value="admin"')
    expect(page).not.toContain('wrong-one')
    expect(response.headers.get('Set-Cookie')).toBeNull()
  })

  test.each(['//evil.example', '/\\evil.example', 'https://evil.example', 'javascript:alert(1)', '', '/login', '/a\nb', '\\\\evil'])('goes to no other site: %j', (next) => {
    expect(localPath(next)).toBe('/')
  })

  test('local paths stay', () => {
    for (const next of ['/', '/vms?q=a%20b&sort=-name', '/nodes/n1#x']) expect(localPath(next)).toBe(next)
  })
})
