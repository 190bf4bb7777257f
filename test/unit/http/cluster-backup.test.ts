// Backups through the API of a whole node: consistent while writes go on, sealed, noted; and read again.
import { request } from 'node:https'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { authorityOf, readBackup, type ReadBackup } from '../../../src/backup-reader.ts'
import type { BackupFile, Caller, WriteOptions } from '../../../src/app/face.ts'
import { createIdentity } from '../../../src/drivers/crypto/identity.ts'
import { createVault } from '../../../src/drivers/crypto/vault.ts'
import { BackupDecoder, beginBackup, encodeFrame } from '../../../src/model/backup.ts'
import { OperationalError } from '../../../src/model/error.ts'
import { serve, type Ask, type Served } from './harness.ts'
import { startRealNode, type RealNode } from './real-node.ts'

const passphrase = 'correct horse battery staple'
const vault = createVault(createIdentity('01890a5d-ac96-774b-bcce-000000000001'))
let real: RealNode
let served: Served
const admin = (path: string, options: Ask = {}) => served.ask(`/api/v1${path}`, { token: real.token, ...options })

beforeAll(async () => {
  real = await startRealNode()
  served = await serve({ app: real.node.app })
  expect((await admin('/users', { method: 'POST', json: { name: 'bob', spec: {}, password: 'a long enough passphrase' } })).status).toBe(201)
  expect((await admin('/vms', { method: 'POST', json: { name: 'web', spec: { cpus: 1, memoryMiB: 64, cloudInit: { userData: '#cloud-config secret-of-web' } } } })).status).toBe(201)
})
afterAll(async () => {
  await served.http.stop()
  await real.stop()
})

async function backUp(body: object, token = real.token): Promise<{ readonly status: number; readonly bytes: Buffer; readonly index: number }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; bytes: Buffer; index: number }>()
  const outgoing = request(`${served.origin}/api/v1/cluster/backup`, { method: 'POST', ca: served.certPem, agent: false, headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' } }, (response) => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', reject)
    response.on('end', () => resolve({ status: response.statusCode ?? 0, bytes: Buffer.concat(chunks), index: Number(response.headers['novacron-index']) }))
  })
  outgoing.on('error', reject)
  outgoing.end(JSON.stringify(body))
  return promise
}

async function* pieces(bytes: Buffer): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000)
}
const read = (bytes: Buffer, given: string | null): Promise<ReadBackup> => readBackup(pieces(bytes), given, vault)

/** The same file with another header, and every check as it should be: what somebody can make who knows no passphrase. */
function forged(bytes: Buffer, changes: object): Buffer {
  const sha256Hex = (data: Uint8Array) => vault.sha256Hex(data)
  const begun = beginBackup(sha256Hex)
  const parts = [begun.bytes]
  let { check } = begun
  for (const frame of new BackupDecoder(sha256Hex).push(bytes)) {
    const payload = frame.kind === 'header' ? Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(frame.payload).toString()), ...changes })) : frame.payload
    const encoded = encodeFrame({ ...frame, payload }, check, sha256Hex)
    parts.push(encoded.bytes)
    check = encoded.check
  }
  return Buffer.concat(parts)
}

