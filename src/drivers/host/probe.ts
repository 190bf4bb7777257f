// How busy this host is, read from /proc and the storage: for eyes and placement hints, never for safety.
import { readFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import type { NodeLoad } from '../../model/node.ts'
import type { HostProbe } from '../../ports/hypervisor.ts'

type CpuTimes = { readonly busy: number; readonly total: number }
const kibibyte = 1024

export class LinuxProbe implements HostProbe {
  readonly #usage: () => Promise<{ readonly usedBytes: number; readonly totalBytes: number }>
  readonly #delay = monitorEventLoopDelay({ resolution: 20 })
  #former: CpuTimes = readCpuTimes()

  /** @param options `storage` measures the pool "local" */
  constructor(options: { readonly storage: () => Promise<{ readonly usedBytes: number; readonly totalBytes: number }> }) {
    this.#usage = options.storage
    this.#delay.enable()
  }

  /** CPU and loop delay are since the last call. */
  async load(): Promise<NodeLoad> {
    const [memory, storage, uptime] = await Promise.all([readFile('/proc/meminfo', 'utf8'), this.#usage(), readFile('/proc/uptime', 'utf8')])
    const times = readCpuTimes()
    const total = times.total - this.#former.total
    const cpuRatio = total <= 0 ? 0 : Math.min(1, Math.max(0, (times.busy - this.#former.busy) / total))
    this.#former = times
    const totalBytes = memoryField(memory, 'MemTotal')
    // The histogram counts the sampling period itself.
    const loopDelayMs = Math.max(0, this.#delay.percentile(99) / 1e6 - 20)
    this.#delay.reset()
    return {
      cpuRatio,
      memoryUsedBytes: Math.max(0, totalBytes - memoryField(memory, 'MemAvailable')),
      memoryTotalBytes: totalBytes,
      storageUsedBytes: storage.usedBytes,
      storageTotalBytes: storage.totalBytes,
      loopDelayMs: Number.isFinite(loopDelayMs) ? loopDelayMs : 0,
      uptimeSeconds: Number.parseFloat(uptime) || performance.now() / 1000,
    }
  }
}

function readCpuTimes(): CpuTimes {
  let busy = 0
  let total = 0
  for (const { times } of cpus()) {
    busy += times.user + times.nice + times.sys + times.irq
    total += times.user + times.nice + times.sys + times.irq + times.idle
  }
  return { busy, total }
}

function memoryField(text: string, field: string): number {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)
  return Number(match?.[1] ?? 0) * kibibyte
}
