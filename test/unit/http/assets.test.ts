// Static files.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, expect, test } from 'vitest'
import { loadAssets } from '../../../src/http/assets.ts'
import { serve } from './harness.ts'

const directory = mkdtempSync(join(tmpdir(), 'novacron-assets-'))
const css = 'body { color: red }\n'.repeat(100)
writeFileSync(join(directory, 'app.css'), css)
for (const name of ['docs.css', 'logo.svg']) writeFileSync(join(directory, name), '')
writeFileSync(join(directory, 'console.js'), 'export {}\n')
writeFileSync(join(directory, 'SOURCES.md'), 'not for browsers')
mkdirSync(join(directory, 'xterm'))
writeFileSync(join(directory, 'xterm', 'xterm.js'), 'export {}\n')
mkdirSync(join(directory, 'novnc-1.2.3'))
writeFileSync(join(directory, 'novnc-1.2.3', 'rfb.js'), 'export {}\n')
const assets = loadAssets(directory)
afterAll(() => rmSync(directory, { recursive: true }))

const ask = (path: string, headers: Record<string, string> = {}) => assets.answer(path, new Request(`https://localhost${path}`, { headers }))

test('names hold the hash, and such answers are kept for ever', async () => {
  const url = assets.assetUrl('app.css')
  expect(url).toMatch(/^\/assets\/app\.[0-9a-f]{12}\.css$/)
  const answer = ask(url)
  expect(answer?.headers.get('Cache-Control')).toBe('public, max-age=31536000, immutable')
  expect(answer?.headers.get('Content-Type')).toBe('text/css; charset=utf-8')
  expect(await answer?.text()).toBe(css)
  expect(ask('/assets/app.css')?.headers.get('Cache-Control')).toBe('no-cache')
  expect(ask('/assets/novnc-1.2.3/rfb.js')?.headers.get('Cache-Control')).toBe('public, max-age=31536000, immutable')
  expect(ask('/assets/xterm/xterm.js')?.headers.get('Cache-Control')).toBe('no-cache')
  expect(assets.assetUrl('xterm/xterm.js')).toMatch(/^\/assets\/xterm\/xterm\.[0-9a-f]{12}\.js$/)
})

test('compressed where asked for, and not sent again', async () => {
  const short = ask('/assets/app.css', { 'Accept-Encoding': 'gzip, br' })
  expect(short?.headers.get('Content-Encoding')).toBe('gzip')
  expect(gunzipSync(Buffer.from(await short!.arrayBuffer())).toString()).toBe(css)
  const etag = short?.headers.get('ETag') ?? ''
  expect(ask('/assets/app.css', { 'If-None-Match': `"x", W/${etag}` })?.status).toBe(304)
  expect(ask('/assets/app.css', { 'If-None-Match': '"x"' })?.status).toBe(200)
})

test('nothing else is served', () => {
  for (const path of ['/assets/', '/assets/SOURCES.md', '/assets/../app.css', '/assets/app.000000000000.css', '/assets/xterm']) expect(ask(path)).toBeNull()
  expect(() => assets.assetUrl('nothing.css')).toThrow(RangeError)
})

test('only what the sign-in page needs comes without a credential', async () => {
  const served = await serve({ assetsDirectory: directory })
  try {
    expect(await served.ask(assets.assetUrl('app.css'), { token: null })).toMatchObject({ status: 200, text: css, headers: { 'x-content-type-options': 'nosniff' } })
    expect(await served.ask(assets.assetUrl('console.js'), { token: null })).toMatchObject({ status: 401 })
    expect(await served.ask('/assets/nothing.css', { token: null })).toMatchObject({ status: 401 })
    expect(await served.ask(assets.assetUrl('console.js'))).toMatchObject({ status: 200 })
    expect(await served.ask('/assets/nothing.css')).toMatchObject({ status: 404 })
    expect((await served.ask('/api/docs')).text).toContain(assets.assetUrl('app.css'))
  } finally {
    await served.http.stop()
  }
})
