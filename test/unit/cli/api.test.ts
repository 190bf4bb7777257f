// The command line against the real router, event stream, console and control socket, on the small application of the HTTP tests.
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startControl, type ControlServer } from '../../../src/http/control.ts'
import { clock, recordingLog, serve, type Served } from '../http/harness.ts'
import { smallControl, token } from '../http/small-app.ts'
import { emptyHome, run } from './terminal.ts'

let served: Served
let control: ControlServer
let env: Readonly<Record<string, string>>
let caFile: string
const directory = mkdtempSync(join(tmpdir(), 'nc-cli-'))
const socket = join(directory, 'control.sock')

beforeAll(async () => {
  served = await serve()
  caFile = join(directory, 'ca.pem')
  writeFileSync(caFile, served.certPem)
  env = { ...emptyHome(), NOVACRON_URL: served.origin, NOVACRON_TOKEN: token, NOVACRON_CA: caFile }
  control = await startControl({ path: socket, control: smallControl, clock, log: recordingLog([]) })
})
afterAll(async () => {
  await served.http.stop()
  await control.stop()
  rmSync(directory, { recursive: true, force: true })
})

test('nouns: every list and show is one document that the API answers', async () => {
  for (const noun of ['vm', 'node', 'image', 'operation', 'event', 'user', 'token', 'audit']) {
    const list = await run([noun, 'list', '--json'], { env })
    expect(list.code, noun).toBe(0)
    expect(list.json, noun).toMatchObject({ items: expect.any(Array), next: null })
    expect((await run([noun, 'list', '-o', 'wide'], { env })).stdout, noun).toMatch(/^\w+/)
  }
  for (const [noun, ref] of [['node', 'n1'], ['image', 'tiny'], ['operation', 'o1'], ['user', 'admin'], ['token', 'ci']] as const) {
    expect((await run([noun, 'show', ref, '--json'], { env })).json, noun).toMatchObject({ kind: noun, id: expect.any(String) })
    expect((await run([noun, 'show', ref], { env })).stdout, noun).toContain('revision')
  }
  expect((await run(['cluster', 'show', '--json'], { env })).json).toMatchObject({ name: 'lab', quorum: true })
})

test('writes go through with their key, and names are escaped in paths', async () => {
  const created = await run(['vm', 'create', 'web', '--json'], { env })
  expect(created).toMatchObject({ code: 0, json: { kind: 'vm', name: 'web' } })
  expect(served.app.writes.at(-1)!.idempotencyKey).toMatch(/^[0-9a-f-]{36}$/)
  expect((await run(['vm', 'set', 'web', '--cpus', '2'], { env })).code).toBe(0)
  expect((await run(['vm', 'show', 'no/such', '--json'], { env }))).toMatchObject({ code: 3, json: { code: 'NOT_FOUND' } })
  const invalid = await run(['vm', 'create', 'Not A Name', '--json'], { env })
  expect(invalid).toMatchObject({ code: 5, json: { code: 'INVALID', status: 422, fields: [{ path: 'name' }] } })
  expect((await run(['vm', 'list'], { env: { ...env, NOVACRON_TOKEN: 'nct_wrong' } })).code).toBe(4)
  expect((await run(['token', 'revoke', 'ci', '--json'], { env })).json).toEqual({ name: 'ci', revoked: true })
  expect((await run(['cluster', 'token', 'create', '--json'], { env })).json).toMatchObject({ id: 'j1', token: 'ncj_x' })
  expect((await run(['node', 'set', 'n1', '--schedulable', 'false'], { env })).code).toBe(0)
})

test('an image is sent in parts, whatever its size', async () => {
  const path = join(directory, 'disk.raw')
  writeFileSync(path, Buffer.alloc(70_000_001, 7))
  const ran = await run(['image', 'import', 'disk', path, '--os', 'debian', '--json'], { env })
  expect(ran).toMatchObject({ code: 0, json: { kind: 'image' } })
  expect(served.app.imported.at(-1)).toEqual({ name: 'disk', bytes: 70_000_001 })
  expect(ran.stderr).toContain('sending 67 MiB')
  const scratch = join(directory, 'empty.raw')
  writeFileSync(scratch, '')
  expect(await run(['image', 'import', 'none', scratch, '--json'], { env })).toMatchObject({ code: 5, json: { code: 'IMAGE_UNREADABLE' } })
  expect((await run(['image', 'import', 'Bad Name', path, '--json'], { env }))).toMatchObject({ code: 5, json: { code: 'INVALID' } })
})

