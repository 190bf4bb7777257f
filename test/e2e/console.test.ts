// Consoles as people use them: the screen and the serial line of a VM on node3 from node1's pages, through stops and the death of its host.
import { spawn } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { createConnection } from 'node:net'
import { dirname, join } from 'node:path'
import type { Page } from 'playwright-core'
import t from 'tap'
import { WebSocket } from 'ws'
import { findings, openBrowser, overhang, screenText, signIn, sit } from './browser.ts'
import { Api } from './lab-api.ts'
import { eventually, Lab } from './lab-runner.ts'
import { ConsoleReader } from './lab-truth.ts'

t.setTimeout(600_000)
const lab = new Lab()
const api = new Api(lab)
const browser = await openBrowser()
t.teardown(async () => {
  await browser.close()
  await lab.run('down', '--purge')
  rmSync(dirname(lab.dir), { recursive: true, force: true })
})
await lab.up(3)
const password = readFileSync(join(lab.dir, 'admin-password'), 'utf8').trim()
const { url } = lab.node('node1')
const { id } = await api.createVm('node1', 'web', { on: 'node3' })
const { id: other } = await api.createVm('node1', 'other', { on: 'node1' })

/** Bright dots on the canvas. */
async function lit(page: Page): Promise<number> {
  return await page.evaluate(`(() => {
    const canvas = document.querySelector('#console canvas')
    if (!canvas || !canvas.width) return 0
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    let lit = 0
    for (let at = 0; at < data.length; at += 4) if (data[at] > 96) lit++
    return lit
  })()`)
}
const stateOf = (page: Page) => page.locator('#console-state').innerText()
const connected = (page: Page, timeout = 60_000) => page.locator('#console-state').getByText('Connected', { exact: true }).waitFor({ timeout })
const lastTick = async (page: Page) => Number([...(await screenText(page)).matchAll(/tick (\d+)/g)].at(-1)?.[1] ?? 0)
/** A broken connection is told in the browser's own console; these tests break them. */
const own = (troubles: readonly string[]) => troubles.filter((trouble) => !/willReadFrequently|WebSocket|Failed when connecting|Connection closed|status of (?:409|5\d\d)|ERR_/.test(trouble))

/** `101`, or the status and code of a refusal. */
async function handshake(node: string, path: string): Promise<string> {
  const socket = new WebSocket(`${lab.node(node).url.replace('https', 'wss')}${path}`, { ca: readFileSync(lab.report?.caFile ?? '') })
  const { promise, resolve } = Promise.withResolvers<string>()
  socket.on('open', () => resolve('101'))
  socket.on('unexpected-response', (_request, response) => {
    let text = ''
    response.on('data', (chunk: Buffer) => (text += chunk.toString()))
    response.on('end', () => resolve(`${response.statusCode} ${(JSON.parse(text) as { code: string }).code}`))
  })
  socket.on('error', (error) => resolve(error.message))
  try {
    return await promise
  } finally {
    socket.terminate()
  }
}

const screen = await sit(browser)
await signIn(screen.page, url, password)
const serial = await screen.context.newPage()

await t.test('the screen of a VM on node3 is seen on a page of node1, and takes keys', async (t) => {
  const { page } = screen
  await page.goto(`${url}/vms/web`)
  await page.getByRole('link', { name: 'Console' }).first().click()
  await page.getByRole('navigation', { name: 'Console' }).getByRole('link', { name: 'Screen' }).click()
  await page.waitForURL(`${url}/vms/web/screen`)
  await connected(page)
  await eventually('a picture', 60_000, async () => (await lit(page)) > 300)
  const reader = new ConsoleReader(lab, 'node2', id)
  t.teardown(() => reader.close())
  await eventually('the guest is up', 60_000, () => reader.tick > 0)
  await page.locator('#console canvas').click()
  await page.keyboard.type('hello there')
  await page.keyboard.press('Enter')
  await eventually('the guest read it', 20_000, () => reader.text.includes('typed on the screen: hello there'))
  await page.keyboard.press('Control+Shift+Escape')
  t.equal(await page.evaluate('document.activeElement.tagName'), 'MAIN', 'the keyboard leaves the screen')
  t.same(await findings(page), [])
  for (const [width, height] of [[390, 844], [1024, 768], [1440, 900]] as const) {
    await page.setViewportSize({ width, height })
    t.equal(await overhang(page), 0, `nothing sticks out at ${width}`)
  }
  await page.getByRole('button', { name: 'Fit to window' }).click()
  t.equal(await page.locator('#screen-scale').getAttribute('aria-pressed'), 'false')
  await page.getByRole('button', { name: 'Fit to window' }).click()
  t.same(screen.troubles, [], 'no console error, no policy violation')
})

await t.test('the page of another loads nothing of it', async (t) => {
  const loaded: string[] = []
  const page = await screen.context.newPage()
  page.on('request', (request) => loaded.push(new URL(request.url()).pathname))
  await page.goto(`${url}/vms/web`)
  t.notOk(loaded.some((path) => /novnc|xterm|screen\.|console/.test(path)), loaded.join(' '))
  await page.close()
})

await t.test('the serial console too, beside it', async (t) => {
  await serial.goto(`${url}/vms/web/console`)
  await connected(serial)
  await eventually('it ticks', 30_000, async () => (await lastTick(serial)) > 0)
  await serial.locator('#console').click()
  await serial.keyboard.type('good day')
  await serial.keyboard.press('Enter')
  await eventually('the guest answers', 20_000, async () => (await screenText(serial)).includes('echo: good day'))
  t.same(await findings(serial), [])
})

