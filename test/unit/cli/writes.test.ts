// Writes of the command line: keys, retries, waiting, dry runs, several names at once, confirmation.
import { afterEach, expect, test } from 'vitest'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { operationOf, problem, serveScript, vmOf, type Script, type Scripted } from './scripted-server.ts'
import { run } from './terminal.ts'

const open: Scripted[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()))
})
async function serving(script: Script): Promise<Scripted> {
  const server = await serveScript(script)
  open.push(server)
  return server
}

test('vm create sends the spec that its flags say', async () => {
  const server = await serving(() => ({ status: 201, body: vmOf('web', 'stopped') }))
  const directory = mkdtempSync(join(tmpdir(), 'nc-ud-'))
  const userData = join(directory, 'user-data')
  writeFileSync(userData, '#cloud-config\n')
  const ran = await run(
    ['vm', 'create', 'web', '--image', 'tiny', '--cpus', '2', '--memory', '1024', '--disk', '0.5', '--node', 'node2', '--label', 'tier=db', '--label', 'a=b=c', '--user-data', userData, '--firmware', 'uefi', '--json'],
    { env: server.env },
  )
  expect(ran.code).toBe(0)
  expect(ran.json.name).toBe('web')
  expect(server.asked).toHaveLength(1)
  expect(server.asked[0]!.body).toEqual({
    name: 'web', labels: { tier: 'db', a: 'b=c' },
    spec: {
      cpus: 2, memoryMiB: 1024, firmware: 'uefi', disks: [{ name: 'root', image: 'tiny', sizeGiB: 0.5 }], nics: [{ network: 'nat' }],
      cloudInit: { userData: '#cloud-config\n' }, placement: { node: 'node2' }, runState: 'stopped',
    },
  })
  expect(server.asked[0]!.headers['idempotency-key']).toMatch(/^[0-9a-f-]{36}$/)
  expect(server.asked[0]!.headers.prefer).toBeUndefined()
  rmSync(directory, { recursive: true })
  await run(['vm', 'create', 'web', '--nic', 'none'], { env: server.env })
  expect(server.asked[1]!.body).toEqual({ name: 'web', spec: { cpus: 1, memoryMiB: 512, disks: [], nics: [], runState: 'stopped' } })
  expect(server.asked[1]!.headers['idempotency-key']).not.toBe(server.asked[0]!.headers['idempotency-key'])
})

test('vm create --start waits until it runs, and tells a failed start with 1', async () => {
  let polls = 0
  const server = await serving((asked) => (asked.method === 'POST' ? { status: 201, body: vmOf('web', 'pending') } : { status: 200, body: vmOf('web', ++polls < 3 ? 'starting' : 'running') }))
  const ran = await run(['vm', 'create', 'web', '--start', '--json'], { env: server.env })
  expect(ran).toMatchObject({ code: 0, json: { status: { phase: 'running' } } })
  expect(server.asked[0]!.headers.prefer).toBe('wait=30')
  expect(ran.stderr).toBe('web: pending\nweb: starting\nweb: running\n')
  const failing = await serving((asked) => ({ status: asked.method === 'POST' ? 201 : 200, body: vmOf('web', 'failed', 'no such file') }))
  const failed = await run(['vm', 'create', 'web', '--start'], { env: failing.env })
  expect(failed.code).toBe(1)
  expect(failed.stdout).toBe('web created: failed on node1: no such file\n')
  const unhurried = await run(['vm', 'create', 'web', '--start', '--no-wait', '--json'], { env: server.env })
  expect(unhurried.json.status.phase).toBe('pending')
})

test('an unknown outcome is asked for again with the same key, also after the connection broke', async () => {
  const replies = [problem(503, 'OUTCOME_UNKNOWN'), undefined, { status: 202, body: operationOf('done') }]
  const server = await serving(() => replies.shift())
  const ran = await run(['vm', 'start', 'web'], { env: server.env })
  expect(ran).toMatchObject({ code: 0, stdout: 'web: start done\n' })
  expect(server.asked).toHaveLength(3)
  expect(new Set(server.asked.map((asked) => asked.headers['idempotency-key'])).size).toBe(1)
})

test('while there is no leader a write is sent again with the same key, for some seconds and no longer', async () => {
  const replies = [problem(503, 'NO_QUORUM'), problem(503, 'NO_QUORUM'), { status: 202, body: operationOf('done') }]
  const electing = await serving(() => replies.shift())
  const ran = await run(['vm', 'start', 'web'], { env: electing.env })
  expect(ran).toMatchObject({ code: 0, stdout: 'web: start done\n' })
  expect(ran.stderr).toContain('No leader answers yet')
  expect(new Set(electing.asked.map((asked) => asked.headers['idempotency-key'])).size).toBe(1)
  const cutOff = await serving(() => problem(503, 'NO_QUORUM'))
  const beganMs = performance.now()
  expect((await run(['vm', 'start', 'web'], { env: cutOff.env })).code).toBe(6)
  expect(performance.now() - beganMs).toBeGreaterThan(1_400)
}, 20_000)

