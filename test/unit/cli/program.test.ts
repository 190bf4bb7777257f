// The command line as a whole: help, usage, exit codes by status, JSON, settings.
import { afterEach, expect, test } from 'vitest'
import { createProgram } from '../../../src/cli/program.ts'
import { placesOf } from '../../../src/cli/completion.ts'
import { Shell } from '../../../src/cli/shell.ts'
import type { Command } from 'commander'
import { problem, serveScript, vmOf, type Script, type Scripted } from './scripted-server.ts'
import { emptyHome, run } from './terminal.ts'

const open: Scripted[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()))
})
async function serving(script: Script): Promise<Scripted> {
  const server = await serveScript(script)
  open.push(server)
  return server
}

function leaves(command: Command, path: readonly string[] = []): readonly (readonly string[])[] {
  if (command.commands.length === 0) return [path]
  return command.commands.flatMap((each) => leaves(each, [...path, each.name()]))
}

test('every command has help with an example', async () => {
  const tree = createProgram(new Shell({ stdout: process.stdout, stderr: process.stderr, stdin: process.stdin, env: {} }, false))
  const paths = leaves(tree).filter(([first]) => first !== 'lab' && first !== 'daemon')
  expect(paths.length).toBeGreaterThan(40)
  for (const path of paths) {
    const ran = await run([...path, '--help'])
    expect(ran.code, path.join(' ')).toBe(0)
    expect(ran.stdout, path.join(' ')).toMatch(new RegExp(`Example:\n +novacron ${path.join(' ')}`))
  }
})

test.each([[['help']], [['help', 'vm', 'create']], [['vm', 'help', 'create']], [['--help']], [['vm', '-h']]])('%j is help that was asked for', async (argv) => {
  expect(await run(argv)).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Usage: novacron/), stderr: '' })
})

test.each([
  [[]],
  [['vm']],
  [['vm', 'lst']],
  [['nonsense']],
  [['vm', 'list', '--nope']],
  [['vm', 'create']],
  [['vm', 'create', 'a', 'b']],
  [['vm', 'create', 'web', '--cpus', 'two']],
  [['vm', 'create', 'web', '--disk', '0']],
  [['vm', 'create', 'web', '--label', 'novalue']],
  [['vm', 'create', 'web', '--user-data', '/nowhere/at/all']],
  [['vm', 'create', 'web', '--nic', 'none', '--nic', 'nat']],
  [['vm', 'set', 'web']],
  [['vm', 'delete', 'web']],
  [['image', 'import', 'tiny', '/nowhere/at/all']],
  [['node', 'set', 'n1', '--schedulable', 'perhaps']],
  [['vm', 'list', '--limit', '1001']],
  [['vm', 'show', '..']],
  [['user', 'create', 'anna']],
  [['completion', 'tcsh']],
])('%j is a usage error before anything is asked of a server', async (argv) => {
  const server = await serving(() => problem(500, 'INTERNAL'))
  const ran = await run(argv, { env: server.env })
  expect(ran.code).toBe(2)
  expect(ran.stderr).toMatch(/novacron: .+ \(USAGE\)\n$/)
  expect(ran.stdout).toBe('')
  expect(server.asked).toEqual([])
})

test.each([
  [400, 'MALFORMED', 1], [401, 'UNAUTHENTICATED', 4], [403, 'FORBIDDEN', 4], [404, 'NOT_FOUND', 3], [409, 'STATE_CONFLICT', 5], [410, 'EVENTS_GONE', 1],
  [412, 'PRECONDITION_FAILED', 5], [422, 'INVALID', 5], [429, 'TOO_MANY_ATTEMPTS', 1], [500, 'INTERNAL', 1], [502, 'PEER_UNREACHABLE', 6], [503, 'NO_QUORUM', 6], [504, 'HYPERVISOR_TIMEOUT', 6],
])('an answer of %i %s ends with %i, told on one line and as the one JSON document', async (status, code, exit) => {
  const fields = [{ path: 'spec.cpus', message: 'must be at least 1' }]
  const server = await serving(() => problem(status, code, 'It is so.', fields))
  const plain = await run(['vm', 'show', 'web'], { env: server.env })
  expect(plain).toMatchObject({ code: exit, stdout: '', stderr: `novacron: It is so. (${code})\n  spec.cpus: must be at least 1\n` })
  const json = await run(['vm', 'show', 'web', '--json'], { env: server.env })
  expect(json.code).toBe(exit)
  expect(json.json).toEqual({ code, status, detail: 'It is so.', fields })
})

test('nobody there is 6, a certificate of nobody is 6, no server named is 2', async () => {
  const server = await serving(() => ({ status: 200, body: vmOf('web', 'running') }))
  const stranger = await serving(() => ({ status: 200, body: vmOf('web', 'running') }))
  const distrusted = await run(['vm', 'show', 'web'], { env: { ...server.env, NOVACRON_CA: stranger.caFile } })
  expect(distrusted.code).toBe(6)
  expect(distrusted.stderr).toMatch(/certificate/)
  expect(server.asked).toEqual([])
  await server.close()
  open.splice(open.indexOf(server), 1)
  const gone = await run(['vm', 'show', 'web', '--json'], { env: { ...server.env, NOVACRON_CA: stranger.caFile } })
  expect(gone.code).toBe(6)
  expect(gone.json.code).toBe('UNREACHABLE')
  expect((await run(['vm', 'list'])).code).toBe(2)
  expect((await run(['vm', 'list'], { env: { ...emptyHome(), NOVACRON_URL: 'http://localhost:1' } })).code).toBe(2)
  expect((await run(['vm', 'list'], { env: { ...emptyHome(), NOVACRON_URL: 'https://localhost:1', NOVACRON_CA: '/nowhere' } })).code).toBe(2)
})

