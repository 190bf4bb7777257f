// The commands that change a lab's hosts and links: down, kill, start, partition, heal.
import { existsSync, realpathSync, rmSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { LabError } from './lab-error.ts'
import { hostProcesses, isPoweredOn, powerOff, powerOn } from './lab-host.ts'
import { withLabLock } from './lab-lock.ts'
import { applyPartition, labNamespaces, raiseSwitch, removeNetwork } from './lab-network.ts'
import { parsePartition } from './lab-partition.ts'
import { labFiles, labId, readLab, requireHost, requireLab, writeLab, type LabState } from './lab-state.ts'

const lockTimeoutMs = 90_000

/** The directory as every command means it: absolute, links resolved where it exists. */
export function labDirectory(dir: string): string {
  const absolute = resolve(dir)
  return existsSync(absolute) ? realpathSync(absolute) : absolute
}

/**
 * Takes the lab off this machine: processes, namespaces, mounts. The directory stays, so that `up` resumes; `purge` deletes it.
 * Works too after the lab's processes were killed, and where there is no lab.
 */
export async function takeDown(dir: string, options: { readonly purge: boolean }): Promise<void> {
  if (!existsSync(dir)) return await removeById(labId(dir, 0))
  await withLabLock(dir, lockTimeoutMs, async () => {
    const lab = readLabLeniently(dir, options.purge)
    await removeById(lab?.id ?? labId(dir, 0))
    // The next `up` has a new switch, with nothing cut.
    if (lab !== undefined && lab.partition.length > 0) writeLab({ ...lab, partition: [] })
    if (options.purge) rmSync(dir, { recursive: true, force: true })
  })
}

/** Power cut of one host. @throws LabError `notFound` for an unknown one. */
export async function killHost(dir: string, name: string): Promise<void> {
  await withLabLock(dir, lockTimeoutMs, async () => {
    const lab = requireLab(dir)
    await powerOff(lab, requireHost(lab, name).name)
  })
}

/** Powers a host on; nothing happens if it is on. */
export async function startHost(dir: string, name: string): Promise<LabState> {
  return await withLabLock(dir, lockTimeoutMs, async () => {
    const lab = requireLab(dir)
    await raiseSwitch(lab)
    await applyPartition(lab)
    await powerOn(lab, requireHost(lab, name))
    return lab
  })
}

/** Cuts the lab into groups (`node1,node2|node3`); undefined heals it. Hosts that are off stay cut when they come back. */
export async function cutLab(dir: string, groups: string | undefined): Promise<LabState> {
  return await withLabLock(dir, lockTimeoutMs, async () => {
    const before = requireLab(dir)
    if (labNamespaces(before.id).length === 0) throw new LabError('conflict', `the lab in ${dir} is down`)
    const lab: LabState = { ...before, partition: groups === undefined ? [] : parsePartition(before, groups) }
    await applyPartition(lab)
    writeLab(lab)
    return lab
  })
}

/** Whether any host of the lab is powered on. */
export function isUp(lab: LabState): boolean {
  return lab.hosts.some((host) => isPoweredOn(lab, host.name))
}

async function removeById(id: string): Promise<void> {
  const prefix = `nc-${id}-`
  const names = labNamespaces(id).map((namespace) => namespace.slice(prefix.length))
  const killed: number[] = []
  for (const name of names) killed.push(...(await powerOff({ id }, name)))
  await removeNetwork({ id })
  // The dead stay listed until the machine's first process takes notice; whoever looks for remains should not see them. No fault if it is slow.
  const deadlineMs = performance.now() + 2000
  while (killed.some((pid) => existsSync(`/proc/${pid}`)) && performance.now() < deadlineMs) await delay(20)
  const left = names.filter((name) => hostProcesses({ id }, name).length > 0)
  if (left.length > 0 || labNamespaces(id).length > 0) throw new LabError('failed', `something of the lab is left: ${[...left, ...labNamespaces(id)].join(', ')}`)
}

// A damaged state file must not keep anybody from getting rid of the lab.
function readLabLeniently(dir: string, purge: boolean): LabState | undefined {
  try {
    return readLab(dir)
  } catch (error) {
    if (purge || existsSync(labFiles(dir).state)) return undefined
    throw error
  }
}