test('what was surely refused is not asked for again', async () => {
  const server = await serving(() => problem(409, 'STATE_CONFLICT'))
  expect((await run(['vm', 'start', 'web'], { env: server.env })).code).toBe(5)
  expect(server.asked).toHaveLength(1)
})

test('what a node without contact shows is said to be old, once and not on standard output', async () => {
  const server = await serving(() => ({ status: 200, body: { items: [], next: null, total: 0 }, headers: { 'novacron-stale-since': '2026-11-20T12:00:00.000Z' } }))
  const ran = await run(['vm', 'list', '--json'], { env: server.env })
  expect(ran.code).toBe(0)
  expect(ran.stderr.match(/may be old/g)).toHaveLength(1)
  expect(ran.stdout).not.toContain('may be old')
})

test('an operation is followed to its end; a server that breaks off in between is asked again', async () => {
  const replies = [{ status: 202, body: operationOf('queued') }, { status: 200, body: operationOf('running') }, undefined, { status: 200, body: operationOf('done') }]
  const server = await serving(() => replies.shift())
  const ran = await run(['vm', 'stop', 'web', '--timeout', '9', '--force', '--json'], { env: server.env })
  expect(ran).toMatchObject({ code: 0, json: { kind: 'operation', status: { state: 'done' } } })
  expect(server.asked[0]).toMatchObject({ method: 'POST', path: '/api/v1/vms/web/stop', body: { force: true, timeoutSeconds: 9 } })
  expect(server.asked.slice(1).map((asked) => `${asked.path}?${asked.query.toString()}`)).toEqual(Array(3).fill(`/api/v1/operations/${String(operationOf('done').id)}?wait=30`))
  expect(ran.stderr).toContain('running: boot')
})

test('a failed operation is 1, with its reason', async () => {
  const server = await serving(() => ({ status: 202, body: operationOf('failed', { code: 'HYPERVISOR_REFUSED', message: 'no KVM' }) }))
  const ran = await run(['vm', 'start', 'web'], { env: server.env })
  expect(ran).toMatchObject({ code: 1, stdout: 'web: start failed: no KVM (HYPERVISOR_REFUSED)\n' })
})

test('without waiting the operation is named and nothing more is asked', async () => {
  const server = await serving(() => ({ status: 202, body: operationOf('queued') }))
  const ran = await run(['vm', 'start', 'web', '--no-wait'], { env: server.env })
  expect(ran).toMatchObject({ code: 0, stdout: `web: start queued, operation ${operationOf('queued').id}\n` })
  expect(server.asked).toHaveLength(1)
  expect(server.asked[0]!.headers.prefer).toBeUndefined()
})

test('several names: a line for each, the worst exit code, one document', async () => {
  const script: Script = (asked) => {
    if (asked.path.includes('/gone/')) return problem(404, 'NOT_FOUND', 'There is no VM gone.')
    if (asked.path.includes('/busy/')) return problem(409, 'OPERATION_ACTIVE', 'It is busy.')
    return { status: 202, body: operationOf('done') }
  }
  const server = await serving(script)
  const ran = await run(['vm', 'start', 'a', 'gone', 'busy', 'b', 'a'], { env: server.env })
  expect(ran.code).toBe(5)
  expect(ran.stdout).toBe('a: start done\nb: start done\n')
  expect(ran.stderr).toContain('novacron: gone: There is no VM gone. (NOT_FOUND)\n')
  expect(ran.stderr).toContain('novacron: busy: It is busy. (OPERATION_ACTIVE)\n')
  const json = await run(['vm', 'start', 'a', 'gone', '--json'], { env: server.env })
  expect(json.code).toBe(3)
  expect(json.json.items).toMatchObject([{ kind: 'operation' }, { code: 'NOT_FOUND', status: 404 }])
})

