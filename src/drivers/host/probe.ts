// Measures the load of the host and of this process: /proc, the storage, and the event loop.
import { readFileSync } from 'node:fs'
import type { HostProbe } from '../../ports/hypervisor.ts'
import type { StorageDriver } from '../../ports/storage.ts'
import type { NodeLoad } from '../../model/node.ts'
import { LoopDelay } from './loop-delay.ts'

type Usage = StorageDriver['usage']
type CpuTimes = { readonly busy: number; readonly total: number }

export class LinuxProbe implements HostProbe {
  readonly #storage: Usage
  readonly #loop = new LoopDelay()
  readonly #procDirectory: string
  #before: CpuTimes = { busy: 0, total: 0 }

  /** `storage` measures where volumes lie; `procDirectory` is where /proc is, default /proc. */
  constructor(options: { readonly storage: Usage; readonly procDirectory?: string }) {
    this.#procDirectory = options.procDirectory ?? '/proc'
    this.#storage = options.storage
  }

  /** Ends the sampling of the event loop. */
  stop(): void {
    this.#loop.stop()
  }

  /** CPU use and loop delay (99th percentile) since the last call; the first one tells the CPU use since boot. */
  async load(): Promise<NodeLoad> {
    const storage = await this.#storage()
    const [stat, memory, uptime] = [this.#read('stat'), this.#read('meminfo'), this.#read('uptime')]
    const times = parseCpuTimes(stat)
    const elapsed = times.total - this.#before.total
    const cpuRatio = elapsed <= 0 ? 0 : Math.min(1, Math.max(0, (times.busy - this.#before.busy) / elapsed))
    this.#before = times
    const [loopDelayMs = 0] = this.#loop.take(0.99)
    const { totalBytes, availableBytes } = parseMemory(memory)
    return {
      cpuRatio, memoryUsedBytes: totalBytes - availableBytes, memoryTotalBytes: totalBytes,
      storageUsedBytes: storage.usedBytes, storageTotalBytes: storage.totalBytes,
      loopDelayMs, uptimeSeconds: Math.floor(Number(uptime.split(' ')[0])),
    }
  }

  /** /proc is memory: it never waits for a disk, while a thread's help would cost a dozen wake-ups. */
  #read(name: string): string {
    return readFileSync(`${this.#procDirectory}/${name}`, 'utf8')
  }
}

/** proc(5), /proc/stat: user nice system idle iowait irq softirq steal, in ticks. Guest time is in user already. */
function parseCpuTimes(stat: string): CpuTimes {
  const fields = (/^cpu +(.+)$/m.exec(stat)?.[1] ?? '').split(' ').slice(0, 8).map(Number)
  const total = fields.reduce((sum, ticks) => sum + ticks, 0)
  return { busy: total - (fields[3] ?? 0) - (fields[4] ?? 0), total }
}

function parseMemory(meminfo: string): { readonly totalBytes: number; readonly availableBytes: number } {
  const kibibytes = (name: string): number => Number(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(meminfo)?.[1] ?? 0) * 1024
  return { totalBytes: kibibytes('MemTotal'), availableBytes: kibibytes('MemAvailable') }
}
