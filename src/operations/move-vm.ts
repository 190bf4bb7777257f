// The steps that move a VM that is off: the source lets go of it, then the target fetches its disks.
import { OperationalError } from '../model/error.ts'
import type { NodeId } from '../model/id.ts'
import { sizeBytesOf } from '../planner/domain.ts'
import type { Consensus } from '../ports/consensus.ts'
import type { Hypervisor } from '../ports/hypervisor.ts'
import type { ProgressBoard } from '../ports/progress.ts'
import type { StorageDriver } from '../ports/storage.ts'
import type { ByteStream, PeerStreams, StreamHeader } from '../ports/transport.ts'
import { isMove, type MoveOperation } from '../state/migration.ts'
import type { StateHolder } from '../state/state.ts'
import { done, stepName, type StepContext, type StepHandlers, type StepOutcome } from './step.ts'
import { forgetDomain, type VmPlace } from './vm-place.ts'

const purpose = 'volume'

export type MoveVmPorts = {
  readonly hypervisor: Hypervisor
  readonly storage: StorageDriver
  readonly streams: PeerStreams
  readonly progress: ProgressBoard
  readonly consensus: Consensus & StateHolder
  readonly place: VmPlace
}
type Context = StepContext<MoveOperation>

export function moveVmSteps(ports: MoveVmPorts): Readonly<Record<'prepare' | 'release' | 'copy' | 'clean', StepHandlers>> {
  const { place, hypervisor } = ports
  return {
    prepare: {
      async run({ operation, signal }) {
        const vm = place.requireVm(operation)
        await place.clear(operation)
        await place.fetchImages(operation, vm, signal)
        return done()
      },
      undo: ({ operation }) => place.clear(operation),
    },
    release: {
      /** After this not even an order that comes late can start it here. */
      async run({ operation }) {
        const domain = await hypervisor.find(operation.spec.target.id)
        if (domain !== null && domain.state !== 'off' && domain.state !== 'crashed') {
          throw new OperationalError('STATE_CONFLICT', `${operation.spec.target.name} is ${domain.state} by now: only a VM that is off moves this way.`)
        }
        if (domain?.state === 'crashed') await forgetDomain(hypervisor, operation.spec.target.id)
        else await hypervisor.undefine(operation.spec.target.id)
        return done()
      },
    },
    copy: { run: (context) => copyVolumes(ports, context) },
    clean: { run: ({ operation }) => place.clear(operation) },
  }
}

async function copyVolumes(ports: MoveVmPorts, { operation, signal }: Context): Promise<StepOutcome> {
  const { place, storage, streams, progress } = ports
  const vm = place.requireVm(operation)
  // What an earlier life began is not known to be whole.
  await place.clear(operation)
  let bytes = 0
  for (const disk of vm.spec.disks) {
    const parameters = { operationId: operation.id, disk: disk.name, index: String(operation.revision) }
    try {
      const stream = await streams.open(operation.move.sourceId, { purpose, parameters }, signal)
      await stream.end()
      const counted = count(stream.readable, (chunkBytes) => {
        bytes += chunkBytes
        progress.report(operation.id, { phase: `disk ${disk.name}`.slice(0, 32), processedBytes: bytes, totalBytes: 0, downtimeMs: null })
      })
      await storage.takeVolume({ vmId: vm.id, name: disk.name, sizeBytes: sizeBytesOf(disk), image: vm.images[disk.name] ?? null }, counted, signal)
    } catch (error) {
      // A disk that was never made begins as it would have at the source.
      const unmade = error instanceof OperationalError && error.code === 'NOT_FOUND' && vm.report.madeDisks?.includes(disk.name) !== true
      if (!unmade) throw error
    }
  }
  return done({ bytes, downtimeMs: null })
}

async function* count(source: AsyncIterable<Uint8Array>, onBytes: (bytes: number) => void): AsyncIterable<Uint8Array> {
  for await (const chunk of source) {
    onBytes(chunk.length)
    yield chunk
  }
}

/** The source's side: it gives a disk only to the target that Raft names, of a VM that has no domain here any more. */
export function serveVolumes(options: { readonly nodeId: NodeId }, ports: Pick<MoveVmPorts, 'hypervisor' | 'storage' | 'streams' | 'consensus'>): void {
  const { hypervisor, storage, streams, consensus } = ports
  streams.handle(purpose, async (from: string, header: StreamHeader, stream: ByteStream) => {
    const { operationId = '', disk = '', index = '0' } = header.parameters
    const abort = new AbortController()
    await consensus.waitApplied(Number(index))
    const operation = consensus.state.tables.operation.get(operationId)
    if (operation === undefined || !isMove(operation) || !mayTake(operation, options.nodeId, from)) throw new OperationalError('FORBIDDEN', 'No migration takes this disk there.')
    const vm = consensus.state.tables.vm.get(operation.spec.target.id)
    if (vm?.spec.disks.some((each) => each.name === disk) !== true) throw new OperationalError('NOT_FOUND', `There is no disk ${disk}.`)
    if ((await hypervisor.find(vm.id)) !== null) throw new OperationalError('STATE_CONFLICT', `${vm.name} has a domain here: its disks are not given away.`)
    try {
      for await (const chunk of storage.readVolume(vm.id, disk, abort.signal)) await stream.write(chunk)
      await stream.end()
    } finally {
      abort.abort()
    }
  })
}

function mayTake(operation: MoveOperation, nodeId: string, from: string): boolean {
  const { move } = operation
  return operation.state === 'running' && move.direction === 'forward' && stepName(operation) === 'copy' && move.sourceId === nodeId && move.targetId === from
}