test('deletion asks on a terminal, refuses without one, and needs neither with --yes or for a dry run', async () => {
  const server = await serving((asked) => (asked.query.has('dryRun') ? { status: 200, body: { dryRun: true, differences: [{ path: '', before: { name: 'web' }, after: null }] } } : { status: 202, body: operationOf('done') }))
  const refused = await run(['vm', 'delete', 'web', '--json'], { env: server.env })
  expect(refused.code).toBe(2)
  expect(refused.json.code).toBe('USAGE')
  const answering = (answer: string) => ({ env: server.env, terminal: true, onOutput: (text: string, stdin: NodeJS.WritableStream) => void (text.endsWith('[y/N] ') && stdin.write(`${answer}\n`)) })
  expect((await run(['vm', 'delete', 'web'], answering('n'))).code).toBe(2)
  expect(server.asked).toEqual([])
  expect((await run(['vm', 'delete', 'web'], answering('y'))).code).toBe(0)
  expect((await run(['vm', 'delete', 'web', '--yes', '--force'], { env: server.env })).code).toBe(0)
  expect(server.asked.map((asked) => [asked.method, asked.path, asked.body])).toEqual([['DELETE', '/api/v1/vms/web', ''], ['DELETE', '/api/v1/vms/web', { force: true }]])
  const dry = await run(['vm', 'delete', 'web', '--dry-run'], { env: server.env })
  expect(dry).toMatchObject({ code: 0, stdout: 'delete web: would change\n  all of it: {"name":"web"} -> none\n' })
})

test('vm set and rename are merge patches; a dry run prints the differences', async () => {
  const server = await serving((asked) => ({ status: 200, body: asked.query.has('dryRun') ? { dryRun: true, differences: [{ path: 'spec.cpus', before: 1, after: 4 }] } : vmOf('web', 'running') }))
  await run(['vm', 'set', 'web', '--label', 'tier=db', '--label', 'old-', '--cpus', '4', '--memory', '256'], { env: server.env })
  await run(['vm', 'rename', 'web', 'shop'], { env: server.env })
  expect(server.asked.map((asked) => [asked.method, asked.headers['content-type'], asked.body])).toEqual([
    ['PATCH', 'application/merge-patch+json', { labels: { tier: 'db', old: null }, spec: { cpus: 4, memoryMiB: 256 } }],
    ['PATCH', 'application/merge-patch+json', { name: 'shop' }],
  ])
  const dry = await run(['vm', 'set', 'web', '--cpus', '4', '--dry-run'], { env: server.env })
  expect(dry.stdout).toBe('set web: would change\n  spec.cpus: 1 -> 4\n')
  expect((await run(['vm', 'set', 'web', '--cpus', '4', '--dry-run', '--json'], { env: server.env })).json).toEqual({ dryRun: true, differences: [{ path: 'spec.cpus', before: 1, after: 4 }] })
})

test('a token whose secret was lost on the way is revoked rather than left', async () => {
  const replies = [problem(503, 'OUTCOME_UNKNOWN'), { status: 201, body: { id: 't1', name: 'ci' } }, { status: 204 }]
  const server = await serving(() => replies.shift())
  const ran = await run(['token', 'create', 'ci', '--json'], { env: server.env })
  expect(ran.code).toBe(1)
  expect(server.asked.map((asked) => `${asked.method} ${asked.path}`)).toEqual(['POST /api/v1/tokens', 'POST /api/v1/tokens', 'DELETE /api/v1/tokens/t1'])
})

test('a join token whose answer was lost is made anew under another key', async () => {
  const replies = [problem(503, 'OUTCOME_UNKNOWN'), problem(409, 'STATE_CONFLICT', 'That join token was shown once and is not kept.'), { status: 201, body: { id: 'j', token: 'ncj_x', expiresAt: 'then' } }]
  const server = await serving(() => replies.shift())
  const ran = await run(['cluster', 'token', 'create', '--life', '60', '--json'], { env: server.env })
  expect(ran).toMatchObject({ code: 0, json: { id: 'j', token: 'ncj_x', expiresAt: 'then' } })
  const keys = server.asked.map((asked) => asked.headers['idempotency-key'])
  expect(keys[0]).toBe(keys[1])
  expect(keys[2]).not.toBe(keys[0])
  expect(server.asked[0]!.body).toEqual({ lifeSeconds: 60 })
})

