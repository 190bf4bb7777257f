// Forming a cluster on a real disk and network with a simulated hypervisor: what fails leaves nothing open, what is a member stays one.
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openLocalLevel } from '../../src/db/local-level.ts'
import { createIdentity } from '../../src/drivers/crypto/identity.ts'
import { systemRandom } from '../../src/drivers/crypto/random.ts'
import { createVault } from '../../src/drivers/crypto/vault.ts'
import { SimHypervisor } from '../../src/drivers/sim/hypervisor.ts'
import { SimMachine } from '../../src/drivers/sim/machine.ts'
import { SimStorage } from '../../src/drivers/sim/storage.ts'
import { timingDefault } from '../../src/cluster/timing.ts'
import { configurationRecord } from '../../src/cluster/image.ts'
import { readToEnd } from '../../src/cluster/refounding.ts'
import { emptyConfiguration } from '../../src/cluster/status.ts'
import { Formation } from '../../src/formation.ts'
import { openStores, type Host } from '../../src/member.ts'
import { readMembership, writeMembership } from '../../src/membership-file.ts'
import { uuidV7 } from '../../src/model/id.ts'
import { exportState, writeRecord } from '../../src/state/state.ts'
import { indexJump } from '../../src/state/refounding.ts'
import { writeSuperseded } from '../../src/superseded-file.ts'
import { memoryLocalStore } from '../contract/memory.ts'
import { clock, recordingLog, type LogLine } from './http/harness.ts'
import { backupFile } from './root/backup-file.ts'
import { World } from './state/world.ts'

const load = { cpuRatio: 0, memoryUsedBytes: 1, memoryTotalBytes: 2 ** 35, storageUsedBytes: 1, storageTotalBytes: 2 ** 40, loopDelayMs: 0, uptimeSeconds: 1 }
let dataDir: string
let host: Host
let formation: Formation
let occupant: Server
let lines: LogLine[]

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'novacron-formation-'))
  occupant = createServer()
  await new Promise<void>((resolve) => occupant.listen(0, '127.0.0.1', resolve))
  const address = occupant.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const random = systemRandom
  const identity = createIdentity(uuidV7(clock.nowMs(), random.bytes(10)))
  const machine = new SimMachine({ clock, random })
  host = {
    config: {
      name: 'n1', dataDir, listen: { host: '127.0.0.1', port: 8443 }, peer: { host: '127.0.0.1', port }, advertise: '127.0.0.1', migration: { host: '127.0.0.1', port: 0, directory: join(dataDir, 'migration') }, libvirt: {}, accelerator: 'auto', imageSources: { allowPrivate: [] }, consensus: { ...timingDefault, leaseReads: false }, logLevel: 'info', discovery: false, lab: false,
    },
    log: recordingLog((lines = [])), identity, local: await openLocalLevel({ directory: join(dataDir, 'local') }), storage: new SimStorage({ clock, random }),
    createHypervisor: () => new SimHypervisor({ machine }, { epochs: memoryLocalStore(), clock, random }),
    clock, random, vault: createVault(identity), probe: { load: () => Promise.resolve(load) }, version: '0', discovery: null, logLines: () => [],
  }
  formation = new Formation(host, { attach: () => undefined, onHalted: () => undefined })
})
afterEach(async () => {
  await formation.stop()
  await host.local.close()
  occupant.close()
  await rm(dataDir, { recursive: true, force: true })
})

const freePort = () => new Promise((resolve) => occupant.close(resolve))

test('whom a former membership knew is forgotten before the next one begins', async () => {
  await writeFile(join(dataDir, 'members.json'), '{}')
  await expect(formation.init({})).rejects.toThrow()
  expect(existsSync(join(dataDir, 'members.json'))).toBe(false)
})

test('a failed init leaves nothing open: it can be tried again', async () => {
  await expect(formation.init({})).rejects.toThrow()
  expect(await readMembership(dataDir)).toBeNull()
  await freePort()
  expect(await formation.init({ name: 'lab' })).toMatchObject({ adminUser: 'admin' })
  await expect(formation.init({})).rejects.toMatchObject({ code: 'ALREADY_MEMBER' })
})

