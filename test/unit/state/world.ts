// A small cluster's state for tests: commands with running indexes, times and ids.
import { makeCommand, type CommandPayload, type CommandResult, type CommandType } from '../../../src/model/command.ts'
import { featureLevel } from '../../../src/model/feature-level.ts'
import { uuidV7, type ImageId, type NodeId, type OperationId, type TokenId, type UserId, type VmId } from '../../../src/model/id.ts'
import type { NodeAnnouncement } from '../../../src/model/node.ts'
import type { Actor } from '../../../src/model/user.ts'
import { vmSpecSchema, type VmPhase } from '../../../src/model/vm.ts'
import { applyCommand, type Applied } from '../../../src/state/apply.ts'
import { emptyState } from '../../../src/state/state.ts'

export const admin: Actor = { kind: 'user', id: 'u', name: 'admin', address: '192.0.2.1' }
export const startMs = 1_790_000_000_000

export class World {
  readonly state = emptyState()
  timeMs = startMs
  #serial = 0

  newId(): string {
    const bytes = new Uint8Array(10)
    new DataView(bytes.buffer).setUint32(6, ++this.#serial)
    return uuidV7(this.timeMs, bytes)
  }

  run<Type extends CommandType>(type: Type, payload: CommandPayload<Type>, options: { readonly actor?: Actor; readonly key?: string; readonly bodyHash?: string } = {}): Applied {
    const idempotency = options.key === undefined ? undefined : { key: options.key, bodyHash: options.bodyHash ?? 'h' }
    const command = makeCommand(type, { id: this.newId(), actor: options.actor ?? admin, ...(idempotency === undefined ? {} : { idempotency }) }, payload)
    this.timeMs += 10
    return applyCommand(this.state, { index: this.state.index + 1, term: 1, timeMs: this.timeMs, command })
  }

  result<Type extends CommandType>(type: Type, payload: CommandPayload<Type>, options: { readonly actor?: Actor; readonly key?: string; readonly bodyHash?: string } = {}): CommandResult {
    return this.run(type, payload, options).result
  }

  /** Code of a refusal, or "done". */
  outcome<Type extends CommandType>(type: Type, payload: CommandPayload<Type>, options: { readonly actor?: Actor; readonly key?: string; readonly bodyHash?: string } = {}): string {
    const result = this.result(type, payload, options)
    return result.kind === 'done' ? 'done' : result.code
  }

  /** Forms a cluster of one announced node. */
  form(): { readonly nodeId: NodeId; readonly adminId: UserId } {
    const [nodeId, adminId] = [this.newId() as NodeId, this.newId() as UserId]
    this.run('cluster.init', {
      clusterId: this.newId(), name: 'test', caCertificate: 'ca', caKeySealed: 'sealed', sessionKeySealed: 'sealed',
      node: { id: nodeId, name: 'n1', peerId: 'peer-n1', wrapKey: 'w', wrappedClusterKey: 'k' },
      admin: { id: adminId, name: 'admin', passwordHash: 'hash' },
      token: { id: this.newId() as TokenId, name: 'initial', secretHash: 'token-hash' },
    })
    this.run('node.announce', { id: nodeId, announcement: announcement() })
    return { nodeId, adminId }
  }

  image(nodeId: NodeId, name = 'tiny', sha256 = 'a'.repeat(64)): ImageId {
    const id = this.newId() as ImageId
    const result = this.result('image.register', {
      id, name, project: 'default', labels: {}, holder: nodeId,
      spec: { format: 'qcow2', sha256, sizeBytes: 100, virtualSizeBytes: 64 * 2 ** 20, os: '' },
    })
    return (result.kind === 'done' ? result.id : id) as ImageId
  }

  vmPayload(nodeId: NodeId, name: string, spec: Record<string, unknown> = {}): CommandPayload<'vm.create'> {
    return {
      id: this.newId() as VmId, name, project: 'default', labels: {}, nodeId, seed: '0123456789abcdef',
      spec: vmSpecSchema.parse({ cpus: 1, memoryMiB: 128, ...spec }),
    }
  }

  vm(nodeId: NodeId, name: string, spec: Record<string, unknown> = {}): VmId {
    const payload = this.vmPayload(nodeId, name, spec)
    const result = this.result('vm.create', payload)
    if (result.kind !== 'done') throw new Error(`${result.code}: ${result.message}`)
    return payload.id
  }

  report(vmId: VmId, nodeId: NodeId, phase: VmPhase, epoch = 1): string {
    const report = { phase, observedGeneration: 1, addresses: [], message: '', code: '', restartNeeded: false }
    return this.outcome('vm.report', { id: vmId, nodeId, epoch, report }, { actor: { kind: 'node', id: nodeId, name: 'n1', address: '' } })
  }

  act(vmId: VmId, action: CommandPayload<'vm.act'>['action'], force = false): { readonly outcome: string; readonly operationId: OperationId } {
    const operationId = this.newId() as OperationId
    return { outcome: this.outcome('vm.act', { id: vmId, action, operationId, force, timeoutSeconds: 60 }), operationId }
  }
}

export function announcement(changes: Partial<NodeAnnouncement> = {}): NodeAnnouncement {
  return {
    version: '0.1.0', featureLevel, peerAddress: '192.0.2.1:7400', httpAddress: '192.0.2.1:8443', accelerator: 'simulated', hypervisor: 'sim',
    capacity: { cpus: 8, memoryMiB: 4096, storageBytes: 2 ** 40 }, ...changes,
  }
}
