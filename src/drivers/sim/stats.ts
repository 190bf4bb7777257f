// What a simulated guest has used: a tenth of a core and a little of everything, from the time it was booted.
import type { DomainStats } from '../../ports/hypervisor.ts'
import { isExecuting, type SimDomain } from './machine.ts'

const busyRatio = 0.1
const bytesPerSecond = 64 * 1024

/** @param nowMs of the machine's own clock */
export function statsOf(domain: SimDomain, nowMs: number): DomainStats {
  const seconds = isExecuting(domain) ? Math.max(0, nowMs - domain.bootedMs) / 1000 : 0
  const memoryBytes = (domain.spec?.memoryMiB ?? 0) * 2 ** 20
  return {
    id: domain.id,
    cpuSeconds: seconds * busyRatio * (domain.spec?.cpus ?? 1),
    memoryResidentBytes: memoryBytes / 2, memoryBalloonBytes: memoryBytes,
    disks: (domain.spec?.disks ?? []).map(({ name }) => ({ name, readBytes: seconds * bytesPerSecond, writtenBytes: seconds * bytesPerSecond, reads: seconds, writes: seconds })),
    nics: (domain.spec?.nics ?? []).map((_, at) => ({
      name: `net${at}`, receiveBytes: seconds * bytesPerSecond, receivePackets: seconds, receiveErrors: 0, receiveDrops: 0,
      transmitBytes: seconds * bytesPerSecond, transmitPackets: seconds, transmitErrors: 0, transmitDrops: 0,
    })),
  }
}