describe('under a passphrase', () => {
  test('nothing stands open but the header; the key and the authority come out again', async () => {
    const { status, bytes, index } = await backUp({ passphrase })
    expect(status).toBe(201)
    for (const word of ['secret-of-web', 'passwordHash', 'caKeySealed', passphrase, 'bob']) expect(bytes.includes(word), word).toBe(false)
    const backup = await read(bytes, passphrase)
    expect(backup.header).toMatchObject({ clusterName: 'lab', node: 'n1', index, format: 1 })
    expect([...backup.state.tables.vm.values()].map((vm) => vm.name)).toEqual(['web'])
    expect([...backup.state.tables.user.values()].map((user) => user.name).toSorted()).toEqual(['admin', 'bob'])
    expect(authorityOf(backup, vault)?.keyPem).toContain('PRIVATE KEY')
  })
  test('another passphrase, or none, does not open it', async () => {
    const { bytes } = await backUp({ passphrase })
    await expect(read(bytes, `${passphrase}!`)).rejects.toMatchObject({ code: 'PASSPHRASE_WRONG' })
    await expect(read(bytes, null)).rejects.toMatchObject({ code: 'INVALID' })
  })
  test('a header that was altered, with the checks made anew, opens nothing', async () => {
    const { bytes } = await backUp({ passphrase })
    await expect(read(forged(bytes, {}), passphrase)).resolves.toMatchObject({ header: { clusterName: 'lab' } })
    for (const changes of [{ timeMs: 1_900_000_000_000 }, { term: 7_000 }, { clusterName: 'other' }, { createdAt: '2030-01-01T00:00:00.000Z' }]) {
      await expect(read(forged(bytes, changes), passphrase), JSON.stringify(changes)).rejects.toMatchObject({ code: 'PASSPHRASE_WRONG' })
    }
  })
  test('a passphrase that is too short is refused', async () => {
    expect(await admin('/cluster/backup', { method: 'POST', json: { passphrase: 'short' } })).toMatchObject({ status: 422, json: { fields: [{ path: 'passphrase' }] } })
  })
  test('sealed frames of one file do not open in another', async () => {
    const [one, other] = await Promise.all([backUp({ passphrase }), backUp({ passphrase })])
    const headerEnd = (bytes: Buffer) => 16 + 5 + bytes.readUInt32BE(16) + 32
    const mixed = Buffer.concat([one.bytes.subarray(0, headerEnd(one.bytes)), other.bytes.subarray(headerEnd(other.bytes))])
    await expect(read(mixed, passphrase)).rejects.toMatchObject({ code: 'BACKUP_DAMAGED' })
  })
})

describe('without one', () => {
  test('the key is not in it, and secrets stand sealed', async () => {
    const { bytes } = await backUp({})
    const backup = await read(bytes, null)
    expect(backup.clusterKey).toBeNull()
    expect(authorityOf(backup, vault)).toBeNull()
    expect(bytes.includes('PRIVATE KEY')).toBe(false)
  })
  test('a passphrase for it is refused: whoever gives one means a sealed file', async () => {
    const { bytes } = await backUp({})
    await expect(read(bytes, passphrase)).rejects.toMatchObject({ code: 'INVALID', data: { fields: [{ path: 'passphrase' }] } })
  })
})

test('writes that go on are all in it up to its index, and none beyond', async () => {
  let going = true
  const acknowledged: string[] = []
  const writer = (async () => {
    for (let at = 0; going; at++) {
      const name = `w-${at}`
      expect((await admin('/vms', { method: 'POST', json: { name, spec: { cpus: 1, memoryMiB: 16 } } })).status).toBe(201)
      acknowledged.push(name)
    }
  })()
  for (let round = 0; round < 4; round++) {
    const before = [...acknowledged]
    const { bytes, index } = await backUp({})
    const { state } = await read(bytes, null)
    expect(state.index).toBe(index)
    const names = new Set([...state.tables.vm.values()].map((vm) => vm.name))
    for (const name of before) expect(names, `round ${round}`).toContain(name)
    for (const vm of state.tables.vm.values()) expect(vm.revision).toBeLessThanOrEqual(index)
  }
  going = false
  await writer
})

test('who asked, what came of it and the last one are known; nothing of the passphrase is kept', async () => {
  const { bytes, index } = await backUp({ passphrase })
  const { checksum } = await read(bytes, passphrase)
  expect((await admin('/cluster/backup')).json).toMatchObject({ last: { by: 'admin/initial', node: 'n1', index, bytes: bytes.length, checksum, sealed: true } })
  expect((await served.ask('/metrics', { token: real.token })).text).toMatch(/^novacron_cluster_backup_timestamp_seconds\{node="n1"\} \d{10}/m)
  expect((await admin('/audit?filter=command:cluster.backup')).json.items[0]).toMatchObject({ actor: 'admin/initial', outcome: 'done' })
  const reasons = (await admin('/events?limit=20')).json.items.map((event: { reason: string }) => event.reason)
  expect(reasons).toEqual(expect.arrayContaining(['cluster.backup', 'cluster.backedUp']))
  expect(JSON.stringify([...real.node.cluster.state.tables.idempotency.values(), ...real.node.cluster.state.tables.audit.values()])).not.toContain(passphrase)
})

