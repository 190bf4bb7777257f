// What a node tells Prometheus, of itself or of all that it heard of, as data; only http/metrics.ts knows how it is written.
import { diskFields, nicFields, nodeFields, sampleAgeMsMax, vmFields, type DeviceSample, type MetricField } from '../model/metrics.ts'
import { vmPhases } from '../model/vm.ts'
import { vmsOnNode } from '../state/query.ts'
import { may } from './authorize.ts'
import type { AppContext } from './context.ts'
import type { Caller, Metric, MetricScope } from './face.ts'
import { phaseOf, roleOf } from './present.ts'

type Labels = Readonly<Record<string, string>>

/** VMs are those that the caller may see; nodes only for who may read the cluster. */
export function appMetrics(context: AppContext, caller: Caller, scope: MetricScope): readonly Metric[] {
  const metrics: Metric[] = []
  const seesCluster = may(caller, 'read', '')
  for (const node of context.state.tables.node.values()) {
    if (scope === 'node' && node.id !== context.nodeId) continue
    if (seesCluster) pushNode(context, metrics, node)
    pushVms(context, metrics, caller, node)
  }
  if (seesCluster) {
    pushCluster(context, metrics)
    pushConsensus(context, metrics)
  }
  return metrics
}

function push(metrics: Metric[], field: MetricField, value: number, labels: Labels): void {
  metrics.push({ name: field.metric, help: field.help, type: field.kind, value, labels })
}

const gauge = (name: string, help: string): MetricField => ({ key: name, metric: `novacron_${name}`, kind: 'gauge', scale: 1, help })
const up = gauge('node_metrics_fresh', '1 where the node measured itself and was heard of in the last 20 seconds; else its other figures are left out')
const ready = gauge('node_ready', '1 where the node is ready, as the node that answers sees it')
const diverged = gauge('node_state_diverged', "1 where the node's state was found to differ from the cluster's; it has stopped serving and voting")
const cpuRatio = gauge('node_cpu_ratio', 'Share of all CPUs that is busy')
const nodeVms = gauge('node_vms', 'VMs assigned to the node, by phase')

function pushNode(context: AppContext, metrics: Metric[], node: { readonly id: string; readonly name: string }): void {
  const labels = { node: node.name }
  const { history } = context.ports
  const heard = history?.node(node.id) ?? null
  const fresh = history !== null && history !== undefined && heard !== null && history.nowMs() - heard.heardMs <= sampleAgeMsMax
  push(metrics, up, fresh ? 1 : 0, labels)
  push(metrics, ready, context.unreadiness(node.id) === '' ? 1 : 0, labels)
  const isDiverged = node.id === context.nodeId ? context.ports.consensus.status().divergence !== null : context.state.tables.node.get(node.id)?.divergence !== undefined
  push(metrics, diverged, isDiverged ? 1 : 0, labels)
  if (heard !== null && fresh) {
    for (const field of nodeFields) if (node.id !== context.nodeId || !isOfProcess(field)) push(metrics, field, heard.figures[field.key], labels)
  }
  const load = context.ports.presence.of(node.id)?.load
  if (load !== undefined) push(metrics, cpuRatio, load.cpuRatio, labels)
  const phases = new Map<string, number>(vmPhases.map((phase) => [phase, 0]))
  for (const vm of vmsOnNode(context.state, node.id)) {
    const phase = phaseOf(context, vm)
    phases.set(phase, (phases.get(phase) ?? 0) + 1)
  }
  for (const [phase, count] of phases) push(metrics, nodeVms, count, { ...labels, phase })
}

/** Of the own process http/metrics.ts tells what is true this moment. */
function isOfProcess(field: MetricField): boolean {
  return field.key.startsWith('process')
}

