// Images on a real cluster: uploads that survive a daemon's end, images that travel to where VMs need them, copies as wished, imports from addresses.
import { execFileSync } from 'node:child_process'
import { createHash, randomFillSync } from 'node:crypto'
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { imageSchema, type Image } from '../../src/model/image.ts'
import { operationSchema, type Operation } from '../../src/model/operation.ts'
import { uploadSchema } from '../../src/model/upload.ts'
import { openBrowser, signIn, sit } from './browser.ts'
import { Api, problemOf } from './lab-api.ts'
import { eventually, Lab, novacron } from './lab-runner.ts'
import { ConsoleReader, Truth } from './lab-truth.ts'

t.setTimeout(900_000)
const lab = new Lab()
const api = new Api(lab)
const truth = new Truth(lab)
const scratch = mkdtempSync(join(tmpdir(), 'nc-images-'))
const mebibyte = 2 ** 20
let files: Server | null = null

t.teardown(async () => {
  files?.closeAllConnections()
  files?.close()
  await lab.run('down', '--purge')
  rmSync(dirname(lab.dir), { recursive: true, force: true })
  rmSync(scratch, { recursive: true, force: true })
})

/** A raw disk of random bytes: no two are the same, nothing makes it smaller on its way. */
function makeDisk(name: string, bytes: number): { readonly path: string; readonly bytes: Buffer; readonly sha256: string } {
  const disk = randomFillSync(Buffer.alloc(bytes))
  disk.set([0x55, 0xaa], 510)
  const path = join(scratch, name)
  writeFileSync(path, disk)
  return { path, bytes: disk, sha256: createHash('sha256').update(disk).digest('hex') }
}

const image = async (node: string, ref: string): Promise<Image> => imageSchema.parse((await api.expect(200, node, 'GET', `/api/v1/images/${ref}?consistent=true`)).body)
const holds = (node: string, sha256: string): boolean => truth.files(node, 'images').some((file) => file.startsWith(sha256))
const partials = (node: string): readonly string[] => globSync('*', { cwd: join(lab.node(node).dataDir, 'storage', 'partial') })

/** Ends a daemon as a crash would; it is started again as systemd would. */
async function crash(node: string): Promise<void> {
  const before = (await lab.status()).nodes.find((each) => each.name === node)?.pid
  process.kill(before ?? lab.node(node).pid, 'SIGKILL')
  await eventually(`${node} is back`, 60_000, async () => {
    const now = (await lab.status()).nodes.find((each) => each.name === node)
    return now?.pid !== before && now?.ready === true
  })
}

await t.test('image tiny came to every node from the first', async (t) => {
  await lab.up(3)
  const { spec, status } = await image('node3', 'tiny')
  t.same(status.nodes, ['node1', 'node2', 'node3'])
  t.equal(spec.copies, 'all')
  for (const name of status.nodes) t.ok(holds(name, spec.sha256), `${name} has the file`)
  const { text } = await api.expect(200, 'node1', 'GET', '/metrics')
  t.match(text, /route="\/peer\/image"[^}]*status="200"|status="200"[^}]*route="\/peer\/image"/, 'by HTTPS, not by the slower peer stream')
})