test('events are watched, filtered, counted, and resumed', async () => {
  const timer = setInterval(() => served.app.emit(), 20)
  try {
    const ran = await run(['event', 'watch', '--count', '2', '--json'], { env })
    const events = ran.stdout.trimEnd().split('\n').map((line) => JSON.parse(line) as { id: string })
    expect(events).toHaveLength(2)
    const [first] = events
    const resumed = await run(['event', 'watch', '--after', first!.id, '--count', '1', '--json'], { env })
    expect(JSON.parse(resumed.stdout)).toMatchObject({ id: events[1]!.id })
    // The server drops its watchers: the stream ends, and goes on from now.
    const reset = run(['event', 'watch', '--count', '3'], { env, onOutput: (text) => void (text.split('\n').length === 2 && text.startsWith('2026') && served.app.resetWatchers()) })
    expect((await reset).stdout.trimEnd().split('\n')).toHaveLength(3)
    expect((await reset).stderr).toContain('lost its place')
    const gone = await run(['event', 'watch', '--after', '0.0', '--count', '1'], { env })
    expect(gone).toMatchObject({ code: 0, stderr: expect.stringContaining('no longer kept') })
  } finally {
    clearInterval(timer)
  }
  expect((await run(['event', 'watch'], { env: { ...env, NOVACRON_TOKEN: 'nct_wrong' } })).code).toBe(4)
})

test('the console joins pipes with the guest, and says why it cannot be opened', async () => {
  const ran = await run(['vm', 'console', 'web'], { env, input: 'hello' })
  expect(ran).toMatchObject({ code: 0, stdout: 'login: hello' })
  expect((await run(['vm', 'console', 'web'], { env, input: 'exit' })).code).toBe(0)
  expect(await run(['vm', 'console', 'nobody'], { env })).toMatchObject({ code: 3, stderr: expect.stringContaining('NOT_FOUND') })
  expect((await run(['vm', 'console', 'web'], { env: { ...env, NOVACRON_TOKEN: 'nct_wrong' } })).code).toBe(4)
  served.app.console = 'busy'
  expect((await run(['vm', 'console', 'web'], { env })).code).toBe(5)
  served.app.console = 'echo'
})

test('Ctrl-] leaves the console of a terminal', async () => {
  const ran = await run(['vm', 'console', 'web'], { env, terminal: true, onOutput: (text, stdin) => void (text.endsWith('login: ') && stdin.write('ls\u001dnot sent')) })
  expect(ran.code).toBe(0)
  expect(ran.stdout).not.toContain('not sent')
  expect(ran.stderr).toContain('left the console')
})

test('the console of a terminal comes back by itself, and says that it does', async () => {
  let prompts = 0
  const ran = await run(['vm', 'console', 'web'], {
    env, terminal: true,
    onOutput: (text, stdin) => void (text.endsWith('login: ') && stdin.write(++prompts === 1 ? 'exit' : '\u001d')),
  })
  expect(ran.code).toBe(0)
  expect(prompts).toBe(2)
  expect(ran.stderr).toContain('opened again')
})

test('login keeps an API token in a private profile, which later commands use; logout revokes it', async () => {
  const home = emptyHome()
  const path = join(home.HOME, '.config/novacron/profiles.json')
  expect((await run(['login', served.origin, '--ca', caFile, '--user', 'admin', '--password-stdin'], { env: home, input: 'wrong\n' })).code).toBe(4)
  expect((await run(['login', served.origin, '--ca', caFile], { env: home })).code).toBe(2)
  const ran = await run(['login', served.origin, '--ca', caFile, '--user', 'admin', '--password-stdin', '--profile', 'lab', '--json'], { env: home, input: 'correct horse\n' })
  expect(ran).toMatchObject({ code: 0, json: { profile: 'lab', url: served.origin, user: 'admin' } })
  expect(ran.stdout + ran.stderr).not.toContain('nct_')
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(statSync(join(path, '..')).mode & 0o777).toBe(0o700)
  const kept = JSON.parse(readFileSync(path, 'utf8'))
  expect(kept).toMatchObject({ current: 'lab', profiles: { lab: { token: 'nct_new' } } })
  expect(served.app.calls).toContain('signOut')
  writeFileSync(path, JSON.stringify({ ...kept, profiles: { lab: { ...kept.profiles.lab, token } } }))
  expect((await run(['vm', 'list'], { env: home })).code).toBe(0)
  // A token is shown to nobody but the server that made it.
  const elsewhere = await serve()
  const other = { ...home, NOVACRON_URL: elsewhere.origin, NOVACRON_CA: join(directory, 'other.pem') }
  writeFileSync(other.NOVACRON_CA, elsewhere.certPem)
  expect((await run(['vm', 'list'], { env: other })).code).toBe(4)
  await elsewhere.http.stop()
  expect((await run(['profile', 'list', '--json'], { env: home })).json.items).toEqual([{ name: 'lab', url: served.origin, user: 'admin', current: true }])
  expect((await run(['profile', 'use', 'nowhere'], { env: home })).code).toBe(3)
  expect((await run(['logout', '--json'], { env: home })).code).toBe(0)
  expect((await run(['vm', 'list'], { env: home })).code).toBe(2)
  rmSync(home.HOME, { recursive: true })
})

