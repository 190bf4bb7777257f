// The pages as people use them, in Chromium on a real three-node cluster.
import { readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { findings, openBrowser, overhang, screenText, signIn, sit } from './browser.ts'
import { eventually, Lab } from './lab-runner.ts'

t.setTimeout(900_000)
// A lab that somebody keeps up may be used; else one of our own, gone afterwards.
const kept = process.env['NOVACRON_TEST_LAB']
const lab = new Lab(...(kept === undefined ? [] : [kept] as const))
const browser = await openBrowser()
t.teardown(async () => {
  await browser.close()
  if (kept !== undefined) return
  await lab.run('down', '--purge')
  rmSync(dirname(lab.dir), { recursive: true, force: true })
})
const report = await lab.up(3)
const password = readFileSync(join(lab.dir, 'admin-password'), 'utf8').trim()
const [first, second, third] = report.nodes.map((node) => node.url)
if (first === undefined || second === undefined || third === undefined) throw new Error('the lab has fewer than three nodes')
const name = `web-${Date.now().toString(36)}`

/** Running QEMU processes of the VM on a host, by the host's own word. */
async function domainsOn(node: string): Promise<string> {
  return (await lab.run('exec', node, '--', 'virsh', '-c', 'qemu:///system', 'list', '--name')).stdout
}

/** What the cluster and its host's log last said of the VM. */
async function howItStands(): Promise<string> {
  const { items } = (await lab.get('node1', '/api/v1/operations?limit=3')).body as { readonly items: unknown }
  const said = (await lab.run('exec', 'node1', '--', 'tail', '-n', '400', join(lab.dir, 'node1', 'log', 'novacron.log'))).stdout
  const log = said.split('\n').filter((line) => /vm action|vm reconcile|power off/.test(line)).slice(-6)
  return JSON.stringify({ vm: (await lab.get('node1', `/api/v1/vms/${name}`)).body, operations: items, log })
}

await t.test('signing in: refused in place, then where one wanted to go', async (t) => {
  const { context, page, troubles } = await sit(browser)
  await page.goto(`${second}/vms?sort=-memory`)
  t.equal(new URL(page.url()).pathname, '/login')
  await page.getByLabel('User name').fill('admin')
  await page.getByLabel('Password').fill('not-the-password')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('wrong', { exact: false }).waitFor()
  t.equal(await page.getByLabel('User name').inputValue(), 'admin')
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('heading', { name: 'Virtual machines', level: 1 }).waitFor()
  t.equal(page.url(), `${second}/vms?sort=-memory`)
  t.same(troubles.filter((trouble) => !trouble.includes('401')), [])
  await context.close()
})

await t.test('a VM is created, shows its state live, is seen on another node and by virsh', async (t) => {
  const { context, page, troubles } = await sit(browser)
  await signIn(page, first, password)
  const other = await context.newPage()
  await signIn(other, third, password)
  await other.goto(`${third}/vms`)

  await page.goto(`${first}/vms/new`)
  await page.getByLabel('Name', { exact: true }).fill('Not A Name')
  await page.locator('.picks').getByText('tiny', { exact: true }).click()
  await page.getByRole('button', { name: 'Create VM' }).click()
  await page.getByText('One field needs your attention').waitFor()
  t.equal(await page.locator('#vm-name').inputValue(), 'Not A Name', 'what was typed is kept')
  t.equal(await page.evaluate('document.activeElement.id'), 'form-errors', 'the summary of errors has the focus')
  await page.locator('#vm-name').fill(name)
  await page.getByLabel('Node', { exact: true }).selectOption('node1')
  await page.locator('#summary').getByText('node1', { exact: true }).waitFor()
  t.match(await page.locator('#summary').textContent(), `novacron vm create ${name} --image tiny`)
  await page.getByRole('button', { name: 'Create VM' }).click()
  await page.waitForURL(`${first}/vms/${name}`)
  await page.evaluate('window.sameDocument = true')
  await page.locator('#vm-state').getByText('Running').waitFor({ timeout: 60_000 })
  t.ok(await page.evaluate('window.sameDocument'), 'the state came without a reload')
  await eventually('an address on the page', 60_000, async () => /\d+\.\d+\.\d+\.\d+/.test(await page.locator('#vm-details').innerText()))
  t.match(await domainsOn('node1'), name, 'virsh agrees')

  await other.getByText('1 new').waitFor({ timeout: 10_000 })
  await other.getByRole('link', { name: 'Refresh' }).click()
  await other.getByRole('link', { name, exact: true }).waitFor()
  t.same(troubles.filter((trouble) => !trouble.includes('422')), [])
  await context.close()
})

await t.test('its console ticks in the browser on another node, and takes keys', async (t) => {
  const { context, page, troubles } = await sit(browser)
  await signIn(page, second, password)
  await page.goto(`${second}/vms/${name}/console`)
  await page.locator('#console-state').getByText('Connected').waitFor({ timeout: 20_000 })
  await eventually('a tick on the screen', 60_000, async () => /tick/i.test(await screenText(page)))
  const before = await screenText(page)
  await eventually('another tick', 20_000, async () => (await screenText(page)) !== before)
  await page.locator('#console').click()
  await page.keyboard.type('echo typed-in-the-browser\n')
  await eventually('what was typed', 20_000, async () => (await screenText(page)).includes('typed-in-the-browser'))
  t.same(await findings(page), [])
  await page.keyboard.press('Control+Shift+Escape')
  t.equal(await page.evaluate('document.activeElement.id'), 'main', 'the keyboard leaves the console')
  t.same(troubles, [], 'the terminal runs under the strict policy')
  await context.close()
})

const walk = (vm: string, operation: string) => [
  '/', '/vms', '/vms?q=no-such-vm', '/vms/new', `/vms/${vm}`, `/vms/${vm}/edit`, `/vms/${vm}/events`, `/vms/${vm}/delete`, '/nodes', '/nodes/node2', '/consensus', '/consensus/node2', '/images', '/operations', operation, '/events', '/access', '/users', '/users/admin', '/projects', '/audit', '/recovery', '/nothing-here',
]

await t.test('axe finds nothing on any page: wide, narrow, dark, light; nothing sticks out', async (t) => {
  for (const options of [{ width: 1440 }, { width: 1024, dark: true }, { width: 390, height: 844, dark: true }]) {
    const { context, page, troubles } = await sit(browser, options)
    t.same(await page.goto(`${second}/login`).then(() => findings(page)), [], 'sign-in')
    await signIn(page, second, password)
    await page.goto(`${second}/operations`)
    const operation = (await page.locator('#ops a').first().getAttribute('href').catch(() => null)) ?? '/operations'
    for (const path of walk(name, operation)) {
      await page.goto(`${second}${path}`)
      t.same(await findings(page), [], `${path} at ${options.width}${options.dark === true ? ' dark' : ''}`)
      t.equal(await overhang(page), 0, `${path} at ${options.width} fits`)
    }
    await page.goto(`${second}/vms`)
    await page.keyboard.press('Control+k')
    await page.locator('#palette[open]').waitFor()
    t.same(await findings(page), [], `palette at ${options.width}`)
    t.same(troubles.filter((trouble) => !(trouble.includes('404') && trouble.includes('nothing-here'))), [], 'no console error, no policy violation')
    await context.close()
  }
})

await t.test('without a mouse: palette, stop, filter, select, start', async (t) => {
  const { context, page, troubles } = await sit(browser)
  const { keyboard } = page
  await page.goto(`${first}/login`)
  await keyboard.press('Tab')
  await keyboard.type('admin')
  await keyboard.press('Tab')
  await keyboard.type(password)
  await keyboard.press('Enter')
  await page.waitForURL(`${first}/`)
  await keyboard.press('Tab')
  t.equal(await page.evaluate('document.activeElement.textContent'), 'Skip to content')
  await keyboard.press('/')
  await page.locator('#palette[open]').waitFor()
  await keyboard.type(name)
  await page.locator('#found').getByText(name, { exact: true }).waitFor()
  await keyboard.press('Enter')
  await page.waitForURL(`${first}/vms/${name}`)
  await page.locator('#vm-state').getByText('Running').waitFor()
  await keyboard.press('Control+k')
  await keyboard.type('shut down')
  await page.locator('#found').getByText(`Shut down ${name}`).waitFor()
  await keyboard.press('Enter')
  await page.locator('#toasts').getByText(`Stopping ${name}`).waitFor()
  await page.locator('#vm-state').getByText('Stopped').waitFor({ timeout: 90_000 })
  t.notMatch(await domainsOn('node1'), name, 'virsh agrees')
  await keyboard.press('g')
  await keyboard.press('v')
  await page.waitForURL(`${first}/vms`)
  await keyboard.press('f')
  await keyboard.type(name)
  await eventually('one row', 10_000, async () => (await page.locator('#vms tbody tr').count()) === 1)
  await page.waitForURL(new RegExp(`q=${name}`))
  t.equal(await page.evaluate('document.activeElement.id'), 'q', 'the filter keeps the focus')
  await page.locator('#q').blur()
  await keyboard.press('j')
  await keyboard.press('x')
  await page.locator('.bulk').getByText('1 selected').waitFor()
  await page.locator('.bulk').getByRole('button', { name: 'Start' }).focus()
  await keyboard.press('Enter')
  await page.locator('#bulk-results').getByText('Start: 1').waitFor()
  await page.locator('#vms').getByText('Running').waitFor({ timeout: 60_000 })
  t.same(troubles, [])
  await context.close()
})

await t.test('what others do does not disturb: focus, ticks and typed text survive', async (t) => {
  const { context, page, troubles } = await sit(browser)
  await signIn(page, third, password)
  await page.goto(`${third}/vms`)
  await page.locator('.pick').first().check()
  await page.locator('#q').focus()
  await page.keyboard.type('wa')
  const acting = await sit(browser)
  await signIn(acting.page, first, password)
  await acting.page.goto(`${first}/vms/${name}`)
  await acting.page.getByRole('button', { name: 'Pause' }).click()
  await page.goto(`${third}/vms`)
  await page.locator('.pick').first().check()
  await page.getByRole('button', { name: `Actions for ${name}` }).click()
  await acting.page.locator('#vm-state').getByText('Paused').waitFor({ timeout: 20_000 })
  await page.locator('#vms').getByText('Paused').waitFor({ timeout: 10_000 })
  t.ok(await page.locator('.pick').first().isChecked(), 'the tick is still there')
  t.ok(await page.locator('#vm-menu').evaluate((menu) => menu.matches(':popover-open')), 'the menu is still open')
  await acting.page.getByRole('button', { name: 'Resume' }).click()
  await page.locator('#vms').getByText('Running').first().waitFor({ timeout: 20_000 })
  t.same([...troubles, ...acting.troubles], [])
  await acting.context.close()
  await context.close()
})

await t.test('a token is made, shown once, opens the API, and is revoked', async (t) => {
  const { context, page, troubles } = await sit(browser)
  await signIn(page, second, password)
  await page.goto(`${second}/access`)
  await page.getByLabel('Name of a new token').fill(`t-${name}`)
  await page.getByRole('button', { name: 'Make a token' }).click()
  const secret = await page.locator('#secret code').innerText()
  t.match(secret, /^nct_/)
  const ask = async () => (await page.request.get(`${second}/api/v1/nodes`, { headers: { Authorization: `Bearer ${secret}` } })).status()
  t.equal(await ask(), 200)
  await page.goto(`${second}/access`)
  t.notMatch(await page.content(), secret)
  await page.locator('#tokens tr', { hasText: `t-${name}` }).getByRole('button', { name: 'Revoke' }).click()
  await page.getByText('The token is revoked').waitFor()
  t.equal(await ask(), 401)
  t.same(troubles, [])
  await context.close()
})

await t.test('an image is uploaded with the form, a file that is none is refused in place', async (t) => {
  const { context, page, troubles } = await sit(browser)
  await signIn(page, second, password)
  await page.goto(`${second}/images`)
  await page.locator('#image-name').fill(`i-${name}`)
  await page.locator('#image-file').setInputFiles({ name: 'none.qcow2', mimeType: 'application/octet-stream', buffer: Buffer.from('this is no disk image, whatever its name says') })
  await page.getByRole('button', { name: 'Upload' }).click()
  await page.locator('#upload-note').getByText('IMAGE_UNREADABLE').waitFor({ timeout: 30_000 })
  await page.locator('#image-file').setInputFiles(join(lab.dir, 'tiny.qcow2'))
  await page.getByRole('button', { name: 'Upload' }).click()
  const row = page.locator('#images tr', { hasText: `i-${name}` })
  await row.waitFor({ timeout: 60_000 })
  t.match(await row.innerText(), 'qcow2')
  await row.getByRole('link', { name: 'Delete' }).click()
  await page.locator('#image-confirm').fill(`i-${name}`)
  await page.getByRole('button', { name: `Delete i-${name}` }).click()
  await page.waitForURL(`${second}/images`)
  t.equal(await row.count(), 0)
  t.same(troubles.filter((trouble) => !trouble.includes('422')), [])
  await context.close()
})

await t.test('a page that loses quorum says so within seconds, refuses in place, and recovers', async (t) => {
  const { context, page } = await sit(browser)
  await signIn(page, third, password)
  await page.goto(`${third}/vms/new`)
  await page.locator('#vm-name').fill('typed-before')
  await page.locator('#pulse').getByText('Quorum 3 of 3').waitFor()
  await lab.run('partition', 'node1,node2|node3')
  try {
    await page.locator('.alarm').waitFor({ timeout: 15_000 })
    t.match(await page.locator('.alarm').innerText(), 'no quorum')
    t.equal(await page.locator('#create').getAttribute('aria-disabled'), 'true')
    t.equal(await page.locator('#vm-name').inputValue(), 'typed-before')
    t.match(await page.title(), /^\(!\)/)
    // Sign-in and reading go on there.
    const late = await sit(browser)
    await signIn(late.page, third, password)
    t.match(await late.page.locator('#as-of').innerText(), /^as of \d\d:\d\d:\d\d$/)
    t.same(await findings(late.page), [])
    await late.context.close()
  } finally {
    await lab.run('heal')
  }
  await page.locator('#pulse').getByText(/^Quorum [23] of 3/).waitFor({ timeout: 30_000 })
  await eventually('the button', 10_000, async () => (await page.locator('#create').getAttribute('aria-disabled')) === null)
  t.equal(await page.locator('#vm-name').inputValue(), 'typed-before', 'what was typed is still there')
  await context.close()
})

await t.test('deletion asks for the name; signing out ends other pages too', async (t) => {
  const { context, page, troubles } = await sit(browser)
  await signIn(page, first, password)
  await page.goto(`${first}/vms/${name}`)
  await page.getByRole('button', { name: 'More actions' }).click()
  await page.getByRole('link', { name: 'Delete…' }).click()
  const button = page.getByRole('button', { name: `Delete ${name}` })
  t.equal(await button.getAttribute('aria-disabled'), 'true')
  await page.locator('#delete-confirm').fill(name)
  t.equal(await button.getAttribute('aria-disabled'), 'false')
  await button.click()
  await page.waitForURL(`${first}/vms`)
  await eventually('the domain to be gone', 90_000, async () => !(await domainsOn('node1')).includes(name), howItStands)
  await eventually('the VM to be gone', 90_000, async () => {
    const response = await page.request.get(`${first}/api/v1/vms/${name}`)
    return response.status() === 404
  })
  t.same(troubles, [])
  const otherTab = await context.newPage()
  await otherTab.goto(`${first}/nodes`)
  await page.getByRole('button', { name: 'Account of admin' }).click()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.waitForURL(`${first}/login`)
  await otherTab.waitForURL(/\/login\?next=%2Fnodes$/, { timeout: 30_000 })
  await context.close()
})
