// What a host is like as a node, measured: disk, space, memory, clock, network, event loop, libvirt, name. Asked before joining.
import { randomBytes } from 'node:crypto'
import { access, open, readdir, readFile, rm, statfs } from 'node:fs/promises'
import { hostname as systemHostname } from 'node:os'
import { join } from 'node:path'
import { divergenceText, type Divergence } from '../../model/checkpoint.ts'
import { namePattern } from '../../model/id.ts'
import type { NodeTrouble } from '../../model/node.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Hypervisor, HypervisorInfo } from '../../ports/hypervisor.ts'

export type DoctorCheck = { readonly check: string; readonly outcome: 'good' | 'warning' | 'bad'; readonly measured: string; readonly advice: string }
export type DoctorOptions = { readonly dataDirectory: string; readonly hypervisor: Hypervisor; readonly clock: Clock; /** Absent while the node is in no cluster. */ readonly state?: StateView | undefined }
/** Of the replicated state on this node. */
export type StateView = { readonly divergence: Divergence | null; readonly comparedIndex: number; readonly appliedIndex: number }

/** Every threshold in one place; what is above `bad` (or below, where less is worse) keeps a node from being of use. */
export const doctorLimits = {
  syncP99Ms: { warning: 10, bad: 250 },
  freeBytes: { warning: 10 * 2 ** 30, bad: 2 ** 30 },
  memoryAvailableBytes: { warning: 2 ** 30, bad: 256 * 2 ** 20 },
  loopDelayMs: { warning: 50, bad: 500 },
  mtuBytes: { warning: 1500, bad: 1280 },
  yearMin: 2025,
  yearMax: 2100,
} as const

const syncCount = 50
const syncBytes = 4096
const loopMs = 500
const loopTickMs = 10
const hypervisorMsMax = 10_000
const hypervisorPauseMs = 200

/**
 * Runs every check; takes some seconds. A check that cannot be made is told as such, never as good.
 * Writes 200 KiB into a file of its own in the data directory and removes it.
 */
export async function runDoctor({ dataDirectory, hypervisor, clock, state }: DoctorOptions): Promise<readonly DoctorCheck[]> {
  // One after another: together they would measure each other.
  const disk = await checkSync(dataDirectory, clock)
  const loop = await checkLoop(clock)
  return [
    disk, await checkSpace(dataDirectory), await checkMemory(), await checkClock(clock), await checkMtu(), loop, await checkHypervisor(hypervisor, clock), checkHostname(systemHostname()),
    ...(state === undefined ? [] : [judgeState(state)]),
  ]
}

/** What a node that is a member says of its part in consensus. */
export function judgeTroubles(troubles: readonly { readonly type: NodeTrouble; readonly message: string }[]): readonly DoctorCheck[] {
  const advice: Readonly<Record<NodeTrouble, string>> = {
    LogDamaged: 'It comes back by itself as soon as a majority of the voters without it has a leader. Look at the disk: what was damaged once will be again.',
    Resyncing: 'Nothing is to be done.',
    DiskFull: 'Free some space on the disk of the data directory.',
    DiskHung: 'Look at the disk of the data directory, and at what else uses it.',
  }
  return troubles.map(({ type, message }) => ({ check: 'consensus', outcome: type === 'Resyncing' ? 'warning' : 'bad', measured: message, advice: advice[type] }))
}

async function checkSync(directory: string, clock: Clock): Promise<DoctorCheck> {
  const check = 'disk sync'
  const path = join(directory, `.doctor-${randomBytes(6).toString('hex')}`)
  try {
    const file = await open(path, 'wx', 0o600)
    const tookMs: number[] = []
    try {
      const block = randomBytes(syncBytes)
      for (let at = 0; at < syncCount; at++) {
        const startedMs = clock.monotonicMs()
        await file.write(block, 0, syncBytes, at * syncBytes)
        await file.datasync()
        tookMs.push(clock.monotonicMs() - startedMs)
      }
    } finally {
      await file.close()
      await rm(path, { force: true })
    }
    tookMs.sort((left, right) => left - right)
    return judgeSync(quantile(tookMs, 0.5), quantile(tookMs, 0.99))
  } catch (error) {
    return { check, outcome: 'bad', measured: textOf(error), advice: `The node must be able to write to ${directory}.` }
  }
}