test('the control socket: status, doctor, founding and joining', async () => {
  expect((await run(['cluster', 'status', '--socket', socket, '--json'])).json).toMatchObject({ clustered: true, name: 'n1' })
  // What root asks at night: no server, no credential, perhaps no leader.
  const consensus = await run(['cluster', 'status', '--socket', socket])
  expect(consensus.stdout).toMatch(/^clustered +true\n(?:.*\n)*role +leader\nstate +leader\nterm +1\ncommitIndex +7\nappliedIndex +7\n(?:.*\n)*\nleader n1, term 1, .*\n(?:.*\n)*NODE +ROLE +STATE/)
  expect((await run(['cluster', 'status', '--socket', socket, '--json'])).json).toMatchObject({ role: 'leader', appliedIndex: 7, troubles: [], leader: 'n1', term: 1, voters: 1, members: [{ name: 'n1', lastContactMs: 0 }] })
  const founded = await run(['cluster', 'init', '--name', 'berlin', '--socket', socket, '--json'])
  expect(founded.json).toEqual({ caCertificate: 'pem', adminUser: 'admin', adminPassword: 'secret', token: 'nct_x' })
  expect((await run(['cluster', 'init', '--name', 'berlin', '--socket', socket])).stdout).toContain('password  secret')
  expect(await run(['cluster', 'init', '--socket', socket])).toMatchObject({ code: 5, stderr: expect.stringContaining('ALREADY_MEMBER') })
  expect((await run(['cluster', 'join', 'ncj_x', '--socket', socket, '--json'])).json).toEqual({ nodeId: 'n1', name: 'n1' })
  expect((await run(['doctor', '--socket', socket])).stdout).toMatch(/clock +good +1 ms/)
  expect((await run(['doctor', '--socket', join(directory, 'nobody.sock'), '--json']))).toMatchObject({ code: 6, json: { code: 'UNREACHABLE' } })
})

test('a support bundle is saved by the control socket or the API, proven, private, and never over another file', async () => {
  const file = join(directory, 'n1.bundle.gz')
  expect(await run(['support-bundle', file, '--socket', socket, '--json'])).toMatchObject({ code: 0, json: { file, lines: 2, entries: 1, omitted: [] } })
  expect(statSync(file).mode & 0o777).toBe(0o600)
  const before = readFileSync(file)
  expect(await run(['support-bundle', file, '--socket', socket])).toMatchObject({ code: 2, stderr: expect.stringContaining('is there already') })
  expect(readFileSync(file)).toEqual(before)
  expect(await run(['support-bundle', `${file}2`, '--api'], { env })).toMatchObject({ code: 0, stdout: expect.stringMatching(/1 entries of the log.*\n$/) })
  expect(served.app.calls).toContain('supportBundle admin')
  expect(await run(['support-bundle', join(directory, 'no', 'where'), '--socket', socket])).toMatchObject({ code: 2 })
  expect(await run(['support-bundle', `${file}3`, '--socket', join(directory, 'nobody.sock')])).toMatchObject({ code: 6 })
})

test('a bundle that breaks off is not kept', async () => {
  const path = join(directory, 'torn.sock')
  const supportBundle = () => ({ ...smallControl.supportBundle(), lines: (async function* () {
    yield { kind: 'log' as const, line: 'first' }
    await Promise.resolve()
    throw new Error('the disk is gone')
  })() })
  const torn = await startControl({ path, control: { ...smallControl, supportBundle }, clock, log: recordingLog([]) })
  const file = join(directory, 'torn.bundle.gz')
  expect((await run(['support-bundle', file, '--socket', path])).code).not.toBe(0)
  expect(existsSync(file)).toBe(false)
  await torn.stop()
})

test('doctor ends with 1 where something is bad', async () => {
  const path = join(directory, 'sick.sock')
  const doctor = async () => [{ check: 'disk sync', outcome: 'bad' as const, measured: 'p99 900 ms', advice: 'Another disk.' }]
  const sick = await startControl({ path, control: { ...smallControl, doctor }, clock, log: recordingLog([]) })
  expect(await run(['doctor', '--socket', path, '--json'])).toMatchObject({ code: 1, json: [{ outcome: 'bad' }] })
  await sick.stop()
})
