// Pictures of all pages a person can get to, in four sizes and two themes, with empty, error and no-quorum states: `make screenshots`.
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { Browser, Page } from 'playwright-core'
import { openBrowser, overhang, signIn, sit } from './browser.ts'
import { Lab, novacron } from './lab-runner.ts'

const { values } = parseArgs({ options: { out: { type: 'string', default: join(import.meta.dirname, '../../build/screenshots') }, lab: { type: 'string' }, quick: { type: 'boolean', default: false } } })
const sizes = [['wide', 1440, 900], ['laptop', 1024, 768], ['tablet', 768, 1024], ['phone', 390, 844]] as const
const themes = ['light', 'dark'] as const
const uuid = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g
/** Long enough for live cells and charts to draw. */
const settleMs = 700
const consoleMs = 3_000
const pagesMax = 80

let pictures = 0
const faults: string[] = []

async function shoot(page: Page, folder: string, name: string): Promise<void> {
  mkdirSync(join(values.out, folder), { recursive: true })
  await delay(name.includes('console') ? consoleMs : settleMs)
  const over = await overhang(page)
  if (over > 0) faults.push(`${folder}/${name} sticks out by ${over} px`)
  await page.screenshot({ path: join(values.out, folder, `${name}.png`) })
  pictures++
}

/** One picture for each kind of page: what differs only in a name or an id is one kind. */
function kindOf(path: string, names: readonly string[]): string {
  const parts = path.replaceAll(uuid, 'id').split('/').map((part) => (names.includes(decodeURIComponent(part)) ? 'name' : part))
  const slug = parts.join('-').replace(/^-+|-+$/g, '')
  return slug === '' ? 'overview' : slug
}

/** Every page that links lead to, a path for each kind. */
async function findPages(page: Page, url: string, names: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>([['overview', '/']])
  for (const path of found.values()) {
    if (found.size > pagesMax) throw new Error('links lead to ever more kinds of pages')
    await page.goto(url + path)
    const hrefs = await page.$$eval('a[href^="/"]', (links) => links.map((link) => link.getAttribute('href') ?? ''))
    for (const href of hrefs) {
      const { pathname } = new URL(href, url)
      // Documents, downloads and signing out are no pages.
      if (/^\/(?:api|assets|metrics|logout|login)/.test(pathname) || href.includes('export')) continue
      const kind = kindOf(pathname, names)
      if (!found.has(kind)) found.set(kind, pathname)
    }
  }
  return found
}

async function eachLook(browser: Browser, url: string, password: string, look: (page: Page, folder: string) => Promise<void>): Promise<void> {
  for (const [size, width, height] of values.quick ? sizes.filter(([name]) => name === 'wide' || name === 'phone') : sizes) {
    for (const theme of values.quick ? (['light'] as const) : themes) {
      const { context, page, troubles } = await sit(browser, { width, height, dark: theme === 'dark' })
      await page.goto(`${url}/login`)
      await shoot(page, `${size}-${theme}`, 'login')
      await signIn(page, url, password)
      await look(page, `${size}-${theme}`)
      faults.push(...troubles.filter((trouble) => !/40[14]|503/.test(trouble)))
      await context.close()
    }
  }
}

const lab = new Lab(...(values.lab === undefined ? [] : [values.lab] as const))
const browser = await openBrowser()
try {
  const report = await lab.up(3)
  const url = report.nodes[0]!.url
  const password = readFileSync(join(lab.dir, 'admin-password'), 'utf8').trim()
  rmSync(values.out, { recursive: true, force: true })
  await eachLook(browser, url, password, async (page, folder) => {
    for (const [name, path] of [['empty-vms', '/vms'], ['empty-operations', '/operations'], ['error-not-found', '/nothing-here'], ['error-no-such-vm', '/vms/no-such-vm']] as const) {
      await page.goto(url + path)
      await shoot(page, folder, name)
    }
  })
  const vms = ['web', 'db', 'mail'].map((name) => `${name}-1`)
  for (const [at, name] of vms.entries()) await novacron(['vm', 'create', name, '--image', 'tiny', '--memory', '128', '--label', `tier=${name}`, ...(at < 2 ? ['--start'] : [])], { env: lab.env('node1') })
  const { page: scout, context } = await sit(browser)
  await signIn(scout, url, password)
  const pages = await findPages(scout, url, [...vms, ...report.nodes.map((node) => node.name), 'tiny', 'admin', 'initial', 'default'])
  await context.close()
  await eachLook(browser, url, password, async (page, folder) => {
    for (const [name, path] of pages) {
      await page.goto(url + path)
      await shoot(page, folder, name)
    }
  })
  const others = report.nodes.slice(1).map((node) => node.name).join(',')
  // Signing in works without quorum too.
  await lab.run('partition', `node1|${others}`)
  await delay(2_000)
  await eachLook(browser, url, password, async (page, folder) => {
    for (const [name, path] of [['no-quorum-overview', '/'], ['no-quorum-vms', '/vms'], ['no-quorum-name', `/vms/${vms[0]}`]] as const) {
      await page.goto(url + path)
      await shoot(page, folder, name)
    }
  })
  await lab.run('heal')
} finally {
  await browser.close()
  if (values.lab === undefined) {
    await lab.run('down', '--purge')
    rmSync(dirname(lab.dir), { recursive: true, force: true })
  }
}
console.log(`${pictures} pictures in ${values.out}`)
for (const fault of new Set(faults)) console.log(`fault: ${fault}`)
if (faults.length > 0) process.exitCode = 1