/** @param p50Ms median, and @param p99Ms 99th percentile, of writing 4 KiB with fdatasync */
export function judgeSync(p50Ms: number, p99Ms: number): DoctorCheck {
  const { warning, bad } = doctorLimits.syncP99Ms
  const outcome = p99Ms > bad ? 'bad' : p99Ms > warning ? 'warning' : 'good'
  const advice = {
    good: '',
    warning: 'Every write to the cluster waits for this disk; an SSD with power-loss protection syncs within 1 ms.',
    bad: 'Too slow for the Raft log: the node would lose its leader again and again. Put the data directory on an SSD.',
  }[outcome]
  return { check: 'disk sync', outcome, measured: `fdatasync of 4 KiB: p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms of ${syncCount}`, advice }
}

/** The value below which that part of the sorted values lies; nearest rank. */
function quantile(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(part * sorted.length) - 1)] ?? 0
}

async function checkSpace(directory: string): Promise<DoctorCheck> {
  const check = 'free space'
  try {
    const { bavail, blocks, bsize } = await statfs(directory)
    const freeBytes = bavail * bsize
    const outcome = outcomeBelow(freeBytes, doctorLimits.freeBytes)
    const measured = `${gibibytes(freeBytes)} of ${gibibytes(blocks * bsize)} GiB free in ${directory}`
    return { check, outcome, measured, advice: outcome === 'good' ? '' : 'Images, disks and the log lie here: make room or give it a larger disk.' }
  } catch (error) {
    return { check, outcome: 'bad', measured: textOf(error), advice: `The data directory ${directory} must exist.` }
  }
}

async function checkMemory(): Promise<DoctorCheck> {
  const text = await readText('/proc/meminfo')
  const kibibytes = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(text ?? '')?.[1] ?? Number.NaN)
  const [total, available] = [kibibytes('MemTotal') * 1024, kibibytes('MemAvailable') * 1024]
  if (Number.isNaN(total) || Number.isNaN(available)) return { check: 'memory', outcome: 'warning', measured: 'unknown: /proc/meminfo does not tell', advice: 'Look by hand: VMs take what is free.' }
  const outcome = outcomeBelow(available, doctorLimits.memoryAvailableBytes)
  return { check: 'memory', outcome, measured: `${gibibytes(available)} of ${gibibytes(total)} GiB available`, advice: outcome === 'good' ? '' : 'Little is left for VMs: add memory, or end what else runs here.' }
}

async function checkClock(clock: Clock): Promise<DoctorCheck> {
  const now = new Date(clock.nowMs())
  const year = now.getUTCFullYear()
  const check = 'clock'
  if (year < doctorLimits.yearMin || year > doctorLimits.yearMax) {
    return { check, outcome: 'bad', measured: now.toISOString(), advice: 'The clock is wrong, and no certificate is valid by it. Set it, and run an NTP client.' }
  }
  const synchronized = await isSynchronized()
  if (synchronized) return { check, outcome: 'good', measured: `${now.toISOString()}, synchronized`, advice: '' }
  return {
    check, outcome: 'warning', measured: `${now.toISOString()}, synchronization unknown`,
    advice: 'No sign of systemd-timesyncd having synchronized is on this host. If another NTP client keeps the clock, all is well; else run one.',
  }
}

/** systemd-timesyncd touches this file whenever it has set the clock (systemd-timesyncd.service(8)). */
async function isSynchronized(): Promise<boolean> {
  return access('/run/systemd/timesync/synchronized').then(() => true, () => false)
}

async function checkMtu(): Promise<DoctorCheck> {
  const root = '/sys/class/net'
  const found: { readonly name: string; readonly mtuBytes: number }[] = []
  for (const name of await readdir(root).catch(() => [])) {
    const flags = Number((await readText(join(root, name, 'flags')))?.trim())
    const mtuBytes = Number((await readText(join(root, name, 'mtu')))?.trim())
    // IFF_UP, and not IFF_LOOPBACK: netdevice(7).
    if ((flags & 0x1) !== 0 && (flags & 0x8) === 0 && mtuBytes > 0) found.push({ name, mtuBytes })
  }
  return judgeMtu(found.toSorted((left, right) => left.name.localeCompare(right.name)))
}

