// A whole node (use cases, Raft, state, controllers) on simulated disk, network and hypervisor but real time, behind the real HTTPS server.
import type { CheckpointBounds } from '../../../src/cluster/checkpoint.ts'
import { createAuthority } from '../../../src/drivers/crypto/authority.ts'
import { createTlsKey } from '../../../src/drivers/crypto/certificate.ts'
import { createIdentity } from '../../../src/drivers/crypto/identity.ts'
import { systemRandom } from '../../../src/drivers/crypto/random.ts'
import { joinProofText } from '../../../src/model/node-proof.ts'
import type { JoinRequest } from '../../../src/model/join.ts'
import { peerIdOfPrivateKey } from '../../../src/p2p/peer-id.ts'
import { createVault } from '../../../src/drivers/crypto/vault.ts'
import { SimDisk } from '../../../src/drivers/sim/disk.ts'
import { SimHypervisor } from '../../../src/drivers/sim/hypervisor.ts'
import { SimLogStore } from '../../../src/drivers/sim/log-store.ts'
import { SimMachine } from '../../../src/drivers/sim/machine.ts'
import { SimNetwork } from '../../../src/drivers/sim/network.ts'
import { SimLocalStore, SimStateStore } from '../../../src/drivers/sim/state-store.ts'
import { SimPool, SimStorage } from '../../../src/drivers/sim/storage.ts'
import { caKeyPurpose, sessionKeyPurpose } from '../../../src/app/keys.ts'
import { makeCommand } from '../../../src/model/command.ts'
import { featureLevel } from '../../../src/model/feature-level.ts'
import { uuidV7, type NodeId, type TokenId, type UserId } from '../../../src/model/id.ts'
import { createNode, type ClusterNode } from '../../../src/node.ts'
import type { HostMeter } from '../../../src/ports/meter.ts'
import type { RaftOptions } from '../../../src/raft/types.ts'
import { clock, recordingLog, type LogLine } from './harness.ts'

export type RealNode = {
  readonly node: ClusterNode
  readonly machine: SimMachine
  readonly pool: SimPool
  readonly disk: SimDisk
  readonly lines: LogLine[]
  readonly token: string
  readonly password: string
  readonly clusterId: string
  stop(): Promise<void>
}

const newId = () => uuidV7(clock.nowMs(), systemRandom.bytes(10))
const load = { cpuRatio: 0.1, memoryUsedBytes: 1, memoryTotalBytes: 2 ** 35, storageUsedBytes: 1, storageTotalBytes: 2 ** 40, loopDelayMs: 1, uptimeSeconds: 1 }

/** What moves the log by itself would look like what a request did. */
const noCheckpoints = { entriesMax: Number.MAX_SAFE_INTEGER, periodMs: Number.MAX_SAFE_INTEGER }

/** A cluster of one, formed as `novacron cluster init` does. */
export async function startRealNode({ meter, raft, checkpoints = noCheckpoints, ...size }: { readonly checkpoints?: CheckpointBounds; readonly cpus?: number; readonly memoryMiB?: number; readonly meter?: HostMeter; readonly raft?: Partial<RaftOptions> } = {}): Promise<RealNode> {
  const lines: LogLine[] = []
  const log = recordingLog(lines)
  const random = systemRandom
  const identity = createIdentity(newId())
  const nodeId = identity.nodeId as NodeId
  const vault = createVault(identity)
  const disk = new SimDisk({ random })
  const machine = new SimMachine({ clock, random, ...size })
  machine.faults.bootMs = 50
  const pool = new SimPool()
  const node = createNode({ nodeId, version: '0.1.0', peerAddress: 'n1:7000', httpAddress: 'n1:8443', members: [], cluster: { checkpoints, ...(raft === undefined ? {} : { raft }) } }, {
    clock, random, log, vault, logStore: new SimLogStore({ disk, clock }), stateStore: new SimStateStore({ disk, clock }),
    ...new SimNetwork({ clock, random }).endpoint(nodeId), hypervisor: new SimHypervisor({ machine }, { epochs: new SimLocalStore({ disk, clock }), clock, random }),
    storage: new SimStorage({ clock, random, pool }), probe: { load: async () => load }, ...(meter === undefined ? {} : { meter }),
  })
  await node.start({ bootstrap: true })
  const clusterKey = random.bytes(32)
  const authority = await createAuthority({ clusterName: 'lab', nowMs: clock.nowMs() })
  const wrapKey = Buffer.from(identity.x25519Public).toString('base64url')
  const [token, password, clusterId] = [vault.apiTokenSecret(), vault.readablePassword(), newId()]
  await node.cluster.propose(makeCommand('cluster.init', { id: newId(), actor: { kind: 'system', id: nodeId, name: 'init', address: '' } }, {
    clusterId, name: 'lab', caCertificate: authority.certificatePem, caKeySealed: vault.seal(clusterKey, Buffer.from(authority.keyPem), caKeyPurpose),
    sessionKeySealed: vault.seal(clusterKey, random.bytes(32), sessionKeyPurpose),
    node: { id: nodeId, name: 'n1', peerId: 'peer-n1-000000', wrapKey, wrappedClusterKey: vault.wrapKey(wrapKey, clusterKey) },
    admin: { id: newId() as UserId, name: 'admin', passwordHash: await vault.hashPassword(password) },
    token: { id: newId() as TokenId, name: 'initial', secretHash: vault.sha256Hex(token) },
  }), {})
  const announced = () => (node.cluster.state.tables.node.get(nodeId)?.announcement ?? null) !== null
  const deadlineMs = performance.now() + 30_000
  while (!announced()) {
    if (performance.now() > deadlineMs) throw new Error('the node was not announced')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return { node, machine, pool, disk, lines, token, password, clusterId, stop: () => node.stop() }
}

/** What a joiner sends, signed for the token it was given. */
export async function joinRequest(name: string, token: string, changes: Partial<Omit<JoinRequest, 'proof'>> = {}) {
  const identity = createIdentity(newId())
  const vault = createVault(identity)
  const key = await createTlsKey()
  const request: Omit<JoinRequest, 'proof'> = {
    node: { id: identity.nodeId, name, peerId: peerIdOfPrivateKey(identity.ed25519Seed), wrapKey: Buffer.from(identity.x25519Public).toString('base64url') },
    announcement: { version: '0.1.0', featureLevel, peerAddress: '192.0.2.2:7400', httpAddress: '192.0.2.2:8443', accelerator: 'none', hypervisor: '', capacity: { cpus: 1, memoryMiB: 1, storageBytes: 1 } },
    tlsPublicKeyPem: key.publicKeyPem, names: [name], addresses: ['127.0.0.1'], ...changes,
  }
  return { ...request, proof: vault.signAsNode(joinProofText(vault.parseJoinToken(token).t, request)) }
}
