// What is measured: the fields of a node and of a VM in the order in which they are gossiped, the series kept of them, and what the API answers.
import { z } from 'zod'

export const samplePeriodMs = 5_000
/** Older than this, a sample says nothing of now. */
export const sampleAgeMsMax = 20_000
export const historySeconds = 3_600

/** `scale` makes an integer of the value for the way; fields are append-only, their order is the protocol. */
export type MetricField<Key extends string = string> = { readonly key: Key; readonly metric: string; readonly kind: 'gauge' | 'counter'; readonly scale: number; readonly help: string }

const gauge = <Key extends string>(key: Key, metric: string, help: string, scale = 1): MetricField<Key> => ({ key, metric: `novacron_${metric}`, kind: 'gauge', scale, help })
const counter = <Key extends string>(key: Key, metric: string, help: string, scale = 1): MetricField<Key> => ({ key, metric: `novacron_${metric}_total`, kind: 'counter', scale, help })

export const nodeFields = [
  gauge('cpus', 'node_cpus', 'CPUs of the host'),
  counter('cpuBusySeconds', 'node_cpu_busy_seconds', 'Time that the CPUs of the host were busy, over all of them', 1000),
  counter('cpuSeconds', 'node_cpu_seconds', 'Time of the CPUs of the host, busy or not, over all of them', 1000),
  gauge('memoryUsedBytes', 'node_memory_used_bytes', 'Memory in use on the host'),
  gauge('memoryTotalBytes', 'node_memory_total_bytes', 'Memory of the host'),
  gauge('storageUsedBytes', 'node_storage_used_bytes', 'Storage in use in the pool local'),
  gauge('storageTotalBytes', 'node_storage_total_bytes', 'Size of the pool local'),
  counter('receiveBytes', 'node_network_receive_bytes', 'Bytes received by the network cards of the host'),
  counter('transmitBytes', 'node_network_transmit_bytes', 'Bytes sent by the network cards of the host'),
  counter('readBytes', 'node_disk_read_bytes', 'Bytes read from the disks of the host'),
  counter('writtenBytes', 'node_disk_written_bytes', 'Bytes written to the disks of the host'),
  counter('reads', 'node_disk_reads', 'Reads from the disks of the host'),
  counter('writes', 'node_disk_writes', 'Writes to the disks of the host'),
  gauge('load1', 'node_load1', 'Processes that run or wait, averaged over a minute', 100),
  gauge('uptimeSeconds', 'node_uptime_seconds', 'Time since the host started'),
  gauge('raftTerm', 'raft_term', 'Current Raft term'),
  gauge('raftCommitIndex', 'raft_commit_index', 'Highest committed log index known here'),
  gauge('raftAppliedIndex', 'raft_applied_index', 'Highest log index applied here'),
  gauge('raftLagEntries', 'raft_apply_lag_entries', 'Entries committed but not applied here yet'),
  gauge('raftLogEntries', 'raft_log_entries', 'Entries in the Raft log that are not compacted'),
  gauge('raftLogBytes', 'raft_log_bytes', 'Size of the Raft log on disk'),
  gauge('raftIsLeader', 'raft_is_leader', '1 where this node leads'),
  gauge('raftHasQuorum', 'raft_has_quorum', '1 while this node is in touch with a leader that has a majority'),
  counter('raftElections', 'raft_elections', 'Terms that began while this node took part'),
  counter('raftProposals', 'raft_proposals', 'Commands proposed by this node'),
  counter('raftProposalFailures', 'raft_proposal_failures', 'Commands proposed by this node that came to nothing or whose outcome is unknown'),
  counter('raftAppends', 'raft_appends', 'Durable writes of the Raft log'),
  counter('raftAppendSeconds', 'raft_append_seconds', 'Time that durable writes of the Raft log took', 1e6),
  gauge('raftAppendP99Seconds', 'raft_append_p99_seconds', 'Time of durable writes of the Raft log, 99th percentile of the last minute', 1e6),
  gauge('loopDelayP50Seconds', 'process_event_loop_delay_p50_seconds', 'Delay of the event loop in the last seconds, median', 1e6),
  gauge('loopDelayP99Seconds', 'process_event_loop_delay_p99_seconds', 'Delay of the event loop in the last seconds, 99th percentile', 1e6),
  counter('processCpuSeconds', 'process_cpu_seconds', 'CPU time of the daemon', 1000),
  gauge('processResidentBytes', 'process_resident_memory_bytes', 'Resident memory of the daemon'),
  gauge('processHeapBytes', 'process_heap_used_bytes', 'JavaScript heap in use'),
  gauge('stateBytes', 'state_bytes', 'Size of the state on disk'),
  counter('httpRequests', 'http_requests', 'HTTP requests answered; streams are not counted'),
  counter('httpErrors', 'http_errors', 'HTTP requests answered with a status of 500 or more'),
  counter('httpSeconds', 'http_request_seconds', 'Time that answering HTTP requests took', 1e6),
  counter('gossipSent', 'gossip_sent_messages', 'Gossip messages that this node published'),
  counter('gossipReceived', 'gossip_received_messages', 'Gossip messages of others that this node took in'),
  gauge('vmsRunning', 'node_vms_running', 'VMs that run on the node'),
  gauge('raftHeartbeatSeconds', 'raft_heartbeat_seconds', 'Time between signs of life of a leader, as this node is configured', 1000),
  gauge('raftElectionSeconds', 'raft_election_timeout_seconds', 'Shortest time without a leader before this node seeks a new one; it is drawn up to twice that', 1000),
  gauge('raftLogDamaged', 'raft_log_damaged', '1 while the Raft log is damaged, and this node waits to be taken back'),
  gauge('raftResyncing', 'raft_resyncing', '1 while this node catches up after damage to its log'),
  gauge('raftDiskFull', 'raft_disk_full', '1 while there is no space for the Raft log'),
  gauge('raftDiskHung', 'raft_disk_hung', '1 while a write of the Raft log has taken longer than an election time-out'),
  gauge('raftAppendWaitSeconds', 'raft_append_wait_seconds', 'How long the durable write of the Raft log that is under way has taken so far', 1e6),
] as const satisfies readonly MetricField[]
export type NodeFigures = { readonly [Key in (typeof nodeFields)[number]['key']]: number }

