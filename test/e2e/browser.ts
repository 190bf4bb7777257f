// A browser for end-to-end tests: pages that remember every console error and policy violation, and axe on what is seen.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core'

const axeSource = readFileSync(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8')
const rules = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']

export type Seat = { readonly context: BrowserContext; readonly page: Page; /** What went wrong in the page so far. */ readonly troubles: string[] }
export type SeatOptions = { readonly width?: number; readonly height?: number; readonly dark?: boolean }

/** The lab's certificates come from its own CA, which no browser knows. */
export async function openBrowser(): Promise<Browser> {
  return await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] })
}

export async function sit(browser: Browser, options: SeatOptions = {}): Promise<Seat> {
  const context = await browser.newContext({
    ignoreHTTPSErrors: true, viewport: { width: options.width ?? 1440, height: options.height ?? 900 }, colorScheme: options.dark === true ? 'dark' : 'light', reducedMotion: 'reduce',
  })
  const page = await context.newPage()
  const troubles: string[] = []
  page.on('console', (message) => {
    // Another lab on this machine that comes or goes makes Chromium drop what is under way; it is no fault of the page.
    if (message.text().includes('ERR_NETWORK_CHANGED')) return
    if ((message.type() === 'error' || message.type() === 'warning') && !isAdvice(message.text())) troubles.push(`${page.url()}: ${message.text()}`)
  })
  page.on('pageerror', (error) => troubles.push(`${page.url()}: ${error.message}`))
  return { context, page, troubles }
}

export async function signIn(page: Page, url: string, password: string): Promise<void> {
  await page.goto(`${url}/login`)
  await page.getByLabel('User name').fill('admin')
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.waitForURL(`${url}/`)
}

/** Findings of axe on the page as it stands; empty is good. */
export async function findings(page: Page): Promise<string[]> {
  // As the debugger, not as a <script>: the page's policy rightly refuses those.
  await page.evaluate(axeSource)
  return await page.evaluate(async (tags) => {
    type Result = { violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[] }
    const { axe, document } = globalThis as unknown as { axe: { run(target: unknown, options: object): Promise<Result> }; document: unknown }
    const { violations } = await axe.run(document, { runOnly: tags })
    return violations.map((violation) => `${violation.impact} ${violation.id}: ${violation.nodes.slice(0, 2).map((node) => `${node.html.slice(0, 200)} ${node.failureSummary}`).join(' | ')}`)
  }, rules)
}

/** Width by which something sticks out beyond the window; 0 is good. */
export async function overhang(page: Page): Promise<number> {
  return await page.evaluate('Math.max(0, document.documentElement.scrollWidth - innerWidth)')
}

/** Text of the terminal on the page. */
export async function screenText(page: Page): Promise<string> {
  return await page.locator('.xterm-rows').innerText()
}

/** Chromium's hint about noVNC's canvas, which comes or not as it draws by software. */
function isAdvice(text: string): boolean {
  return text.startsWith('Canvas2D: Multiple readback operations')
}
