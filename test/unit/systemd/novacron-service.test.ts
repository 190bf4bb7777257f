// The service's unit: systemd itself accepts every key, and what must hold for guests and restarts stands in it.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'

const unit = readFileSync(join(import.meta.dirname, '..', '..', '..', 'systemd', 'novacron.service'), 'utf8')
const directory = mkdtempSync(join(tmpdir(), 'novacron-unit-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

function value(key: string): string | undefined {
  return new RegExp(`^${key}=(.*)$`, 'm').exec(unit)?.[1]
}

// The appliance's program is not installed on a build machine; the unit is checked with one that exists in its place.
async function analyze(text: string, ...args: readonly string[]): Promise<{ readonly code: number; readonly output: string }> {
  const path = join(directory, 'novacron.service')
  writeFileSync(path, text.replace('/usr/bin/novacron', '/bin/true'))
  const { promise, resolve } = Promise.withResolvers<{ code: number; output: string }>()
  execFile('systemd-analyze', [...args, path], (error, stdout, stderr) => {
    const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 127
    resolve({ code, output: `${stdout}${stderr}${error?.code === 'ENOENT' ? 'systemd-analyze is missing' : ''}` })
  })
  return await promise
}

test('systemd accepts the unit', async () => {
  const result = await analyze(unit, 'verify', '--recursive-errors=no')
  expect(result.output).toBe('')
  expect(result.code).toBe(0)
})

test('a misspelt key would be found', async () => {
  const result = await analyze(unit.replace('ProtectClock=', 'ProtectClok='), 'verify', '--recursive-errors=no')
  expect(result.output).toContain("Unknown key 'ProtectClok'")
  expect(result.code).not.toBe(0)
})

test('its exposure stays under 5.0', async () => {
  const result = await analyze(unit, 'security', '--offline=true', '--threshold=50', '--no-pager')
  expect(result.code, result.output.split('\n').slice(-3).join('\n')).toBe(0)
})

test('it restarts for ever, leaves guests alone and starts after libvirtd', () => {
  expect(value('ExecStart')).toBe('/usr/bin/novacron daemon --config /etc/novacron/node.json')
  expect(value('Restart')).toBe('always')
  expect(value('StartLimitIntervalSec')).toBe('0')
  expect(value('KillMode')).toBe('process')
  expect(value('After')?.split(' ')).toEqual(expect.arrayContaining(['libvirtd.service', 'network-online.target']))
})