function pushVms(context: AppContext, metrics: Metric[], caller: Caller, node: { readonly id: string; readonly name: string }): void {
  const { history } = context.ports
  if (history === null || history === undefined) return
  for (const vm of vmsOnNode(context.state, node.id)) {
    const heard = may(caller, 'read', vm.project) ? history.vm(vm.id) : null
    if (heard === null || heard.nodeId !== node.id || history.nowMs() - heard.heardMs > sampleAgeMsMax) continue
    const labels = { node: node.name, vm: vm.name, project: vm.project }
    for (const [at, field] of vmFields.entries()) push(metrics, field, heard.sample.values[at] ?? 0, labels)
    pushDevices(metrics, diskFields, heard.sample.disks, (device) => ({ ...labels, disk: device.name }))
    pushDevices(metrics, nicFields, heard.sample.nics, (device) => ({ ...labels, device: device.name }))
  }
}

function pushDevices(metrics: Metric[], fields: readonly MetricField[], devices: readonly DeviceSample[], labelsOf: (device: DeviceSample) => Labels): void {
  for (const device of devices) {
    const labels = labelsOf(device)
    for (const [at, field] of fields.entries()) push(metrics, field, device.values[at] ?? 0, labels)
  }
}

const consensusRoles = ['leader', 'voter', 'learner', 'none'] as const
const raftRole = gauge('raft_role', '1 for the role that this node has in consensus, 0 for the others')
const matchLag = gauge('raft_match_lag_entries', 'Entries of the leader that the member is not known to have; told by the leader alone')
const lastContact = gauge('raft_last_contact_seconds', 'Time since the leader heard of the member; told by the leader alone')

/** Of the node that answers; what only a leader knows where it leads. */
function pushConsensus(context: AppContext, metrics: Metric[]): void {
  const { consensus } = context.ports
  const labels = { node: context.nodeName(context.nodeId) ?? '' }
  const own = roleOf(consensus.status(), context.nodeId)
  for (const role of consensusRoles) push(metrics, raftRole, role === own ? 1 : 0, { ...labels, role })
  const { followers, lastIndex } = consensus.report()
  for (const [id, { match, heardMs }] of Object.entries(followers)) {
    const member = context.nodeName(id)
    if (member === null || id === context.nodeId) continue
    push(metrics, matchLag, Math.max(0, lastIndex - match), { ...labels, member })
    if (heardMs !== null) push(metrics, lastContact, heardMs / 1000, { ...labels, member })
  }
}

/** As the node that answers sees it; the same on every node that has caught up. */
function pushCluster(context: AppContext, metrics: Metric[]): void {
  const labels = { node: context.nodeName(context.nodeId) ?? '' }
  const { tables } = context.state
  push(metrics, gauge('cluster_nodes', 'Members of the cluster'), tables.node.size, labels)
  push(metrics, gauge('cluster_nodes_ready', 'Members that are ready as seen from here'), context.readyNodeIds().size, labels)
  push(metrics, gauge('cluster_images', 'Images in the library'), tables.image.size, labels)
  const lastBackup = tables.cluster.get('cluster')?.lastBackup
  if (lastBackup !== undefined) push(metrics, gauge('cluster_backup_timestamp_seconds', 'When the last backup was handed over to its end'), lastBackup.atMs / 1000, labels)
  push(metrics, gauge('state_compared_index', 'Log index up to which the state of this node was compared with the leader\'s and found equal'), context.ports.consensus.agreement().index, labels)
  const states = new Map<string, number>(['running', 'done', 'failed', 'cancelled'].map((state) => [state, 0]))
  for (const operation of tables.operation.values()) states.set(operation.state, (states.get(operation.state) ?? 0) + 1)
  for (const [state, count] of states) push(metrics, gauge('cluster_operations', 'Operations on record, by state'), count, { ...labels, state })
}

export function countAnswer({ ports: { http } }: AppContext, { status, seconds }: { readonly status: number; readonly seconds: number }): void {
  if (http === undefined) return
  http.requests++
  http.seconds += seconds
  if (status >= 500) http.errors++
}
