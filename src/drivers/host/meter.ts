// What this host and this process use: /proc (proc(5)), the storage, the state's files, and the event loop.
import { readFileSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { HostFigures, HostMeter } from '../../ports/meter.ts'
import type { StorageDriver } from '../../ports/storage.ts'
import { LoopDelay } from './loop-delay.ts'

/** USER_HZ: fixed at 100 for user space on Linux. */
const ticksPerSecond = 100
/** /proc/diskstats counts sectors of 512 bytes, whatever the device's are. */
const sectorBytes = 512
/** Files are counted this often: they change slowly. */
const filesPeriodMs = 60_000
/** Whole disks: their partitions, and what is stacked on them, would count the same bytes again. */
const wholeDisk = /^(?:sd[a-z]+|x?vd[a-z]+|hd[a-z]+|nvme\d+n\d+|mmcblk\d+)$/
const notCard = /^(?:lo|ifb\d+|vnet\d+|macvtap\d+|tap.*|virbr.*|br\d+|br-.*|docker\d+|veth.*)$/

export type LinuxMeterOptions = {
  readonly storage: StorageDriver['usage']
  /** Where the state lies. */
  readonly stateDirectory: string
  /** Default /proc. */
  readonly procDirectory?: string
}

export class LinuxMeter implements HostMeter {
  readonly #options: LinuxMeterOptions
  readonly #proc: string
  readonly #loop = new LoopDelay()
  #files = { bytes: 0, atMs: Number.NEGATIVE_INFINITY }

  constructor(options: LinuxMeterOptions) {
    this.#options = options
    this.#proc = options.procDirectory ?? '/proc'
  }

  stop(): void {
    this.#loop.stop()
  }

  async read(): Promise<HostFigures> {
    const [storage, stateBytes] = [await this.#options.storage(), await this.#stateBytes()]
    const cpu = parseCpu(this.#read('stat'))
    const memory = parseMeminfo(this.#read('meminfo'))
    const usage = process.resourceUsage()
    const own = process.memoryUsage()
    return {
      ...cpu, ...memory, ...parseNetDev(this.#read('net/dev')), ...parseDiskstats(this.#read('diskstats')),
      storageUsedBytes: storage.usedBytes, storageTotalBytes: storage.totalBytes,
      load1: Number(this.#read('loadavg').split(' ')[0]), uptimeSeconds: Math.floor(Number(this.#read('uptime').split(' ')[0])),
      ...this.#loopDelay(),
      processCpuSeconds: (usage.userCPUTime + usage.systemCPUTime) / 1e6, processResidentBytes: own.rss, processHeapBytes: own.heapUsed, stateBytes,
    }
  }

  #loopDelay(): Pick<HostFigures, 'loopDelayP50Seconds' | 'loopDelayP99Seconds'> {
    const [medianMs = 0, highMs = 0] = this.#loop.take(0.5, 0.99)
    return { loopDelayP50Seconds: medianMs / 1000, loopDelayP99Seconds: highMs / 1000 }
  }

  async #stateBytes(): Promise<number> {
    const nowMs = performance.now()
    if (nowMs - this.#files.atMs < filesPeriodMs) return this.#files.bytes
    const directory = this.#options.stateDirectory
    const names = await readdir(directory).catch(() => [])
    const sizes = await Promise.all(names.map((name) => stat(join(directory, name)).then((file) => file.size, () => 0)))
    this.#files = { bytes: sizes.reduce((sum, size) => sum + size, 0), atMs: nowMs }
    return this.#files.bytes
  }

  /** /proc is memory: it never waits for a disk, while a thread's help would cost a dozen wake-ups. */
  #read(name: string): string {
    return readFileSync(`${this.#proc}/${name}`, 'utf8')
  }
}

/** /proc/stat: user nice system idle iowait irq softirq steal, in ticks. Guest time is in user already. */
function parseCpu(text: string): Pick<HostFigures, 'cpus' | 'cpuSeconds' | 'cpuBusySeconds'> {
  const fields = (/^cpu +(.+)$/m.exec(text)?.[1] ?? '').split(' ').slice(0, 8).map(Number)
  const total = fields.reduce((sum, ticks) => sum + ticks, 0)
  return { cpus: text.match(/^cpu\d+ /gm)?.length ?? 1, cpuSeconds: total / ticksPerSecond, cpuBusySeconds: (total - (fields[3] ?? 0) - (fields[4] ?? 0)) / ticksPerSecond }
}

function parseMeminfo(text: string): Pick<HostFigures, 'memoryUsedBytes' | 'memoryTotalBytes'> {
  const bytes = (name: string): number => Number(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0) * 1024
  return { memoryTotalBytes: bytes('MemTotal'), memoryUsedBytes: bytes('MemTotal') - bytes('MemAvailable') }
}

/** Cards only: what is bridged or tapped onto them would count the same bytes again. */
function parseNetDev(text: string): Pick<HostFigures, 'receiveBytes' | 'transmitBytes'> {
  let [receiveBytes, transmitBytes] = [0, 0]
  for (const line of text.split('\n').slice(2)) {
    const [name = '', rest = ''] = line.split(':')
    if (rest === '' || notCard.test(name.trim())) continue
    const fields = rest.trim().split(/ +/).map(Number)
    receiveBytes += fields[0] ?? 0
    transmitBytes += fields[8] ?? 0
  }
  return { receiveBytes, transmitBytes }
}

/** reads merged sectors ms writes merged sectors ms …, after major, minor and name. */
function parseDiskstats(text: string): Pick<HostFigures, 'readBytes' | 'writtenBytes' | 'reads' | 'writes'> {
  const sum = { readBytes: 0, writtenBytes: 0, reads: 0, writes: 0 }
  for (const line of text.split('\n')) {
    const fields = line.trim().split(/ +/)
    if (!wholeDisk.test(fields[2] ?? '')) continue
    const at = (index: number) => Number(fields[index] ?? 0)
    sum.reads += at(3)
    sum.readBytes += at(5) * sectorBytes
    sum.writes += at(7)
    sum.writtenBytes += at(9) * sectorBytes
  }
  return sum
}
