// What a host and its daemon use, as counters and levels: read when it is time for a sample.
import type { NodeFigures } from '../model/metrics.ts'

/** What consensus and gossip know of themselves is added by who samples. */
export type HostFigures = Pick<NodeFigures,
  | 'cpus' | 'cpuBusySeconds' | 'cpuSeconds' | 'memoryUsedBytes' | 'memoryTotalBytes' | 'storageUsedBytes' | 'storageTotalBytes' | 'receiveBytes' | 'transmitBytes'
  | 'readBytes' | 'writtenBytes' | 'reads' | 'writes' | 'load1' | 'uptimeSeconds' | 'loopDelayP50Seconds' | 'loopDelayP99Seconds' | 'processCpuSeconds'
  | 'processResidentBytes' | 'processHeapBytes' | 'stateBytes'>

export interface HostMeter {
  /** Delays of the event loop are those since the last call. */
  read(): Promise<HostFigures>
  stop(): void
}