test('an answer that is no problem document is told by its status', async () => {
  const server = await serving(() => (response) => response.writeHead(502, { 'Content-Type': 'text/html' }).end('<h1>Bad Gateway</h1>'))
  const ran = await run(['vm', 'show', 'web'], { env: server.env })
  expect(ran).toMatchObject({ code: 6, stderr: 'novacron: The server answered 502 (FAILED)\n' })
})

test('text of others cannot command the terminal', async () => {
  const server = await serving(() => ({ status: 200, body: { items: [vmOf('web\u001b[2J\u009b31m\u202e', 'running')], next: null, total: 1 } }))
  const table = await run(['vm', 'list'], { env: server.env, terminal: true })
  expect(table.stdout).toContain('web\\u001b[2J\\u009b31m\\u202e')
  expect(table.stdout).toContain('\u001b[32mrunning\u001b[0m')
  const json = await run(['vm', 'list', '--json'], { env: server.env })
  expect(json.stdout).not.toMatch(/[\u009b\u001b\u202e]/)
  expect(json.json.items[0].name).toBe('web\u001b[2J\u009b31m\u202e')
  const broken = await serving(() => problem(422, 'INVALID', 'bad \u001b]0;title\u0007'))
  expect((await run(['vm', 'show', 'x'], { env: broken.env })).stderr).toBe(String.raw`novacron: bad \u001b]0;title\u0007 (INVALID)` + '\n')
})

test('no colours without a terminal, nor with NO_COLOR', async () => {
  const server = await serving(() => ({ status: 200, body: { items: [vmOf('web', 'running')], next: null, total: 1 } }))
  expect((await run(['vm', 'list'], { env: server.env })).stdout).not.toContain('\u001b')
  expect((await run(['vm', 'list'], { env: { ...server.env, NO_COLOR: '1' }, terminal: true })).stdout).not.toContain('\u001b')
})

test('tables are aligned', async () => {
  const server = await serving(() => ({ status: 200, body: { items: [vmOf('a', 'running'), vmOf('a-much-longer-name', 'stopped')], next: null, total: 2 } }))
  const lines = (await run(['vm', 'list'], { env: server.env })).stdout.trimEnd().split('\n')
  const columns = lines.map((line) => line.search(/PHASE|running|stopped/))
  expect(new Set(columns).size).toBe(1)
  expect(lines).toHaveLength(3)
})

test('list passes filter, sort and limit on, and --all follows the pages', async () => {
  const server = await serving((asked) => {
    const after = asked.query.get('after')
    return { status: 200, body: { items: [vmOf(after ?? 'first', 'running')], next: after === null ? 'second' : null, total: 2 } }
  })
  const one = await run(['vm', 'list', '--filter', 'phase:running', '--sort', '-memory', '--limit', '1', '--json'], { env: server.env })
  expect(one.json).toMatchObject({ items: [{ name: 'first' }], next: 'second', total: 2 })
  expect(one.stderr).toContain('1 of 2')
  expect(Object.fromEntries(server.asked[0]!.query)).toEqual({ filter: 'phase:running', sort: '-memory', limit: '1' })
  const all = await run(['vm', 'list', '--all', '--json'], { env: server.env })
  expect(all.json.items.map((vm: { name: string }) => vm.name)).toEqual(['first', 'second'])
  expect(all.json.next).toBeNull()
})

test('the completion scripts know every command', async () => {
  const tree = createProgram(new Shell({ stdout: process.stdout, stderr: process.stderr, stdin: process.stdin, env: {} }, false))
  const places = placesOf(tree)
  expect(places[0]!.words.map(({ word }) => word)).toEqual(expect.arrayContaining(['vm', 'node', 'lab', 'login', 'completion']))
  for (const shell of ['bash', 'zsh', 'fish']) {
    const ran = await run(['completion', shell])
    expect(ran.code).toBe(0)
    for (const place of places.slice(1)) expect(ran.stdout).toContain(`"/${place.path.join('/')}"`)
  }
})

test('version', async () => {
  expect((await run(['version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  expect((await run(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  expect((await run(['version', '--json'])).json).toEqual({ version: expect.any(String) })
})

test('a host that is off, and does not even refuse, is 6 within seconds', async () => {
  // RFC 5737: an address that nobody has; where the network says so at once, that is as good.
  const ran = await run(['vm', 'list'], { env: { ...emptyHome(), NOVACRON_URL: 'https://192.0.2.1:8443', NOVACRON_TOKEN: 'nct_x' } })
  expect(ran).toMatchObject({ code: 6, stderr: expect.stringContaining('UNREACHABLE') })
}, 10_000)
