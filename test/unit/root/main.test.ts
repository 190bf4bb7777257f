// `novacron daemon --check` as a person runs it.
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, expect, test } from 'vitest'

const program = join(import.meta.dirname, '..', '..', '..', 'novacron')
const directory = mkdtempSync(join(tmpdir(), 'nc-'))
afterAll(() => rmSync(directory, { recursive: true }))
const check = (config: object) => {
  const path = join(directory, 'node.json')
  writeFileSync(path, JSON.stringify(config))
  return promisify(execFile)(program, ['daemon', '--config', path, '--check'])
}

test('a valid configuration is found so, and nothing is started', async () => {
  expect((await check({ name: 'n1' })).stdout).toMatch(/node\.json is valid\n$/)
})

test('one that is not is refused with the reason', async () => {
  await expect(check({ nmae: 'n1' })).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('nmae is not known') })
})

test('a start loads nothing that only some requests need', async () => {
  const code = `
    import { registerHooks } from 'node:module'
    const loaded = []
    registerHooks({ resolve: (name, context, next) => { const found = next(name, context); loaded.push(found.url); return found } })
    await import(${JSON.stringify(join(import.meta.dirname, '..', '..', '..', 'src', 'daemon.ts'))})
    console.log(JSON.stringify(loaded))`
  const { stdout } = await promisify(execFile)(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', code], { maxBuffer: 2 ** 24 })
  const packages = new Set((JSON.parse(stdout) as string[]).map((url) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1]))
  expect([...packages]).toContain('zod')
  for (const name of ['@peculiar/x509', '@opentelemetry/api', 'jose']) expect([...packages]).not.toContain(name)
})

test('a file that is not there is no valid one', async () => {
  await expect(promisify(execFile)(program, ['daemon', '--config', join(directory, 'nothing.json'), '--check'])).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('nothing.json does not exist') })
  await expect(promisify(execFile)(program, ['daemon', '--config', directory, '--check'])).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('cannot be read') })
})