export const vmFields = [
  counter('cpuSeconds', 'vm_cpu_seconds', 'CPU time of the VM, over all its CPUs and QEMU itself', 1000),
  gauge('memoryResidentBytes', 'vm_memory_resident_bytes', "Memory of the host that the VM's QEMU takes", 1 / 1024),
  gauge('memoryBalloonBytes', 'vm_memory_balloon_bytes', 'Memory that the guest has by its balloon', 1 / 1024),
] as const satisfies readonly MetricField[]
export const diskFields = [
  counter('readBytes', 'vm_disk_read_bytes', 'Bytes that the VM read from the disk'),
  counter('writtenBytes', 'vm_disk_written_bytes', 'Bytes that the VM wrote to the disk'),
  counter('reads', 'vm_disk_reads', 'Reads of the VM from the disk'),
  counter('writes', 'vm_disk_writes', 'Writes of the VM to the disk'),
] as const satisfies readonly MetricField[]
export const nicFields = [
  counter('receiveBytes', 'vm_network_receive_bytes', 'Bytes that the VM received'),
  counter('transmitBytes', 'vm_network_transmit_bytes', 'Bytes that the VM sent'),
  counter('receivePackets', 'vm_network_receive_packets', 'Packets that the VM received'),
  counter('transmitPackets', 'vm_network_transmit_packets', 'Packets that the VM sent'),
  counter('receiveErrors', 'vm_network_receive_errors', 'Packets for the VM that were wrong'),
  counter('transmitErrors', 'vm_network_transmit_errors', 'Packets of the VM that were wrong'),
  counter('receiveDrops', 'vm_network_receive_drops', 'Packets for the VM that were dropped'),
  counter('transmitDrops', 'vm_network_transmit_drops', 'Packets of the VM that were dropped'),
] as const satisfies readonly MetricField[]

