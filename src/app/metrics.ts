// What a node tells Prometheus of itself, as data; only http/metrics.ts knows how it is written.
import { vmPhases } from '../model/vm.ts'
import { vmsOnNode } from '../state/query.ts'
import type { AppContext } from './context.ts'
import type { App } from './face.ts'
import { phaseOf } from './present.ts'

type Metric = ReturnType<App['metrics']>[number]

export function appMetrics(context: AppContext): readonly Metric[] {
  const status = context.ports.consensus.status()
  const load = context.ports.presence.of(context.nodeId)?.load
  const gauge = (name: string, help: string, value: number, labels?: Readonly<Record<string, string>>): Metric => ({ name, help, type: 'gauge', value, ...(labels === undefined ? {} : { labels }) })
  const metrics: Metric[] = [
    gauge('novacron_raft_term', 'Current Raft term', status.term),
    gauge('novacron_raft_commit_index', 'Highest committed log index known here', status.commit),
    gauge('novacron_raft_applied_index', 'Highest log index applied here', context.state.index),
    gauge('novacron_raft_log_entries', 'Entries in the Raft log that are not compacted', status.lastIndex - status.firstIndex + 1),
    gauge('novacron_raft_is_leader', '1 where this node leads', status.role === 'leader' ? 1 : 0),
    gauge('novacron_raft_has_quorum', '1 while this node is in touch with a leader that has a majority', status.quorum ? 1 : 0),
    gauge('novacron_cluster_nodes', 'Members of the cluster', context.state.tables.node.size),
    gauge('novacron_cluster_nodes_ready', 'Members that are ready as seen from here', context.readyNodeIds().size),
    gauge('novacron_images', 'Images in the library', context.state.tables.image.size),
  ]
  const phases = new Map<string, number>(vmPhases.map((phase) => [phase, 0]))
  for (const vm of vmsOnNode(context.state, context.nodeId)) {
    const phase = phaseOf(context, vm)
    phases.set(phase, (phases.get(phase) ?? 0) + 1)
  }
  for (const [phase, count] of phases) metrics.push(gauge('novacron_node_vms', 'VMs assigned to this node, by phase', count, { phase }))
  if (load !== undefined) {
    metrics.push(
      gauge('novacron_node_cpu_ratio', 'Share of all CPUs that is busy', load.cpuRatio),
      gauge('novacron_node_memory_used_bytes', 'Memory in use on the host', load.memoryUsedBytes),
      gauge('novacron_node_memory_total_bytes', 'Memory of the host', load.memoryTotalBytes),
      gauge('novacron_node_storage_used_bytes', 'Storage in use in the pool local', load.storageUsedBytes),
      gauge('novacron_node_storage_total_bytes', 'Size of the pool local', load.storageTotalBytes),
      gauge('novacron_node_event_loop_delay_seconds', 'How late the event loop was lately', load.loopDelayMs / 1000),
      gauge('novacron_node_uptime_seconds', 'How long the host is up', load.uptimeSeconds),
    )
  }
  return metrics
}
