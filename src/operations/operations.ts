// The operations engine of one node: its handlers put together with their ports, and the runner that follows the state.
import type { NodeId } from '../model/id.ts'
import type { Clock, Random } from '../ports/clock.ts'
import type { Consensus } from '../ports/consensus.ts'
import type { Hypervisor } from '../ports/hypervisor.ts'
import type { ImageSupply } from '../ports/image-supply.ts'
import type { Log } from '../ports/log.ts'
import type { MigrationRelay } from '../ports/migration.ts'
import type { AttendanceView } from '../ports/presence.ts'
import type { ProgressBoard } from '../ports/progress.ts'
import type { StorageDriver } from '../ports/storage.ts'
import type { PeerStreams } from '../ports/transport.ts'
import type { StateHolder } from '../state/state.ts'
import { drainNode } from './drain-node.ts'
import { migrateVmSteps } from './migrate-vm.ts'
import { moveVmSteps, serveVolumes } from './move-vm.ts'
import { OperationRunner } from './operation-runner.ts'
import { TargetWatch } from './target-watch.ts'
import { VmPlace } from './vm-place.ts'

export type OperationsPorts = {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly consensus: Consensus & StateHolder
  readonly hypervisor: Hypervisor
  readonly storage: StorageDriver
  readonly relay: MigrationRelay | null
  readonly streams: PeerStreams
  readonly supply: ImageSupply
  readonly progress: ProgressBoard
  readonly attendance: AttendanceView
}

export function createOperations(options: { readonly nodeId: NodeId }, ports: OperationsPorts): { start(): void; stop(): Promise<void> } {
  const place = new VmPlace(options, ports)
  const moves = { 'vm-migrate': migrateVmSteps(options, { ...ports, place }), 'vm-move': moveVmSteps({ ...ports, place }) }
  serveVolumes(options, ports)
  const runner = new OperationRunner({ nodeId: options.nodeId, handlers: { moves, drain: (operation, signal) => drainNode(operation, { nodeId: options.nodeId, signal }, ports) } }, ports)
  const watch = new TargetWatch(options, ports)
  return {
    start() {
      runner.start()
      watch.start()
    },
    async stop() {
      watch.stop()
      await runner.stop()
    },
  }
}
