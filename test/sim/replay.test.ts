// A support bundle of a whole node: without secrets, whole or refused, and replayed to the very hash that the node has.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readBundle } from '../../src/cli/bundle-file.ts'
import { packBundle } from '../../src/http/support-bundle.ts'
import { makeCommand } from '../../src/model/command.ts'
import type { BundleLine } from '../../src/model/support-bundle.ts'
import { stateHash, writeRecord } from '../../src/state/state.ts'
import { clock, serve, type Ask, type Served } from '../unit/http/harness.ts'
import { defaultCheckpointBounds } from '../../src/cluster/checkpoint.ts'
import { startRealNode, type RealNode } from '../unit/http/real-node.ts'
import { renderReplay, replayBundle } from './replay.ts'

let real: RealNode
let served: Served
const directory = mkdtempSync(join(tmpdir(), 'nc-replay-'))
const api = (path: string, options: Ask = {}) => served.ask(`/api/v1${path}`, { token: real.token, ...options })

beforeAll(async () => {
  real = await startRealNode({ checkpoints: defaultCheckpointBounds })
  served = await serve({ app: real.node.app })
}, 60_000)
afterAll(async () => {
  await served.http.stop()
  await real.stop()
  rmSync(directory, { recursive: true })
})

let bundles = 0
/** Of the node as it is now. */
async function save(): Promise<string> {
  const path = join(directory, `${bundles++}.bundle.gz`)
  const chunks: Buffer[] = []
  for await (const chunk of packBundle(real.node.app.supportBundle(null).lines)) chunks.push(chunk as Buffer)
  writeFileSync(path, Buffer.concat(chunks))
  return path
}
async function linesOf(path: string): Promise<readonly BundleLine[]> {
  const lines: BundleLine[] = []
  for await (const line of readBundle(path)) lines.push(line)
  return lines
}