test('a node that was admitted but could not be opened forms no cluster of its own', async () => {
  await writeMembership(dataDir, { format: 1, clusterId: 'c', clusterName: 'lab', caCertificate: '', certificatePem: '', tlsKeyPem: '', members: [] })
  await freePort()
  await expect(formation.init({})).rejects.toMatchObject({ code: 'ALREADY_MEMBER' })
  expect(await readMembership(dataDir)).toMatchObject({ clusterName: 'lab' })
})

function backedUp(): World {
  const world = new World()
  world.form()
  return world
}

test('a restored cluster is this host\'s own before it takes part: one that cannot be opened then is opened at the next start', async () => {
  const { state } = backedUp()
  await expect(formation.restore({}, backupFile(state, { timeMs: clock.nowMs() }))).rejects.toThrow(/EADDRINUSE/)
  const record = await readMembership(dataDir)
  expect(record).toMatchObject({ clusterName: 'test' })
  await expect(formation.restore({}, backupFile(state))).rejects.toMatchObject({ code: 'ALREADY_MEMBER' })
  await freePort()
  await formation.resume(record)
  expect(formation.member?.node.cluster.state.tables.cluster.get('cluster')).toMatchObject({ name: 'test', epoch: 2 })
})

test('a restore of one node\'s own backup says what it may lack', async () => {
  const { notes, backup } = await formation.restore({ dryRun: true }, backupFile(backedUp().state, { format: 2, local: { commit: 2_000, quorum: false } }))
  expect(backup).toMatchObject({ local: true })
  expect(notes[0]).toMatch(/^The backup is what n1 alone had applied, up to index \d+ of term 1 \(.*\), without a quorum: it may be behind\. .*, nor is what n1 knew to be committed up to 2000\.$/)
})

test.each<readonly [string, { readonly host?: true; readonly timeMs?: number }, RegExp]>([
  ['on a host that is a member in it', { host: true }, /This host is n1 in the backup/],
  ['that is days ahead of the host\'s clock', { timeMs: clock.nowMs() + 2 * 86_400_000 }, /set the clock right first/],
])('a backup is not restored %s', async (_what, { host: isKnown, timeMs = clock.nowMs() }, message) => {
  const world = backedUp()
  const [known] = world.state.tables.node.values()
  if (isKnown === true) writeRecord(world.state, 'node', host.identity.nodeId, { ...known!, id: host.identity.nodeId })
  await expect(formation.restore({ dryRun: true }, backupFile(world.state, { timeMs }))).rejects.toMatchObject({ code: 'STATE_CONFLICT', message: expect.stringMatching(message) })
  expect(await readMembership(dataDir)).toBeNull()
})

/** This host in a cluster of two voters, whose other one does not answer. */
async function survivor(): Promise<void> {
  await freePort()
  await formation.init({ name: 'lab' })
  await formation.stop()
  const { nodeId } = host.identity
  const { logStore, stateStore } = await openStores(host)
  const { state, term } = await readToEnd(nodeId, { logStore, stateStore })
  const own = state.tables.node.get(nodeId)!
  const otherId = uuidV7(clock.nowMs(), systemRandom.bytes(10))
  writeRecord(state, 'node', otherId, { ...own, id: otherId, name: 'n2', peerId: 'peer-n2', announcement: null })
  state.index += 1
  state.term = term + 1
  const { index } = state
  const configuration = { ...emptyConfiguration, voters: [nodeId, otherId] }
  const { head, records } = exportState(state)
  await stateStore.replace({ head, records: [...records, configurationRecord({ index, configuration })] })
  await logStore.write({ hardState: { term: state.term, vote: null, commit: index }, entries: [], base: { meta: { index, term: state.term, configuration }, discardSuffix: true } })
  await logStore.close()
  await stateStore.close()
  formation = new Formation(host, { attach: () => undefined, onHalted: () => undefined })
  await formation.resume(await readMembership(dataDir))
  expect(formation.member?.node.cluster.status()).toMatchObject({ quorum: false, configuration: { voters: [nodeId, otherId] } })
}

