// Uploads of the command line: they go on where the node says, over breaks and new runs, and addresses are the node's to fetch.
import { afterEach, expect, test } from 'vitest'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { operationOf, problem, serveScript, type Script, type Scripted } from './scripted-server.ts'
import { run } from './terminal.ts'

const open: Scripted[] = []
const directory = mkdtempSync(join(tmpdir(), 'nc-upload-'))
const path = join(directory, 'disk.raw')
writeFileSync(path, Buffer.alloc(5000, 1))
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()))
})
process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
async function serving(script: Script): Promise<Scripted> {
  const server = await serveScript(script)
  open.push(server)
  return server
}

const id = '01890a5d-ac96-774b-bcce-0000000000dd'
const image = { id, kind: 'image', name: 'disk', spec: { format: 'raw', virtualSizeBytes: 5000 }, status: { nodes: ['node1'], copiesWanted: 2 } }
const upload = (offset: number, fingerprint = '') => ({ id, kind: 'upload', name: 'disk', spec: { sizeBytes: 5000, fingerprint }, status: { offset } })
const calls = (server: Scripted) => server.asked.map(({ method, path: at, query }) => `${method} ${at.replace('/api/v1', '').replace(id, 'ID')}${query.has('offset') ? `@${query.get('offset')}` : ''}`)

test('goes on at what the node has, after a break', async () => {
  let puts = 0
  const server = await serving(({ method, path: at }) => {
    if (at.endsWith('/finish')) return { status: 201, body: image }
    if (method === 'POST') return { status: 201, body: upload(0) }
    if (method === 'PUT') return ++puts === 1 ? problem(409, 'STATE_CONFLICT', 'It has 2000 bytes.') : { status: 200, body: upload(5000) }
    return { status: 200, body: at.endsWith('/uploads') ? { items: [] } : upload(2000) }
  })
  const ran = await run(['image', 'import', 'disk', path, '--copies', 'all', '--os', 'debian', '--json'], { env: server.env })
  expect(ran).toMatchObject({ code: 0, json: { kind: 'image' } })
  expect(calls(server)).toEqual(['GET /uploads', 'POST /uploads', 'PUT /uploads/ID/data@0', 'GET /uploads/ID', 'PUT /uploads/ID/data@2000', 'POST /uploads/ID/finish'])
  expect(server.asked[1]!.body).toMatchObject({ name: 'disk', spec: { sizeBytes: 5000, copies: 'all', os: 'debian' } })
  expect(server.asked[4]!.headers['content-length']).toBe('3000')
  expect(ran.stderr).toContain('The connection broke')
})

test('a new run finds the upload of the same file', async () => {
  let known = ''
  const server = await serving(({ method, path: at, body }) => {
    if (at.endsWith('/finish')) return { status: 201, body: image }
    if (method === 'POST') {
      known = (body as { spec: { fingerprint: string } }).spec.fingerprint
      return problem(503, 'STOPPING', 'The node stops.')
    }
    if (method === 'PUT') return { status: 200, body: upload(5000) }
    return { status: 200, body: { items: known === '' ? [] : [upload(0, 'another'), upload(4096, known)] } }
  })
  expect((await run(['image', 'import', 'disk', path], { env: server.env })).code).toBe(6)
  const ran = await run(['image', 'import', 'disk', path], { env: server.env })
  expect(ran).toMatchObject({ code: 0, stdout: expect.stringContaining('disk imported: raw') })
  expect(calls(server).slice(-3)).toEqual(['GET /uploads', 'PUT /uploads/ID/data@4096', 'POST /uploads/ID/finish'])
})

test('what is refused is not tried again', async () => {
  const server = await serving(({ method, path: at }) => {
    if (at.endsWith('/uploads') && method === 'POST') return { status: 201, body: upload(0) }
    if (method === 'PUT') return problem(507, 'STORAGE_FULL', 'The storage is full.')
    return { status: 200, body: { items: [] } }
  })
  expect(await run(['image', 'import', 'disk', path, '--json'], { env: server.env })).toMatchObject({ code: 1, json: { code: 'STORAGE_FULL' } })
  expect(await run(['image', 'import', 'disk', join(directory, 'none')], { env: server.env })).toMatchObject({ code: 2 })
})

test('an address is the node\'s to fetch: waited for, or told as an operation', async () => {
  const begun = { ...operationOf('running'), spec: { operation: 'image-import', target: { kind: 'image', id, name: 'disk' } } }
  const server = await serving(({ method, path: at }) => {
    if (method === 'POST') return { status: 202, body: begun }
    return { status: 200, body: at.includes('/operations/') ? { ...begun, status: { ...begun.status, state: 'done', endedAt: '2026-11-20T10:00:01.000Z' } } : image }
  })
  const url = 'https://images.example/disk.qcow2'
  const ran = await run(['image', 'import', 'disk', url, '--sha256', 'A'.repeat(64), '--json'], { env: server.env })
  expect(ran).toMatchObject({ code: 0, json: { kind: 'image' } })
  expect(server.asked[0]!.body).toEqual({ name: 'disk', spec: { source: { url, sha256: 'a'.repeat(64) } } })
  expect(await run(['image', 'import', 'disk', url, '--no-wait', '--json'], { env: server.env })).toMatchObject({ code: 0, json: { kind: 'operation' } })
})

test('copies, labels and names are edited', async () => {
  const server = await serving(() => ({ status: 200, body: image }))
  await run(['image', 'set', 'disk', '--copies', '3', '--label', 'a=b', '--label', 'c-'], { env: server.env })
  await run(['image', 'rename', 'disk', 'rock'], { env: server.env })
  expect(server.asked.map(({ method, body }) => [method, body])).toEqual([['PATCH', { labels: { a: 'b', c: null }, spec: { copies: 3 } }], ['PATCH', { name: 'rock' }]])
  expect((await run(['image', 'set', 'disk'], { env: server.env })).code).toBe(2)
  expect((await run(['image', 'set', 'disk', '--copies', '65'], { env: server.env })).code).toBe(2)
})