/** A disk or network card with its values in the order of its fields. */
export type DeviceSample = { readonly name: string; readonly values: readonly number[] }
export type VmSample = { readonly id: string; readonly values: readonly number[]; readonly disks: readonly DeviceSample[]; readonly nics: readonly DeviceSample[] }

/** A series kept for an hour. `unit` is a base unit; ratios are 0 to 1. */
export type SeriesWords = { readonly name: string; readonly unit: SeriesUnit; readonly title: string }
export const seriesUnits = ['ratio', 'bytes', 'bytesPerSecond', 'perSecond', 'seconds', 'count'] as const
export type SeriesUnit = (typeof seriesUnits)[number]

export const nodeSeries = [
  { name: 'cpu', unit: 'ratio', title: 'CPU in use' },
  { name: 'memoryUsed', unit: 'bytes', title: 'Memory in use' },
  { name: 'storageUsed', unit: 'bytes', title: 'Storage in use' },
  { name: 'receive', unit: 'bytesPerSecond', title: 'Network, received' },
  { name: 'transmit', unit: 'bytesPerSecond', title: 'Network, sent' },
  { name: 'read', unit: 'bytesPerSecond', title: 'Disks, read' },
  { name: 'write', unit: 'bytesPerSecond', title: 'Disks, written' },
  { name: 'requests', unit: 'perSecond', title: 'HTTP requests' },
  { name: 'append', unit: 'seconds', title: 'Durable write of the Raft log, mean' },
  { name: 'loopDelay', unit: 'seconds', title: 'Delay of the event loop, 99th percentile' },
  { name: 'daemonCpu', unit: 'ratio', title: 'CPU of the daemon, of one core' },
  { name: 'daemonMemory', unit: 'bytes', title: 'Memory of the daemon' },
] as const satisfies readonly SeriesWords[]

/** `cpu` is kept in cores and answered as a share of the VM's CPUs. */
export const vmSeries = [
  { name: 'cpu', unit: 'ratio', title: "CPU in use, of the VM's CPUs" },
  { name: 'memoryResident', unit: 'bytes', title: 'Memory that its QEMU takes' },
  { name: 'read', unit: 'bytesPerSecond', title: 'Disks, read' },
  { name: 'write', unit: 'bytesPerSecond', title: 'Disks, written' },
  { name: 'receive', unit: 'bytesPerSecond', title: 'Network, received' },
  { name: 'transmit', unit: 'bytesPerSecond', title: 'Network, sent' },
] as const satisfies readonly SeriesWords[]

const seriesSchema = z.strictObject({
  name: z.string(), unit: z.enum(seriesUnits), title: z.string(),
  latest: z.number().nullable().describe('Null where it is not known, or too old to say anything of now'),
  points: z.array(z.number().nullable()).describe('One a step, from startAt on; null is a gap: nothing was heard'),
})
export const metricsViewSchema = z.strictObject({
  kind: z.enum(['node', 'vm', 'cluster']), id: z.string(), name: z.string(),
  startAt: z.string().describe('Time of the first point'), stepSeconds: z.number().int(),
  heardAt: z.string().nullable().describe('When the node that measures was last heard of; null where never'),
  stale: z.boolean().describe('True where it was not heard of for 20 seconds'),
  limits: z.strictObject({ cpus: z.number(), memoryBytes: z.number(), storageBytes: z.number().nullable() }).describe('What the shares are shares of'),
  series: z.array(seriesSchema),
})
export type MetricsView = z.infer<typeof metricsViewSchema>

export const usageSchema = z.strictObject({
  id: z.string(), name: z.string(), node: z.string().nullable(), heardAt: z.string().nullable(), stale: z.boolean(),
  cpuRatio: z.number().nullable(), memoryBytes: z.number().nullable(), memoryRatio: z.number().nullable(),
  readBytesPerSecond: z.number().nullable(), writeBytesPerSecond: z.number().nullable(), receiveBytesPerSecond: z.number().nullable(), transmitBytesPerSecond: z.number().nullable(),
})
export type Usage = z.infer<typeof usageSchema>
export type UsageSort = 'cpu' | 'memory' | 'read' | 'write' | 'receive' | 'transmit' | 'name'
