// Forming a cluster on a real disk and network with a simulated hypervisor: what fails leaves nothing open, what is a member stays one.
import { mkdtemp, rm } from 'node:fs/promises'
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
import { Formation } from '../../src/formation.ts'
import type { Host } from '../../src/member.ts'
import { readMembership, writeMembership } from '../../src/membership-file.ts'
import { uuidV7 } from '../../src/model/id.ts'
import { memoryLocalStore } from '../contract/memory.ts'
import { clock, recordingLog } from './http/harness.ts'

const load = { cpuRatio: 0, memoryUsedBytes: 1, memoryTotalBytes: 2 ** 35, storageUsedBytes: 1, storageTotalBytes: 2 ** 40, loopDelayMs: 0, uptimeSeconds: 1 }
let dataDir: string
let host: Host
let formation: Formation
let occupant: Server

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
    log: recordingLog([]), identity, local: await openLocalLevel({ directory: join(dataDir, 'local') }), storage: new SimStorage({ clock, random }),
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