await t.test('both say that the VM is off, and come back when it is started', async (t) => {
  const reader = new ConsoleReader(lab, 'node1', id)
  t.teardown(() => reader.close())
  await eventually('a reader of bytes has it too', 20_000, () => reader.tick > 0)
  await api.act('node2', 'web', 'stop', { force: true })
  await eventually('which is told of an end, not of a break', 10_000, () => reader.closes.length > 0)
  t.equal(reader.closes[0], '1000 the console ended')
  for (const page of [screen.page, serial]) await page.locator('#console-state').getByText('The VM is off').waitFor({ timeout: 30_000 })
  t.match(await serial.locator('#console-note').innerText(), 'start it')
  t.equal(await lit(screen.page), 0)
  await api.act('node2', 'web', 'start')
  for (const page of [screen.page, serial]) await connected(page)
  await eventually('a picture', 60_000, async () => (await lit(screen.page)) > 300)
  const from = await lastTick(serial)
  await eventually('it ticks on', 60_000, async () => (await lastTick(serial)) !== from)
  t.ok(reader.connections >= 2)
  t.same(own(screen.troubles), [])
})

await t.test('both come back after the death of its host', async (t) => {
  await lab.run('kill', 'node3')
  for (const page of [screen.page, serial]) await eventually('the page says so', 30_000, async () => !(await stateOf(page)).includes('Connected'))
  for (const page of [screen.page, serial]) await eventually('and why', 30_000, async () => /Waiting for the VM|Reconnecting/.test(await stateOf(page)) && (await page.locator('#console-note').innerText()) !== '')
  await lab.run('start', 'node3')
  for (const page of [screen.page, serial]) await connected(page, 120_000)
  await eventually('a picture', 60_000, async () => (await lit(screen.page)) > 300)
  const from = await lastTick(serial)
  await eventually('it ticks on', 60_000, async () => (await lastTick(serial)) !== from)
  t.same(own(screen.troubles), [])
})

await t.test('a new leader does not disturb them, or they come back', async (t) => {
  const leader = await api.leader('node1')
  const pid = (await lab.status()).nodes.find((node) => node.name === leader)?.pid ?? 0
  process.kill(pid, 'SIGKILL')
  await eventually('another leads, or the same again', 60_000, async () => ['node1', 'node2', 'node3'].includes(await api.leader('node2').catch(() => '')))
  for (const page of [screen.page, serial]) await connected(page, 60_000)
  const from = await lastTick(serial)
  await eventually('it ticks on', 60_000, async () => (await lastTick(serial)) > from)
  t.pass('both are there')
})

await t.test('a VNC viewer sees it through the command line', async (t) => {
  const child = spawn(join(import.meta.dirname, '..', '..', 'novacron'), ['vm', 'screen', 'web', '--json'], { env: { ...process.env, ...lab.env('node2') } })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const exit = new Promise<number | null>((resolve) => child.on('exit', resolve))
  await eventually(`the port (${stderr})`, 30_000, () => stdout.trimEnd().endsWith('}'))
  const { host, port } = JSON.parse(stdout) as { host: string; port: number }
  for (let viewer = 0; viewer < 2; viewer++) {
    const socket = createConnection({ host, port })
    const greeting = await new Promise<string>((resolve, reject) => socket.once('data', (chunk) => resolve(chunk.toString())).once('error', reject))
    t.equal(greeting, 'RFB 003.008\n')
    socket.destroy()
  }
  child.kill('SIGINT')
  t.equal(await exit, 0, stderr)
})

await t.test('whoever signs out loses them within a second; a ticket serves once, and none is in a log', async (t) => {
  const { body } = await api.expect(200, 'node1', 'POST', '/api/v1/vms/web/console', { body: { type: 'screen' } })
  const { url: path, ticket } = body as { url: string; ticket: string }
  const wrong = [path.replace('type=screen', 'type=serial'), path.replace(id, other), `${path.slice(0, -9)}AAAAAAAAA`]
  for (const each of wrong) t.equal(await handshake('node2', each), '401 TICKET_INVALID', 'for another kind, for another VM, altered')
  t.equal(await handshake('node2', path.slice(0, path.indexOf('&ticket'))), '401 UNAUTHENTICATED', 'without')
  t.equal(await handshake('node2', path), '101', 'once, at a node that did not issue it')
  for (const node of ['node1', 'node2', 'node3']) t.equal(await handshake(node, path), '401 TICKET_INVALID', `and not again at ${node}`)

  const elsewhere = await screen.context.newPage()
  await elsewhere.goto(`${url}/nodes`)
  await elsewhere.getByRole('button', { name: 'Account of admin' }).click()
  const startedMs = Date.now()
  await elsewhere.getByRole('button', { name: 'Sign out' }).click()
  await serial.waitForURL(/\/login/, { timeout: 10_000 })
  t.ok(Date.now() - startedMs < 3_000, `the serial console was gone after ${Date.now() - startedMs} ms, login page and all`)
  await screen.page.waitForURL(/\/login/, { timeout: 10_000 })
  for (const node of ['node1', 'node2', 'node3']) {
    const log = readFileSync(join(lab.dir, node, 'log', 'novacron.log'), 'utf8')
    t.notOk(log.includes('ticket=') || log.includes(ticket), `${node} logged no ticket`)
  }
})