describe('a bundle', () => {
  const secret = 'correct horse battery staple'
  beforeAll(async () => {
    expect(await api('/users', { method: 'POST', json: { name: 'anna', password: secret, spec: {} }, headers: { 'Idempotency-Key': 'anna' } })).toMatchObject({ status: 201 })
    expect(await api('/users/anna/password', { method: 'POST', json: { password: `${secret} 2` } })).toMatchObject({ status: 200 })
    expect(await api('/tokens', { method: 'POST', json: { name: 'ci', spec: {} } })).toMatchObject({ status: 201 })
    expect(await api('/cluster/join-tokens', { method: 'POST', json: {} })).toMatchObject({ status: 201 })
    const vm = { name: 'web', spec: { cpus: 1, memoryMiB: 64, cloudInit: { userData: '#cloud-config\npassword: hunter2' } } }
    expect(await api('/vms', { method: 'POST', json: vm, headers: { 'Idempotency-Key': 'web' } })).toMatchObject({ status: 201 })
    expect(await api('/vms', { method: 'POST', json: vm, headers: { 'Idempotency-Key': 'web' } })).toMatchObject({ status: 201 })
    expect(await api('/vms/web', { method: 'PATCH', json: { labels: { tier: 'front' } } })).toMatchObject({ status: 200 })
    expect(await api('/vms', { method: 'POST', json: { ...vm, name: 'gone', spec: { ...vm.spec, runState: 'stopped' } } })).toMatchObject({ status: 201 })
    expect(await api('/vms/gone', { method: 'DELETE', headers: { Prefer: 'wait=20' } })).toMatchObject({ status: 202 })
  }, 60_000)

  test('holds no secret, in no form', async () => {
    const path = await save()
    const text = (await linesOf(path)).map((line) => JSON.stringify(line)).join('\n')
    const { tables } = real.node.cluster.state
    const cluster = tables.cluster.get('cluster')!
    const secrets = [
      secret, 'hunter2', real.token, real.password, cluster.caKeySealed, cluster.sessionKeySealed, ...[...tables.node.values()].map((node) => node.wrappedClusterKey),
      ...[...tables.user.values()].map((user) => user.passwordHash), ...[...tables.token.values()].map((token) => token.secretHash), ...[...tables.joinToken.values()].map((token) => token.secretHash),
      ...[...tables.idempotency.values()].map((record) => record.bodyHash),
    ]
    expect(secrets.length).toBeGreaterThan(10)
    for (const each of secrets) expect(text.includes(JSON.stringify(each).slice(1, -1)), each).toBe(false)
    for (const kind of ['bundle', 'host', 'status', 'base', 'entry', 'metric']) expect(text, kind).toContain(`{"kind":"${kind}"`)
  })

  test('is replayed by production code to the hash that the node has', async () => {
    const path = await save()
    const replay = await replayBundle(path)
    const status = (await linesOf(path)).find((line) => line.kind === 'status')
    expect(replay.difference).toBeNull()
    expect(replay.hash).toBe(status?.hash)
    expect(replay.compared.entries).toBe(replay.bundle.entries.length)
    expect(stateHash(replay.state)).not.toBe(replay.hash)
    expect(replay.state.tables.vm.size).toBe(real.node.cluster.state.tables.vm.size)
    expect(renderReplay(replay, {})).toContain('nothing differs')
  })

  test('stops at an index, and shows a resource and what changed it', async () => {
    const path = await save()
    const whole = await replayBundle(path, { resource: 'vm/web' })
    expect(whole.history.map((step) => step.what.split(' ')[0])).toEqual(expect.arrayContaining(['vm.create', 'vm.patch', 'vm.report']))
    const patch = whole.history.find((step) => step.what.startsWith('vm.patch'))!
    expect(patch.what).toMatch(/by token initial|by user admin|by token/)
    const stopped = await replayBundle(path, { index: patch.index, resource: 'vm/web' })
    expect(stopped.state.index).toBe(patch.index)
    expect(stopped.at?.changes).toContainEqual({ path: expect.stringMatching(/^vm\/.*\.labels\.tier$/) as unknown, before: null, after: 'front' })
    const text = renderReplay(stopped, { index: patch.index, resource: 'vm/web' })
    expect(text).toMatch(new RegExp(`entry ${patch.index}: vm\\.patch by .*: done`))
    expect(text).toMatch(/"tier": "front"/)
    await expect(replayBundle(path, { index: 1_000_000 })).rejects.toThrow(/leads from index/)
    await expect(replayBundle(path, { resource: 'nothing/web' })).rejects.toThrow(/tables are/)
  })

  test('checkpoints in it are compared', { timeout: 60_000 }, async () => {
    const deadlineMs = performance.now() + 50_000
    while (real.node.cluster.agreement().index === 0) {
      if (performance.now() > deadlineMs) throw new Error('there was no checkpoint')
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    const replay = await replayBundle(await save())
    expect(replay.compared.checkpoints).toBeGreaterThan(0)
    expect(replay.difference).toBeNull()
  })

  test('is refused where a byte was changed, or the end is missing', async () => {
    const path = await save()
    const text = gunzipSync(readFileSync(path)).toString()
    const changed = join(directory, 'changed.gz')
    writeFileSync(changed, gzipSync(text.replace('"front"', '"fromt"')))
    await expect(linesOf(changed)).rejects.toThrow(/not whole, or was changed/)
    writeFileSync(changed, gzipSync(text.split('\n').slice(0, -2).join('\n')))
    await expect(replayBundle(changed)).rejects.toThrow(/not whole/)
    writeFileSync(changed, 'nonsense')
    await expect(replayBundle(changed)).rejects.toThrow(/no support bundle/)
  })

  test('of a node that applied something differently names the very entry', async () => {
    const { cluster } = real.node
    const unwatch = cluster.watch((event) => {
      if (event.kind === 'applied' && event.command?.type === 'project.create') writeRecord(cluster.state, 'revokedSession', 'planted', { id: 'planted', expiresMs: clock.nowMs() + 1e9 })
    })
    const head = { id: '01890a5d-ac96-774b-bcce-000000000001', actor: { kind: 'system' as const, id: 's', name: 'planter', address: '' } }
    const result = await cluster.propose(makeCommand('project.create', head, { id: '01890a5d-ac96-774b-bcce-000000000002', name: 'shop', labels: {}, spec: { description: '' } } as never))
    unwatch()
    const index = result.kind === 'done' ? result.index : 0
    const replay = await replayBundle(await save())
    expect(replay.difference).toMatchObject({ index, by: 'the node itself' })
    expect(replay.bundle.mismatch).toMatchObject({ index })
    expect(replay.at).toMatchObject({ index, what: expect.stringContaining('project.create by system planter') as unknown })
    expect(renderReplay(replay, {})).toMatch(new RegExp(`THE FIRST INDEX THAT DIFFERS IS ${index}`))
  })
})