await t.test('an upload goes on after its node crashed', async (t) => {
  const disk = makeDisk('parts.raw', 24 * mebibyte)
  const body = { name: 'parts', labels: { kept: 'yes' }, spec: { sizeBytes: disk.bytes.length, copies: 1 } }
  const begun = uploadSchema.parse((await api.expect(201, 'node1', 'POST', '/api/v1/uploads', { body })).body)
  const part = (offset: number, bytes: Uint8Array) => api.call('node1', 'PUT', `/api/v1/uploads/${begun.id}/data?offset=${offset}`, { body: bytes, headers: { 'content-type': 'application/octet-stream' }, timeoutMs: 60_000 })
  t.equal((await part(0, disk.bytes.subarray(0, 10 * mebibyte))).status, 200)
  const early = await api.call('node1', 'POST', `/api/v1/uploads/${begun.id}/finish`)
  t.match(problemOf(early), { status: 409, code: 'STATE_CONFLICT' })
  await crash('node1')
  const found = uploadSchema.parse((await api.expect(200, 'node1', 'GET', `/api/v1/uploads/${begun.id}`)).body)
  t.equal(found.status.offset, 10 * mebibyte)
  t.match(problemOf(await part(0, disk.bytes)), { status: 409, code: 'STATE_CONFLICT' })
  t.equal((await part(10 * mebibyte, disk.bytes.subarray(10 * mebibyte))).status, 200)
  const made = imageSchema.parse((await api.expect(201, 'node1', 'POST', `/api/v1/uploads/${begun.id}/finish`, { timeoutMs: 60_000 })).body)
  t.match(made, { name: 'parts', labels: { kept: 'yes' }, spec: { format: 'raw', sha256: disk.sha256, copies: 1 }, status: { nodes: ['node1'] } })
  const again = imageSchema.parse((await api.expect(201, 'node1', 'POST', `/api/v1/uploads/${begun.id}/finish`)).body)
  t.equal(again.id, made.id, 'asked again it is the same image')
  t.same(partials('node1'), [])
  const other = uploadSchema.parse((await api.expect(201, 'node1', 'POST', '/api/v1/uploads', { body: { ...body, name: 'ended' } })).body)
  await api.expect(204, 'node1', 'DELETE', `/api/v1/uploads/${other.id}`)
  t.match(problemOf(await api.call('node1', 'GET', `/api/v1/uploads/${other.id}`)), { code: 'NOT_FOUND' })
  t.match(problemOf(await api.call('node1', 'POST', '/api/v1/uploads', { body: { name: 'parts', spec: { sizeBytes: 512 } } })), { status: 409, code: 'NAME_TAKEN' })
})

await t.test('the command line goes on by itself while its node crashes', async (t) => {
  const disk = makeDisk('cli.raw', 200 * mebibyte)
  const running = novacron(['image', 'import', 'cli', disk.path, '--copies', '1', '--json'], { env: lab.env('node2'), timeoutMs: 180_000 })
  await eventually('some of it is there', 60_000, () => partials('node2').some((name) => name.endsWith('.data')))
  await crash('node2')
  const ran = await running
  t.equal(ran.code, 0, ran.stderr)
  t.equal(imageSchema.parse(JSON.parse(ran.stdout)).spec.sha256, disk.sha256)
  await novacron(['image', 'delete', 'cli', '--yes'], { env: lab.env('node2') })
})

await t.test('a VM starts on a node without its image, which comes there and is then in use', async (t) => {
  const path = join(scratch, 'bootable.raw')
  execFileSync('qemu-img', ['convert', '-O', 'raw', join(lab.dir, 'tiny.qcow2'), path])
  const ran = await novacron(['image', 'import', 'bootable', path, '--copies', '1'], { env: lab.env('node1'), timeoutMs: 60_000 })
  t.equal(ran.code, 0, ran.stderr)
  const { spec } = await image('node1', 'bootable')
  t.notOk(holds('node3', spec.sha256))
  const vm = await api.createVm('node2', 'far', { on: 'node3', spec: { disks: [{ name: 'root', image: 'bootable' }] } })
  t.equal(vm.status.phase, 'running')
  t.ok(holds('node3', spec.sha256), 'the image is there now')
  const console = new ConsoleReader(lab, 'node1', vm.id)
  await eventually('its guest ticks', 90_000, () => console.tick > 0)
  console.close()
  const refused = problemOf(await api.call('node2', 'DELETE', '/api/v1/images/bootable'))
  t.match(refused, { status: 409, code: 'IN_USE', detail: /of far/ })
  t.match((await image('node2', 'bootable')).status, { uses: 1, usedBy: { count: 1, names: ['far'] } })
})

