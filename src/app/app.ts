// The use cases of one node, put together.
import { divergenceText } from '../model/checkpoint.ts'
import type { Cancel } from '../ports/clock.ts'
import { ClusterBackup } from './cluster-backup.ts'
import { ConsoleUseCases } from './console.ts'
import { requireRight } from './authorize.ts'
import { AppContext, type AppPorts } from './context.ts'
import type { App, Freshness } from './face.ts'
import { IdentityUseCases } from './identity.ts'
import { ImageRegistration } from './image-registration.ts'
import { ImageUseCases } from './images.ts'
import { ClusterKeys } from './keys.ts'
import { MemberUseCases } from './members.ts'
import { MembershipUseCases } from './membership.ts'
import { MeasureUseCases } from './measures.ts'
import { appMetrics, countAnswer } from './metrics.ts'
import { MigrationUseCases } from './migrations.ts'
import { NodeUseCases } from './nodes.ts'
import { OperationUseCases } from './operations.ts'
import { Pulse } from './pulse.ts'
import { ProjectUseCases } from './projects.ts'
import { RecordUseCases } from './records.ts'
import { Refusals } from './refusals.ts'
import { RoleUseCases } from './roles.ts'
import { SessionUseCases } from './sessions.ts'
import { SignInGuard } from './sign-in-guard.ts'
import { SupportBundles } from './support-bundle.ts'
import { TokenUseCases } from './tokens.ts'
import { UploadUseCases } from './uploads.ts'
import { UserUseCases } from './users.ts'
import { VmUseCases } from './vms.ts'
import type { NodeId } from '../model/id.ts'

export type RunningApp = App & { readonly stop: () => void; readonly keys: ClusterKeys; /** Wall clock; null where there was no quorum since the start. */ readonly lastQuorumMs: () => number | null }

/** Starts what lives (the pulse); `stop` ends it. */
export function createApp(options: { readonly nodeId: NodeId; readonly version: string }, ports: AppPorts): RunningApp {
  const context = new AppContext(options, ports)
  const keys = new ClusterKeys(context)
  const membership = new MembershipUseCases(context, keys)
  const pulse = new Pulse(context)
  const registration = new ImageRegistration(context)
  const images = new ImageUseCases(context, registration)
  const uploads = new UploadUseCases(context, registration, images)
  uploads.start()
  pulse.start()
  context.sightings.start()
  const guard = new SignInGuard(context)
  const refusals = new Refusals(context)
  const bundles = new SupportBundles(context)
  const identity = new IdentityUseCases(context, keys, guard)
  const vms = new VmUseCases(context)
  const consoles = new ConsoleUseCases(context, { keys, identity, vms })
  consoles.serve()
  return {
    identity,
    vms: refusals.watch('vm', vms),
    consoles: refusals.watch('console', consoles),
    nodes: refusals.watch('node', new NodeUseCases(context, membership)),
    images: refusals.watch('image', images),
    uploads: refusals.watch('upload', uploads),
    operations: refusals.watch('operation', new OperationUseCases(context)),
    migrations: new MigrationUseCases(context),
    users: refusals.watch('user', new UserUseCases(context, guard)),
    roles: refusals.watch('role', new RoleUseCases(context)),
    projects: refusals.watch('project', new ProjectUseCases(context)),
    sessions: refusals.watch('session', new SessionUseCases(context)),
    tokens: refusals.watch('token', new TokenUseCases(context)),
    membership: refusals.watch('cluster', membership),
    clusterBackup: refusals.watch('cluster', new ClusterBackup(context, keys)),
    members: refusals.watch('node', new MemberUseCases(context)),
    records: new RecordUseCases(context),
    requireRight: (caller, right, attempt) => refusals.attempt(() => requireRight(caller, right), { caller, ...attempt }),
    freshness: () => freshnessOf(context, pulse),
    onPulse: (listener: () => void): Cancel => pulse.watch(listener),
    readBarrier: (signal) => ports.consensus.readBarrier(signal),
    waitIndex: (index, signal) => ports.consensus.waitApplied(index, signal),
    divergence: () => ports.consensus.standing().divergence,
    readiness: () => readinessOf(context),
    imageForPeer: (ticket, signal) => ports.imageSupply.redeem(ticket, signal),
    supportBundle: (caller) => bundles.take(caller),
    evidence: () => bundles.evidence(),
    measures: new MeasureUseCases(context),
    metrics: (caller, scope) => appMetrics(context, caller, scope),
    answered: (request) => countAnswer(context, request),
    stop() {
      pulse.stop()
      context.sightings.stop()
      uploads.stop()
    },
    keys,
    lastQuorumMs: () => (pulse.hadQuorum ? pulse.lastQuorumMs : null),
  }
}

function freshnessOf(context: AppContext, pulse: Pulse): Freshness {
  const status = context.ports.consensus.standing()
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
  if (status.divergence !== null) return divergenceText(status.divergence)
  if (context.state.tables.node.get(context.nodeId) === undefined) return 'has not caught up with its cluster yet'
  const reason = context.unreadiness(context.nodeId)
  return reason === '' ? null : reason
}