test('it is noted once its last frame was taken, not before', async () => {
  const { clusterBackup, identity } = real.node.app
  const caller = (await identity.authenticateToken(real.token, '')) as Caller
  const before = clusterBackup.lastBackup(caller)
  const options: WriteOptions = { idempotencyKey: null, bodyHash: '', ifMatch: null, dryRun: false, waitSeconds: 0, signal: new AbortController().signal }
  const start = async () => ((await clusterBackup.backup(caller, {}, options)) as BackupFile).bytes[Symbol.asyncIterator]()
  const decoder = new BackupDecoder((data) => vault.sha256Hex(data))
  const readToEndFrame = async (frames: AsyncIterator<Uint8Array>) => {
    for (;;) {
      const { value } = await frames.next()
      if (decoder.push(value).some(({ kind }) => kind === 'end')) return
    }
  }
  const frames = await start()
  await readToEndFrame(frames)
  expect(clusterBackup.lastBackup(caller)).toEqual(before)
  expect(await frames.next()).toMatchObject({ done: true })
  expect(clusterBackup.lastBackup(caller)).toMatchObject({ last: { checksum: decoder.end(), bytes: decoder.bytes, node: 'n1' } })
})

test('whoever goes away in the midst leaves room for others, and no good backup is noted', async () => {
  const before = (await admin('/cluster/backup')).json
  for (let round = 0; round < 5; round++) {
    const outgoing = request(`${served.origin}/api/v1/cluster/backup`, { method: 'POST', ca: served.certPem, agent: false, headers: { Authorization: `Bearer ${real.token}`, 'Content-Type': 'application/json' } })
    const { promise, resolve } = Promise.withResolvers<void>()
    outgoing.on('response', (response) => {
      response.on('error', () => undefined).on('close', resolve)
      outgoing.destroy()
    }).on('error', () => resolve())
    outgoing.end('{}')
    await promise
  }
  const deadlineMs = performance.now() + 20_000
  let status = 0
  while (status !== 201 && performance.now() < deadlineMs) ({ status } = await backUp({}))
  expect(status).toBe(201)
  expect((await admin('/cluster/backup')).json).not.toEqual(before)
})

test('a local one is marked as such, asks nobody, and does not count as the last', async () => {
  const { clusterBackup, identity } = real.node.app
  const caller = (await identity.authenticateToken(real.token, '192.0.2.7'))!
  const told = () => [clusterBackup.lastBackup(caller), [...real.node.cluster.state.tables.event.values()].filter(({ reason }) => reason.startsWith('cluster.back')).length]
  const before = told()
  const { status, bytes, index } = await backUp({ passphrase, local: true })
  expect(status).toBe(201)
  expect(told()).toEqual(before)
  const { header } = await read(bytes, passphrase)
  expect(header).toMatchObject({ format: 2, index, term: 2, local: { commit: index, quorum: true } })
  expect((await read((await backUp({})).bytes, null)).header).toMatchObject({ format: 1 })
  const { items } = real.node.app.records.audit(caller, { limit: 5, after: null, sort: '-at', filter: 'command:cluster.localBackup' })
  expect(items).toMatchObject([{ target: 'n1', outcome: 'done' }])
})

test('without a quorum it says how what is here can be saved; a state in doubt is not saved', async () => {
  const { app, cluster } = real.node
  const caller = (await app.identity.authenticateToken(real.token, '192.0.2.7'))!
  const options: WriteOptions = { idempotencyKey: null, bodyHash: '', ifMatch: null, dryRun: false, waitSeconds: 0, signal: new AbortController().signal }
  const kept = { propose: cluster.propose.bind(cluster), status: cluster.status.bind(cluster) }
  try {
    cluster.propose = () => Promise.reject(new OperationalError('NO_QUORUM', 'There is no leader.'))
    await expect(app.clusterBackup.backup(caller, {}, options)).rejects.toThrow(/There is no leader\. What this node has can be saved all the same, with "local"/)
    await expect(app.clusterBackup.backup(caller, { local: true }, options)).resolves.toMatchObject({ name: expect.stringMatching(/-local\.novabackup$/) })
    cluster.status = () => ({ ...kept.status(), divergence: { phase: 'doubt', index: 9, hash: 'a', expected: 'b' } })
    await expect(app.clusterBackup.backup(caller, { local: true }, options)).rejects.toMatchObject({ code: 'STATE_DIVERGED' })
  } finally {
    Object.assign(cluster, kept)
  }
})