await t.test('copies are kept as wished, and one that is in use does not go', async (t) => {
  const { spec } = await image('node1', 'bootable')
  const set = async (copies: string) => t.equal((await novacron(['image', 'set', 'bootable', '--copies', copies], { env: lab.env('node2') })).code, 0)
  await set('all')
  await eventually('a copy on every node', 60_000, async () => (await image('node1', 'bootable')).status.nodes.length === 3)
  for (const name of ['node1', 'node2', 'node3']) t.ok(holds(name, spec.sha256))
  await set('1')
  await eventually('one is left', 60_000, async () => (await image('node1', 'bootable')).status.nodes.join() === 'node3')
  await eventually('the other files are gone', 30_000, () => !holds('node1', spec.sha256) && !holds('node2', spec.sha256))
  t.ok(holds('node3', spec.sha256))
  t.equal((await api.vm('node1', 'far')).status.phase, 'running')
  const patched = await api.expect(200, 'node1', 'PATCH', '/api/v1/images/bootable?dryRun=true', { body: { name: 'rock', spec: { copies: 2 } } })
  t.match(patched.body, { dryRun: true, differences: [{ path: 'name', before: 'bootable', after: 'rock' }, { path: 'spec.copies', before: 1, after: 2 }] })
  t.match(problemOf(await api.call('node1', 'PATCH', '/api/v1/images/bootable', { body: { spec: { sha256: '0'.repeat(64) } } })), { status: 422, code: 'INVALID' })
})

await t.test('a holder that dies in the midst is replaced by another', async (t) => {
  const disk = makeDisk('travel.raw', 300 * mebibyte)
  t.equal((await novacron(['image', 'import', 'travel', disk.path, '--copies', '2'], { env: lab.env('node1'), timeoutMs: 120_000 })).code, 0)
  await eventually('two copies', 120_000, async () => (await image('node1', 'travel')).status.nodes.length === 2)
  const holders = (await image('node1', 'travel')).status.nodes
  const third = ['node1', 'node2', 'node3'].find((name) => !holders.includes(name))!
  const [victim, other] = holders as [string, string]
  await api.expect(200, other, 'PATCH', '/api/v1/images/travel', { body: { spec: { copies: 'all' } } })
  await eventually('it is on its way', 30_000, () => partials(third).some((name) => name.endsWith('.data')) || holds(third, disk.sha256))
  await lab.run('kill', victim)
  await eventually('it has come all the same', 120_000, () => holds(third, disk.sha256))
  await eventually('which is known', 30_000, async () => (await image(other, 'travel')).status.nodes.includes(third))
  t.equal(createHash('sha256').update(readFileSync(join(lab.node(third).dataDir, 'storage', 'images', `${disk.sha256}.raw`))).digest('hex'), disk.sha256)
  await lab.run('start', victim)
  await eventually('the victim is back', 60_000, async () => (await lab.status()).nodes.every((node) => node.ready))
  await api.expect(204, other, 'DELETE', '/api/v1/images/travel')
})

