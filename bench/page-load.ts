// Measures the first load of the pages with 1,000 VMs in Chromium: bytes on the wire, requests, and time until the page can be used.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { chromium, type Browser } from 'playwright-core'
import type { Serving } from './api-list-server.ts'
import { startChild } from './child.ts'
import { printHead } from './facts.ts'
import { createClient, require2xx, type Client } from './https-client.ts'
import { judge, median, printRaw, printSamples } from './samples.ts'
import { withCleanup } from './stop.ts'

const { values } = parseArgs({ options: { short: { type: 'boolean', default: false }, vms: { type: 'string', default: '1000' } } })
const vms = Number(values.vms)
const rounds = values.short ? 1 : 5
/** Promised: compressed bytes of a first load. */
const kibMax = 150
const writersMax = 16
const pages = ['/login', '/', '/vms', '/nodes', '/operations', '/events'] as const

type Visit = { readonly bytes: number; readonly requests: number; readonly usableMs: number; readonly paintedMs: number }

async function createVms(client: Client): Promise<void> {
  let next = 0
  await Promise.all(Array.from({ length: writersMax }, async () => {
    for (let number = next++; number < vms; number = next++) {
      const json = { name: `vm-${String(number).padStart(5, '0')}`, labels: { tier: number % 10 === 7 ? 'front' : 'back' }, spec: { cpus: 1, memoryMiB: 128, runState: 'running', disks: [{ name: 'root', sizeGiB: 1 }], nics: [{ network: 'nat' }] } }
      await require2xx(client.ask('/api/v1/vms', { method: 'POST', json }), 'creating a VM')
    }
  }))
  for (;;) {
    const { total } = (await require2xx(client.ask('/api/v1/vms?limit=1&filter=phase:running'), 'counting')).body as { total: number }
    if (total === vms) return
    await delay(250)
  }
}

/** One page with an empty cache: what came over the wire until it was loaded, and when. */
async function visit(browser: Browser, serving: Serving, path: string): Promise<Visit> {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1440, height: 900 } })
  const page = await context.newPage()
  if (path !== '/login') {
    await page.goto(`${serving.url}/login`)
    await page.getByLabel('User name').fill('admin')
    await page.getByLabel('Password').fill(serving.password)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.waitForURL(`${serving.url}/`)
  }
  const session = await context.newCDPSession(page)
  await session.send('Network.enable')
  await session.send('Network.clearBrowserCache')
  let [bytes, requests] = [0, 0]
  session.on('Network.loadingFinished', (event) => (bytes += event.encodedDataLength))
  session.on('Network.responseReceived', (event) => {
    // Of the stream of events only the head counts: it has no end.
    if (event.type !== 'EventSource') requests += 1
  })
  await page.goto(serving.url + path, { waitUntil: 'load' })
  const times = await page.evaluate(() => {
    const { performance } = globalThis as unknown as { performance: { getEntriesByType(type: string): readonly { readonly name: string; readonly startTime: number; readonly domInteractive: number; readonly domContentLoadedEventEnd: number }[] } }
    return { usable: performance.getEntriesByType('navigation')[0]?.domContentLoadedEventEnd ?? 0, painted: performance.getEntriesByType('paint').find((entry) => entry.name === 'first-contentful-paint')?.startTime ?? 0 }
  })
  await delay(200)
  await context.close()
  return { bytes, requests, usableMs: times.usable, paintedMs: times.painted }
}

await withCleanup(async (defer) => {
  const directory = await mkdtemp(join(tmpdir(), 'nc-bench-'))
  defer(() => rm(directory, { recursive: true }))
  const server = startChild({ file: 'api-list-server.ts', args: [directory, String(vms)], logPath: join(directory, 'server.log') })
  defer(() => server.stop())
  const serving = await server.next<Serving>(60_000)
  const client = createClient({ url: serving.url, ca: serving.ca, token: serving.token, socketsMax: writersMax })
  await createVms(client)
  client.close()
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] })
  defer(() => browser.close())
  printHead('page-load', [
    `one node with ${vms} running VMs on a simulated hypervisor; Chromium ${browser.version()}, an empty cache for each visit, ${rounds} visits of each page`,
    'bytes and requests on the wire until the load event, compressed as sent, heads included; usable: end of DOMContentLoaded, when all scripts of the page have run; painted: first contentful paint',
  ])
  const visits = new Map<string, Visit[]>(pages.map((path) => [path, []]))
  for (let round = 0; round < rounds; round += 1) for (const path of pages) visits.get(path)!.push(await visit(browser, serving, path))
  for (const [path, seen] of visits) {
    printSamples(`${path} usable`, seen.map((each) => each.usableMs), `painted ${median(seen.map((each) => each.paintedMs)).toFixed(0)} ms, ${median(seen.map((each) => each.requests))} requests, ${(median(seen.map((each) => each.bytes)) / 1024).toFixed(1)} KiB`)
  }
  for (const [path, seen] of visits) printRaw(path, seen.map((each) => each.usableMs))
  judge('most compressed bytes of a first load', Math.max(...[...visits.values()].flat().map((each) => each.bytes)) / 1024, kibMax, 'KiB')
})
