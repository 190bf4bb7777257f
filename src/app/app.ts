// The use cases of one node, put together.
import type { Cancel } from '../ports/clock.ts'
import { serveConsoles } from './console.ts'
import { AppContext, type AppPorts } from './context.ts'
import type { App, Freshness } from './face.ts'
import { IdentityUseCases } from './identity.ts'
import { ImageUseCases } from './images.ts'
import { ClusterKeys } from './keys.ts'
import { MembershipUseCases } from './membership.ts'
import { appMetrics } from './metrics.ts'
import { NodeUseCases } from './nodes.ts'
import { OperationUseCases } from './operations.ts'
import { Pulse } from './pulse.ts'
import { RecordUseCases } from './records.ts'
import { TokenUseCases } from './tokens.ts'
import { UserUseCases } from './users.ts'
import { VmUseCases } from './vms.ts'
import type { NodeId } from '../model/id.ts'

export type RunningApp = App & { readonly stop: () => void; readonly keys: ClusterKeys }

/** Starts what lives (the pulse); `stop` ends it. */
export function createApp(options: { readonly nodeId: NodeId; readonly version: string }, ports: AppPorts): RunningApp {
  const context = new AppContext(options, ports)
  const keys = new ClusterKeys(context)
  const pulse = new Pulse(context)
  serveConsoles(context)
  pulse.start()
  context.sightings.start()
  return {
    identity: new IdentityUseCases(context, keys),
    vms: new VmUseCases(context),
    nodes: new NodeUseCases(context),
    images: new ImageUseCases(context),
    operations: new OperationUseCases(context),
    users: new UserUseCases(context),
    tokens: new TokenUseCases(context),
    membership: new MembershipUseCases(context, keys),
    records: new RecordUseCases(context),
    freshness: () => freshnessOf(context, pulse),
    onPulse: (listener: () => void): Cancel => pulse.watch(listener),
    readBarrier: (signal) => ports.consensus.readBarrier(signal),
    waitIndex: (index, signal) => ports.consensus.waitApplied(index, signal),
    readiness: () => readinessOf(context),
    metrics: () => appMetrics(context),
    stop() {
      pulse.stop()
      context.sightings.stop()
    },
    keys,
  }
}

function freshnessOf(context: AppContext, pulse: Pulse): Freshness {
  const status = context.ports.consensus.status()
  const leader = status.leaderId === null || !status.quorum ? undefined : context.state.tables.node.get(status.leaderId)
  const http = leader?.announcement?.httpAddress
  return {
    index: context.state.index,
    staleSinceMs: status.quorum ? null : pulse.lastQuorumMs,
    quorum: status.quorum,
    leader: leader === undefined ? null : { id: leader.id, name: leader.name, url: http === undefined ? '' : `https://${http}` },
    node: { id: context.nodeId, name: context.nodeName(context.nodeId) ?? '' },
    clusterName: context.state.tables.cluster.get('cluster')?.name ?? '',
  }
}

function readinessOf(context: AppContext): string | null {
  const status = context.ports.consensus.status()
  if (status.halted !== null) return status.halted
  if (context.state.tables.node.get(context.nodeId) === undefined) return 'has not caught up with its cluster yet'
  return status.quorum ? null : 'has no quorum'
}