await t.test('images from addresses: nothing private, unless the node allows it; progress, cancel, checks', async (t) => {
  const disk = makeDisk('web.raw', 30 * mebibyte)
  let slow = false
  files = createServer((request, response) => {
    if (request.url === '/inside') return response.writeHead(302, { Location: 'http://127.0.0.1:8443/' }).end()
    const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
    response.writeHead(from > 0 ? 206 : 200, { ETag: '"one"', 'Content-Length': disk.bytes.length - from, ...(from > 0 ? { 'Content-Range': `bytes ${from}-${disk.bytes.length - 1}/${disk.bytes.length}` } : {}) })
    if (!slow) return response.end(disk.bytes.subarray(from))
    let at = from
    const timer = setInterval(() => {
      if (at >= disk.bytes.length || response.destroyed) return clearInterval(timer)
      response.write(disk.bytes.subarray(at, (at += 200_000)))
    }, 50)
    return response
  })
  await new Promise<void>((resolve) => files?.listen(0, '0.0.0.0', resolve))
  const machine = lab.node('node1').address.replace(/\.\d+$/, '.1')
  const origin = `http://${machine}:${(files.address() as AddressInfo).port}`
  const ask = (name: string, source: object) => api.call('node1', 'POST', '/api/v1/images', { body: { name, spec: { source, copies: 1 } } })
  for (const url of [`${origin}/a`, 'http://127.0.0.1:8443/', 'http://[::1]/', `https://${lab.node('node2').address}:8443/`, 'file:///etc/passwd', 'http://2130706433/']) {
    t.match(problemOf(await ask('web', { url })), { status: 422, code: 'SOURCE_REFUSED' }, url)
  }
  const configFile = join(dirname(lab.node('node1').dataDir), 'node.json')
  writeFileSync(configFile, JSON.stringify({ ...(JSON.parse(readFileSync(configFile, 'utf8')) as object), imageSources: { allowPrivate: [`${machine}/32`] } }))
  await crash('node1')
  const begin = async (name: string, source: object): Promise<Operation> => {
    const answer = await ask(name, source)
    t.equal(answer.status, 202, answer.text)
    return operationSchema.parse(answer.body)
  }
  const ended = async ({ id }: Operation): Promise<Operation> => operationSchema.parse((await api.expect(200, 'node2', 'GET', `/api/v1/operations/${id}?wait=60&consistent=true`, { timeoutMs: 70_000 })).body)
  t.match((await ended(await begin('web', { url: `${origin}/a`, sha256: disk.sha256 }))).status, { state: 'done' })
  t.match(await image('node2', 'web'), { spec: { format: 'raw', sha256: disk.sha256 }, status: { nodes: ['node1'] } })
  t.match((await ended(await begin('wrong', { url: `${origin}/a`, sha256: '0'.repeat(64) }))).status, { state: 'failed', error: { code: 'IMAGE_CHECKSUM' } })
  t.match((await ended(await begin('inside', { url: `${origin}/inside` }))).status, { state: 'failed', error: { code: 'SOURCE_REFUSED' } })
  slow = true
  const cancelled = await begin('slow', { url: `${origin}/a` })
  await eventually('another node hears how far it is', 20_000, async () => {
    const { status } = operationSchema.parse((await api.expect(200, 'node2', 'GET', `/api/v1/operations/${cancelled.id}?consistent=true`)).body)
    return (status.progress?.processedBytes ?? 0) > 0 && status.progress?.totalBytes === disk.bytes.length
  })
  await api.expect(202, 'node2', 'POST', `/api/v1/operations/${cancelled.id}/cancel`)
  t.match((await ended(cancelled)).status, { state: 'cancelled' })
  await eventually('nothing of it is left', 20_000, () => partials('node1').length === 0)
  const resumed = await begin('resumed', { url: `${origin}/a` })
  await eventually('it has begun', 20_000, () => partials('node1').length > 0)
  await delay(1000)
  slow = false
  await crash('node1')
  t.match((await ended(resumed)).status, { state: 'done' }, 'goes on after a crash of its node')
  t.equal((await image('node2', 'resumed')).spec.sha256, disk.sha256)
})

await t.test('on the page an upload is paused, goes on after a reload, and becomes an image', async (t) => {
  const disk = makeDisk('page.raw', 90 * mebibyte)
  const browser = await openBrowser()
  t.teardown(() => browser.close())
  const { page, troubles } = await sit(browser)
  const { url } = lab.node('node2')
  // A lab of somebody else that comes or goes makes Chromium drop what is under way.
  await eventually('signed in', 60_000, () => signIn(page, url, readFileSync(join(lab.dir, 'admin-password'), 'utf8').trim()).then(() => true, (error: unknown) => {
    if (String(error).includes('ERR_NETWORK_CHANGED')) return false
    throw error
  }))
  const choose = async () => {
    await page.goto(`${url}/images`)
    await page.locator('#image-name').fill('paged')
    await page.locator('#image-file').setInputFiles(disk.path)
  }
  page.on('dialog', (dialog) => void dialog.accept())
  await choose()
  await page.getByRole('button', { name: 'Upload' }).click()
  await eventually('a first part is there', 60_000, () => partials('node2').some((name) => name.endsWith('.data')))
  await page.getByRole('button', { name: 'Pause' }).click()
  await page.getByText('Paused', { exact: true }).waitFor()
  await choose()
  await page.getByText('paged is not whole yet').waitFor()
  await page.getByRole('button', { name: 'Upload' }).click()
  await page.locator('#images tr', { hasText: 'paged' }).waitFor({ timeout: 120_000 })
  t.equal((await image('node1', 'paged')).spec.sha256, disk.sha256)
  t.ok(existsSync(disk.path))
  t.same(troubles.filter((trouble) => !/ERR_ABORTED|409/.test(trouble)), [])
})
