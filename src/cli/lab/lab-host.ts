// Powers lab hosts on and off, and knows which processes run inside one.
import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { hostPaths, writeHostFiles } from './host-files.ts'
import { LabError } from './lab-error.ts'
import { hostNamespace, namespaceIdentity, plugHost, unplugHost } from './lab-network.ts'
import type { LabHost, LabState } from './lab-state.ts'

/** The checkout (or the installed program) that this file belongs to. */
export const programRoot = join(import.meta.dirname, '..', '..', '..')

/** The `novacron` command of this program. */
export const programPath = join(programRoot, 'novacron')

/** Whether the host is powered on: its first process is alive. */
export function isPoweredOn(lab: LabState, name: string): boolean {
  return hostPid(lab, name) !== undefined
}

/** Process id of the host's first process, or undefined if it is off. */
export function hostPid(lab: LabState, name: string): number | undefined {
  return livingPid(lab, name, 'host')
}

/** Process id of the daemon in a host, or undefined while it does not run. */
export function daemonPid(lab: LabState, name: string): number | undefined {
  return livingPid(lab, name, 'novacron')
}

/** Process id of libvirtd in a host, or undefined while it does not run. */
export function libvirtPid(lab: LabState, name: string): number | undefined {
  return livingPid(lab, name, 'libvirtd')
}

/** Powers a host on. Does nothing if it is on. Returns once its first process was started. */
export async function powerOn(lab: LabState, host: LabHost): Promise<void> {
  if (isPoweredOn(lab, host.name)) return
  await powerOff(lab, host.name)
  await plugHost(lab, host)
  writeHostFiles(lab, host)
  const paths = hostPaths(lab, host.name)
  mkdirSync(dirname(paths.console), { recursive: true })
  const log = openSync(paths.console, 'a')
  try {
    const daemon = [programPath, 'daemon', '--config', paths.config]
    const init = ['bash', join(import.meta.dirname, 'host-init.sh'), paths.root, host.name, ...daemon]
    const child = spawn('ip', ['netns', 'exec', hostNamespace(lab, host.name), 'unshare', '-m', '-u', '--propagation', 'private', ...init], {
      detached: true,
      cwd: '/',
      stdio: ['ignore', log, log],
      env: hostEnvironment(),
    })
    const { promise, reject, resolve } = Promise.withResolvers<undefined>()
    child.on('error', reject)
    child.on('spawn', () => resolve(undefined))
    await promise
    child.unref()
  } finally {
    closeSync(log)
  }
  await waitForInit(lab, host.name)
}

/**
 * SIGKILL of everything in the host, then its network goes: what a power cut leaves is the disk. Works from the state of the
 * machine alone, so also after the lab's own processes were killed.
 * @returns the process ids that it killed.
 * @throws LabError if something will not die within 10 s.
 */
export async function powerOff(lab: Pick<LabState, 'id'>, name: string): Promise<readonly number[]> {
  const deadlineMs = performance.now() + 10_000
  const killed = new Set<number>()
  for (;;) {
    const pids = hostProcesses(lab, name)
    if (pids.length === 0) break
    for (const pid of pids) killNow(pid)
    for (const pid of pids) killed.add(pid)
    if (performance.now() > deadlineMs) throw new LabError('failed', `host ${name}: processes ${pids.join(', ')} do not die`)
    await delay(10)
  }
  await unplugHost(lab, name)
  return [...killed]
}

/**
 * Every process inside the host: those in its network namespace, and those that share a mount or UTS namespace with one of
 * them (a helper that the daemon put into a network namespace of its own).
 */
export function hostProcesses(lab: Pick<LabState, 'id'>, name: string): readonly number[] {
  const network = namespaceIdentity(hostNamespace(lab, name))
  if (network === undefined) return []
  const all = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry)).map(Number)
  const inside = all.filter((pid) => {
    try {
      const { dev, ino } = statSync(`/proc/${pid}/ns/net`)
      return dev === network.dev && ino === network.ino
    } catch {
      return false
    }
  })
  const own = new Set([namespaceOf('self', 'mnt'), namespaceOf('self', 'uts'), namespaceOf(1, 'mnt'), namespaceOf(1, 'uts')])
  const shared = new Set(inside.flatMap((pid) => [namespaceOf(pid, 'mnt'), namespaceOf(pid, 'uts')]).filter((namespace) => namespace !== undefined && !own.has(namespace)))
  const companions = all.filter((pid) => shared.has(namespaceOf(pid, 'mnt')) || shared.has(namespaceOf(pid, 'uts')))
  return [...new Set([...inside, ...companions])]
}

/** Waits until `condition` gives something other than undefined or false. @throws LabError after `timeoutMs`. */
export async function waitFor<T>(what: string, options: { timeoutMs: number; signal?: AbortSignal | undefined; everyMs?: number }, condition: () => T | Promise<T>): Promise<NonNullable<T>> {
  const deadlineMs = performance.now() + options.timeoutMs
  for (;;) {
    const value = await condition()
    if (value !== undefined && value !== null && value !== false) return value
    if (options.signal?.aborted) throw new LabError('failed', `interrupted while waiting for ${what}`)
    if (performance.now() > deadlineMs) throw new LabError('failed', `waited ${Math.round(options.timeoutMs / 1000)} s in vain for ${what}`)
    await delay(options.everyMs ?? 50)
  }
}

async function waitForInit(lab: LabState, name: string): Promise<void> {
  try {
    await waitFor('the host', { timeoutMs: 10_000, everyMs: 10 }, () => hostPid(lab, name))
  } catch (cause) {
    throw new LabError('failed', `host ${name} did not come up; see ${hostPaths(lab, name).console}: ${lastLines(hostPaths(lab, name).console)}`, cause)
  }
}

/** The last lines of a log, for a message; empty if there is none. */
export function lastLines(path: string, count = 5): string {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-count).join('\n')
  } catch {
    return ''
  }
}

// A pid file alone proves nothing after a kill or a reboot of the machine: the process must also be in the host's namespace.
function livingPid(lab: LabState, name: string, file: string): number | undefined {
  let pid: number
  try {
    pid = Number(readFileSync(join(hostPaths(lab, name).run, `${file}.pid`), 'utf8'))
  } catch {
    return undefined
  }
  const network = namespaceIdentity(hostNamespace(lab, name))
  if (network === undefined || !Number.isInteger(pid) || pid < 2) return undefined
  return namespaceOf(pid, 'net') === `net:[${network.ino}]` ? pid : undefined
}

function namespaceOf(pid: number | 'self', kind: 'net' | 'mnt' | 'uts'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`)
  } catch {
    return undefined
  }
}

function killNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It died by itself in between, which is what was wanted.
  }
}

// What a service manager would pass on: nothing of the caller's shell but what finds programs and caches.
function hostEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.fromEntries(['NODE_COMPILE_CACHE', 'NODE_V8_COVERAGE', 'XDG_CACHE_HOME', 'LANG'].flatMap((key) => (process.env[key] === undefined ? [] : [[key, process.env[key]]])))
  return { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', ...kept }
}