test('a password comes from standard input or a terminal, never from the arguments, and is not echoed', async () => {
  const server = await serving((asked) => ({ status: 200, body: asked.path.endsWith('/session') ? { user: { id: 'u1', name: 'admin' } } : { name: 'anna' } }))
  expect((await run(['user', 'create', 'anna', '--role', 'operator@shop', '--password-stdin'], { env: server.env, input: 'correct horse\n' })).code).toBe(0)
  expect(server.asked[0]!.body).toEqual({ name: 'anna', password: 'correct horse', spec: { bindings: [{ role: 'operator', scope: 'project:shop' }] } })
  let typed = 0
  const typing = { env: server.env, terminal: true, onOutput: (text: string, stdin: NodeJS.WritableStream) => void (text.endsWith(': ') && typed++ < 2 && stdin.write('correct hoX\u007frse\r')) }
  const ran = await run(['user', 'password', 'anna'], typing)
  expect(ran.code).toBe(0)
  expect(`${ran.stdout}${ran.stderr}`).not.toContain('horse')
  expect(server.asked.at(-1)).toMatchObject({ path: '/api/v1/users/anna/password', body: { password: 'correct horse' } })
  expect((await run(['user', 'password', 'admin', '--password-stdin'], { env: server.env, input: 'new one enough\nold one\n' })).code).toBe(0)
  expect(server.asked.at(-1)!.body).toEqual({ password: 'new one enough', current: 'old one' })
  expect((await run(['user', 'password', 'admin', '--password-stdin'], { env: server.env, input: 'new one enough\n' })).code).toBe(2)
})

test('vm migrate --all-from moves all that a node has, each begun after the one before; a name stays what it was', async () => {
  let open = 0
  const server = await serving((asked) => {
    if (asked.path === '/api/v1/nodes/node1') return { status: 200, body: { kind: 'node', name: 'node1' } }
    if (asked.path === '/api/v1/vms') return { status: 200, body: { items: [vmOf('a', 'running'), { ...vmOf('b', 'stopped'), project: 'shop' }, vmOf('c', 'running')], next: null, total: 3 } }
    expect(++open).toBe(1)
    return (response) => void setTimeout(() => {
      open--
      response.writeHead(202, { 'Content-Type': 'application/json' }).end(JSON.stringify(operationOf('done')))
    }, 20)
  })
  const ran = await run(['vm', 'migrate', '--all-from', 'node1'], { env: server.env })
  expect(ran, ran.stderr).toMatchObject({ code: 0, stdout: 'a: migrate done\nshop.b: migrate done\nc: migrate done\n' })
  expect(server.asked[1]?.query.get('filter')).toBe('node:node1')
  expect(server.asked.slice(2).map(({ path, body }) => [path, body])).toEqual([['/api/v1/vms/a/migrate', {}], ['/api/v1/vms/shop.b/migrate', {}], ['/api/v1/vms/c/migrate', {}]])
  await run(['vm', 'migrate', 'web', 'node3'], { env: server.env })
  expect(server.asked.at(-1)).toMatchObject({ path: '/api/v1/vms/web/migrate', body: { node: 'node3' } })
  const asked = server.asked.length
  expect((await run(['vm', 'migrate'], { env: server.env })).code).toBe(2)
  expect((await run(['vm', 'migrate', 'web', '--all-from', 'node1'], { env: server.env })).code).toBe(2)
  expect(server.asked).toHaveLength(asked)
})

test('vm migrate --all-from an empty node does nothing, and says so', async () => {
  const server = await serving((asked) => ({ status: 200, body: asked.path === '/api/v1/vms' ? { items: [], next: null, total: 0 } : { kind: 'node', name: 'node1' } }))
  expect(await run(['vm', 'migrate', '--all-from', 'node1'], { env: server.env })).toMatchObject({ code: 0, stdout: 'nothing to do\n' })
})

test('promote and demote fail where the wait ran out, and not where nobody waits', async () => {
  const nodeOf = (role: string) => ({ id: '01890a5d-ac96-774b-bcce-0000000000cc', kind: 'node', name: 'n4', spec: { voting: 'always' }, status: { role } })
  const server = await serving(() => ({ status: 200, body: nodeOf('learner') }))
  const late = await run(['cluster', 'promote', 'n4', '--wait', '2'], { env: server.env })
  expect(late).toMatchObject({ code: 1, stdout: 'n4 shall vote, and will once it has caught up; it is not so after 2 s. The wish stands: "novacron cluster status" tells what it waits for\n' })
  expect(server.asked[0]!.headers.prefer).toBe('wait=2')
  expect(await run(['cluster', 'promote', 'n4', '--wait', '2', '--json'], { env: server.env })).toMatchObject({ code: 1, json: { name: 'n4' } })
  expect(await run(['cluster', 'promote', 'n4', '--wait', '0'], { env: server.env })).toMatchObject({ code: 0, stdout: 'n4 shall vote, and will once it has caught up\n' })
  expect(await run(['cluster', 'demote', 'n4'], { env: server.env })).toMatchObject({ code: 0, stdout: 'n4 votes no more\n' })
  const voting = await serving(() => ({ status: 200, body: nodeOf('voter') }))
  expect(await run(['cluster', 'demote', 'n4', '--wait', '1'], { env: voting.env })).toMatchObject({ code: 1 })
})
