// Metrics, wired: what consensus, the log, HTTP and gossip know of themselves, put beside what the host's meter says.
import type { Cluster } from './cluster/cluster.ts'
import { measureLogStore, type MeasuredLogStore } from './cluster/measured-log-store.ts'
import { countGossip, type CountedGossip } from './gossip/counted-gossip.ts'
import { Metrics, type ApplianceFigures } from './gossip/metrics.ts'
import type { NodeId } from './model/id.ts'
import type { NodeTrouble } from './model/node.ts'
import type { Clock } from './ports/clock.ts'
import type { Consensus } from './ports/consensus.ts'
import type { Hypervisor } from './ports/hypervisor.ts'
import type { Log } from './ports/log.ts'
import type { LogStore } from './ports/log-store.ts'
import type { HostMeter } from './ports/meter.ts'
import type { Gossip } from './ports/transport.ts'

type Ports = { readonly clock: Clock; readonly log: Log; readonly logStore: LogStore; readonly gossip: Gossip; readonly hypervisor: Hypervisor; readonly meter?: HostMeter }

/** The same ports, with an eye on them. */
export function watchPorts<P extends Ports>(ports: P): P & { readonly logStore: MeasuredLogStore; readonly gossip: CountedGossip } {
  return { ...ports, logStore: measureLogStore(ports.logStore, ports.clock), gossip: countGossip(ports.gossip) }
}

export type RequestCounts = { requests: number; errors: number; seconds: number }

/** Null without a meter: then nothing is measured. `http` is counted by whoever answers. */
export function createNodeMetrics(nodeId: NodeId, ports: ReturnType<typeof watchPorts<Ports>>, parts: { readonly cluster: Cluster; readonly onHeard: (nodeId: string) => void }): { readonly metrics: Metrics | null; readonly http: RequestCounts } {
  const http: RequestCounts = { requests: 0, errors: 0, seconds: 0 }
  const { meter } = ports
  const { cluster, onHeard } = parts
  if (meter === undefined) return { metrics: null, http }
  const elections = countElections(cluster)
  const appliance = (): ApplianceFigures => {
    const status = cluster.status()
    const { timing } = cluster.report()
    const { writes, seconds, p99Seconds } = ports.logStore.measured()
    const has = (type: NodeTrouble) => (status.troubles.some((trouble) => trouble.type === type) ? 1 : 0)
    return {
      raftTerm: status.term, raftCommitIndex: status.commit, raftAppliedIndex: status.applied, raftLagEntries: Math.max(0, status.commit - status.applied),
      raftLogEntries: status.lastIndex - status.firstIndex + 1, raftLogBytes: ports.logStore.sizeBytes(),
      raftIsLeader: status.role === 'leader' ? 1 : 0, raftHasQuorum: status.quorum ? 1 : 0, raftElections: elections(),
      raftProposals: cluster.proposals.begun, raftProposalFailures: cluster.proposals.failed,
      raftAppends: writes, raftAppendSeconds: seconds, raftAppendP99Seconds: p99Seconds,
      raftHeartbeatSeconds: timing.heartbeatMs / 1000, raftElectionSeconds: timing.electionMs / 1000,
      raftLogDamaged: has('LogDamaged'), raftResyncing: has('Resyncing'), raftDiskFull: has('DiskFull'), raftDiskHung: has('DiskHung'), raftAppendWaitSeconds: cluster.diskWaitMs / 1000,
      httpRequests: http.requests, httpErrors: http.errors, httpSeconds: http.seconds,
      gossipSent: ports.gossip.counts.sent, gossipReceived: ports.gossip.counts.received,
    }
  }
  const ownerOf = (vmId: string): string | null => {
    const vm = cluster.state.tables.vm.get(vmId)
    return vm === undefined ? null : (vm.assignment?.nodeId ?? '')
  }
  return { metrics: new Metrics({ nodeId, appliance, ownerOf, onHeard }, { ...ports, meter }), http }
}

/** Each election has a term of its own. */
function countElections(cluster: Pick<Consensus, 'status' | 'watch'>): () => number {
  let [count, term] = [0, 0]
  cluster.watch((notice) => {
    if (notice.kind !== 'status') return
    const now = cluster.status().term
    if (term > 0 && now > term) count += now - term
    term = now
  })
  return () => count
}
