// One command at a time changes a lab: a lock file that names its holder, and is free once that process is gone.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { LabError } from './lab-error.ts'
import { labFiles } from './lab-state.ts'

/** Runs `action` while holding the lab's lock. @throws LabError if another command holds it for longer than `timeoutMs`. */
export async function withLabLock<T>(dir: string, timeoutMs: number, action: () => Promise<T>): Promise<T> {
  mkdirSync(dir, { recursive: true })
  const path = labFiles(dir).lock
  const deadlineMs = performance.now() + timeoutMs
  const mine = `${process.pid} ${startTicks(process.pid) ?? ''}`
  while (!take(path, mine)) {
    const holder = readHolder(path)
    if (holder !== undefined && !isAlive(holder)) rmSync(path, { force: true })
    else if (performance.now() > deadlineMs) throw new LabError('conflict', `another lab command (process ${holder?.split(' ')[0] ?? 'unknown'}) is working on ${dir}`)
    else await delay(50)
  }
  try {
    return await action()
  } finally {
    if (readHolder(path) === mine) rmSync(path, { force: true })
  }
}

/** Takes the lab for as long as this process lives. @returns null, or the process that has it */
export function holdLab(dir: string): number | null {
  const path = labFiles(dir).foreground
  const mine = `${process.pid} ${startTicks(process.pid) ?? ''}`
  for (;;) {
    if (take(path, mine)) return null
    const holder = readHolder(path)
    if (holder === mine) return null
    if (holder !== undefined && isAlive(holder)) return Number(holder.split(' ')[0])
    rmSync(path, { force: true })
  }
}

export function letGoOfLab(dir: string): void {
  rmSync(labFiles(dir).foreground, { force: true })
}

function take(path: string, mine: string): boolean {
  try {
    writeFileSync(path, mine, { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

function readHolder(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

// Process ids are used again; together with the start time they are not.
function isAlive(holder: string): boolean {
  const [pid, ticks] = holder.split(' ')
  return startTicks(Number(pid)) === ticks
}

function startTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}