export function judgeMtu(interfaces: readonly { readonly name: string; readonly mtuBytes: number }[]): DoctorCheck {
  const check = 'MTU'
  if (interfaces.length === 0) return { check, outcome: 'bad', measured: 'no network interface is up', advice: 'The node reaches nobody: bring an interface up.' }
  const measured = interfaces.map(({ name, mtuBytes }) => `${name} ${mtuBytes}`).join(', ')
  const outcome = outcomeBelow(Math.min(...interfaces.map(({ mtuBytes }) => mtuBytes)), doctorLimits.mtuBytes)
  return { check, outcome, measured, advice: outcome === 'good' ? '' : 'Nodes need the same MTU, 1500 or more, on the whole way between them; a tunnel that takes less drops large packets.' }
}

async function checkLoop(clock: Clock): Promise<DoctorCheck> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const startedMs = clock.monotonicMs()
  let dueMs = startedMs + loopTickMs
  let worstMs = 0
  const tick = () => {
    const nowMs = clock.monotonicMs()
    worstMs = Math.max(worstMs, nowMs - dueMs)
    if (nowMs - startedMs >= loopMs) return resolve()
    dueMs = nowMs + loopTickMs
    clock.after(loopTickMs, tick)
  }
  clock.after(loopTickMs, tick)
  await promise
  return judgeLoop(worstMs)
}

/** @param delayMs the longest that a timer came late within half a second */
export function judgeLoop(delayMs: number): DoctorCheck {
  const { warning, bad } = doctorLimits.loopDelayMs
  const outcome = delayMs > bad ? 'bad' : delayMs > warning ? 'warning' : 'good'
  return { check: 'event loop', outcome, measured: `${delayMs.toFixed(1)} ms late at most, within ${loopMs} ms`, advice: outcome === 'good' ? '' : 'The daemon does not get a CPU in time: heartbeats come late. End what else runs here, or give the host more CPUs.' }
}

async function checkHypervisor(hypervisor: Hypervisor, clock: Clock): Promise<DoctorCheck> {
  const untilMs = clock.monotonicMs() + hypervisorMsMax
  for (;;) {
    try {
      return judgeHypervisor(await hypervisor.info())
    } catch (error) {
      // It may have been asked while the connection was still being made.
      if (clock.monotonicMs() > untilMs) return { check: 'libvirt', outcome: 'bad', measured: textOf(error), advice: 'No VM can run here. Is libvirtd (or virtqemud) installed and running, and is its socket the one in node.json?' }
      await new Promise<void>((resolve) => clock.after(hypervisorPauseMs, resolve))
    }
  }
}

export function judgeHypervisor(info: HypervisorInfo): DoctorCheck {
  const measured = `${info.description}, accelerator ${info.accelerator}, ${info.cpus} CPUs, ${info.memoryMiB} MiB`
  if (info.accelerator !== 'tcg') return { check: 'libvirt', outcome: 'good', measured, advice: '' }
  return { check: 'libvirt', outcome: 'warning', measured, advice: 'There is no KVM: VMs run, but many times slower. Switch on virtualization in the firmware, or nested virtualization.' }
}

/** What the node is called unless node.json names it: the first label of the host's name. */
export function checkHostname(name: string): DoctorCheck {
  const check = 'hostname'
  const label = name.split('.', 1)[0]!.toLowerCase()
  if (namePattern.test(label)) return { check, outcome: 'good', measured: name === label ? name : `${name}, so the node is ${label}`, advice: '' }
  return { check, outcome: 'bad', measured: name === '' ? 'empty' : name, advice: 'A node\'s name is a DNS label: lower-case letters, digits and hyphens. Set the hostname, or "name" in node.json.' }
}

export function judgeState({ divergence, comparedIndex, appliedIndex }: StateView): DoctorCheck {
  const check = 'state'
  if (divergence !== null) {
    const { index, hash, expected } = divergence
    return { check, outcome: 'bad', measured: `differs at index ${index} or before: ${hash} here, ${expected} in the cluster`, advice: divergenceText(divergence) }
  }
  return { check, outcome: 'good', measured: comparedIndex === 0 ? `not compared since the start, applied up to ${appliedIndex}` : `the leader's up to index ${comparedIndex}, applied up to ${appliedIndex}`, advice: '' }
}

function outcomeBelow(value: number, limit: { readonly warning: number; readonly bad: number }): DoctorCheck['outcome'] {
  return value < limit.bad ? 'bad' : value < limit.warning ? 'warning' : 'good'
}

function gibibytes(bytes: number): string {
  return (bytes / 2 ** 30).toFixed(1)
}

async function readText(path: string): Promise<string | null> {
  return readFile(path, 'utf8').catch(() => null)
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
