// The page of backups: the last one, a file as the form's answer, and the exact commands for a lost cluster.
import { describe, expect, test } from 'vitest'
import { makePages } from './pages.ts'
import { refusal } from './stand-in.ts'

const passphrase = 'correct horse battery staple'

test('says what the last one was, or that there is none', async () => {
  const pages = makePages()
  const text = await (await pages.get('/recovery')).text()
  expect(text).toMatch(/<dt>By<\/dt><dd>admin<\/dd><dt>Through<\/dt><dd>n1<\/dd>/)
  expect(text).toContain('novacron cluster restore FILE --dry-run')
  expect(text).toContain('novacron cluster recover --others-are-off')
  pages.app.scene.lastBackup = null
  expect(await (await pages.get('/recovery')).text()).toContain('No backup was handed over to its end.')
})

test('without a quorum it says what that means here', async () => {
  const pages = makePages()
  pages.app.scene.freshness = { ...pages.app.scene.freshness, quorum: false, leader: null }
  expect(await (await pages.get('/recovery')).text()).toMatch(/There is no quorum:<\/b> \d of 3 voters/)
})

describe('the form', () => {
  test('is answered by the file', async () => {
    const pages = makePages()
    const response = await pages.post('/recovery', { passphrase, again: passphrase })
    expect(response.status).toBe(201)
    expect(response.headers.get('Content-Disposition')).toBe('attachment; filename="atlas.novabackup"')
    expect(await response.text()).toBe('novacron-backup\n')
    expect(pages.app.writes.at(-1)).toMatchObject({ what: 'backup.create', body: { passphrase } })
    await pages.post('/recovery', { passphrase: '', again: '', withoutKey: 'yes' })
    expect(pages.app.writes.at(-1)).toMatchObject({ body: { passphrase: null } })
  })
  test('says at its field what is wrong, and never shows what was typed', async () => {
    const pages = makePages()
    const differing = await pages.post('/recovery', { passphrase, again: 'another' })
    expect(differing.status).toBe(422)
    const text = await differing.text()
    expect(text).toMatch(/id="bk-again-err">.*Both differ\./)
    expect(text).not.toContain(passphrase)
    expect((await pages.post('/recovery', { passphrase, again: passphrase, withoutKey: 'yes' })).status).toBe(422)
    expect(pages.app.writes).toEqual([])
    pages.app.refuse = refusal('INVALID', 'The input is not valid.', [{ path: 'passphrase', message: 'must have at least 12 characters' }])
    expect(await (await pages.post('/recovery', { passphrase: 'short', again: 'short' })).text()).toMatch(/id="bk-pass-err">.*12 characters/)
  })
})

test('without a quorum what this node has can be saved: that button does not rest', async () => {
  const pages = makePages()
  pages.app.scene.freshness = { ...pages.app.scene.freshness, quorum: false, leader: null }
  const text = await (await pages.get('/recovery')).text()
  expect(text).toMatch(/<button type="submit" class="btn" name="local" value="yes" id="bk-local">Save what n2 has/)
  expect(text).toContain('novacron cluster recover --accept-loss --dry-run')
  expect((await pages.post('/recovery', { passphrase, again: passphrase, local: 'yes' })).status).toBe(201)
  expect(pages.app.writes.at(-1)).toMatchObject({ what: 'backup.create', body: { passphrase, local: true } })
})