test('a recovery whose last write fails behind its one step is done: the start finishes it, and root is told so', async () => {
  await survivor()
  const put = host.local.put.bind(host.local)
  let failed = 0
  host.local.put = async (key, value) => {
    const isNew = key === 'raft-log' && ((value as { readonly commit?: number }).commit ?? 0) > indexJump
    if (isNew && failed++ === 0) throw new Error('the disk had an ill moment')
    await put(key, value)
  }
  expect(await formation.recover({ othersAreOff: true })).toMatchObject({ dryRun: false, epoch: 2, droppedNodes: ['n2'] })
  expect(failed).toBeGreaterThan(1)
  expect(formation.member?.node.cluster.status()).toMatchObject({ quorum: true, configuration: { voters: [host.identity.nodeId] } })
})

test('a survivor whose log is gone goes on with its state, by the word that what came after it is lost', async () => {
  await survivor()
  const { index } = formation.member!.node.cluster.state
  await formation.stop()
  await rm(join(dataDir, 'raft'), { recursive: true })
  formation = new Formation(host, { attach: () => undefined, onHalted: () => undefined })
  await formation.resume(await readMembership(dataDir))
  expect(formation.member?.node.cluster.status()).toMatchObject({ quorum: false, troubles: [{ type: 'LogDamaged' }] })
  await expect(formation.recover({ othersAreOff: true })).rejects.toMatchObject({ code: 'STATE_CONFLICT', message: expect.stringContaining('--accept-loss') })
  expect(await formation.recover({ othersAreOff: true, acceptLoss: true })).toMatchObject({ dryRun: false, epoch: 2, mayLack: true, droppedNodes: ['n2'] })
  const { cluster } = formation.member!.node
  expect(cluster.status()).toMatchObject({ quorum: true, halted: null, troubles: [], configuration: { voters: [host.identity.nodeId] } })
  expect([...cluster.state.tables.event.values()].find(({ reason }) => reason === 'cluster.recovered')?.message).toContain(`what was acknowledged after index ${index} is lost`)
  await formation.stop()
  formation = new Formation(host, { attach: () => undefined, onHalted: () => undefined })
  await formation.resume(await readMembership(dataDir))
  expect(formation.member?.node.cluster.status()).toMatchObject({ halted: null, troubles: [] })
})

test('a recovery that fails before its step says so, and leaves the former cluster', async () => {
  await survivor()
  const get = host.local.get.bind(host.local)
  let reads = 0
  host.local.get = async (key) => {
    if (key === 'raft-log' && reads++ === 0) throw new Error('the disk had an ill moment')
    return await get(key)
  }
  await expect(formation.recover({ othersAreOff: true })).rejects.toThrow(/ill moment/)
  expect(formation.member?.node.cluster.state.tables.cluster.get('cluster')?.epoch).toBeUndefined()
})

test('a node that is removed while it asks the others is not recovered', async () => {
  await survivor()
  const { transport } = formation.member!.p2p
  const left: Promise<unknown>[] = []
  transport.request = async () => {
    await writeSuperseded(dataDir, { byId: 'n2', by: 'n2', epoch: 2, atMs: 1 })
    left.push(formation.leave())
    while (!lines.some(({ message }) => message === 'this node was removed from its cluster')) await new Promise((resolve) => setImmediate(resolve))
    throw new Error('silent')
  }
  await expect(formation.recover({ othersAreOff: true })).rejects.toMatchObject({ code: 'STATE_CONFLICT', message: expect.stringMatching(/being put out/) })
  await Promise.all(left)
  expect(formation.member).toBeNull()
  expect(formation.departure).toMatchObject({ clusterName: 'lab', done: true })
  expect(await readMembership(dataDir)).toBeNull()
})
