// `lab up`: from nothing, from a lab that is down or from one that runs in part, to a healthy cluster with image `tiny`.
import { copyFileSync, existsSync, mkdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { awaitDaemon, awaitHealthy, formCluster, loadTiny, readAccess, type Effort } from './lab-cluster.ts'
import { LabError } from './lab-error.ts'
import { daemonPid, powerOn, programRoot } from './lab-host.ts'
import { hostPaths, writeHostsFile } from './host-files.ts'
import { withLabLock } from './lab-lock.ts'
import { applyPartition, chooseIdentity, raiseSwitch } from './lab-network.ts'
import { hostUrl, labFiles, readLab, withHosts, writeLab, type LabState } from './lab-state.ts'
import { tryCommand } from './system-command.ts'

/** The contract of `lab up`: its last line, as JSON. */
export type LabReport = {
  readonly dir: string
  readonly caFile: string
  /** An administrator's API token. */
  readonly token: string
  readonly nodes: readonly {
    readonly name: string
    readonly url: string
    readonly address: string
    /** Of the daemon. */
    readonly pid: number | null
    readonly dataDir: string
  }[]
}

export type UpOptions = {
  /** Undefined: as many as the lab has, 3 for a new one. */
  readonly nodes: number | undefined
  /** How many of them form the cluster; undefined: as before, all in a new lab. */
  readonly joined?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly progress: (text: string) => void
}

const formTimeoutMs = 90_000
const buildTimeoutMs = 300_000
// The sockets in a host's directory must fit into 107 bytes.
const directoryLengthMax = 80

/** Brings the lab up and reports it. Idempotent. @throws LabError when it is not healthy within 90 s. */
export async function bringUp(dir: string, options: UpOptions): Promise<LabReport> {
  if (process.getuid?.() !== 0) throw new LabError('failed', 'the lab makes network namespaces and runs libvirtd: run it as root')
  if (Buffer.byteLength(dir) > directoryLengthMax) throw new LabError('usage', `the lab's directory may have ${directoryLengthMax} characters at most, because sockets lie in it: ${dir}`)
  await requirePrograms()
  return await withLabLock(dir, formTimeoutMs, async () => {
    const startedMs = performance.now()
    const effort: Effort = { signal: options.signal, progress: options.progress, remainingMs: () => Math.max(0, startedMs + formTimeoutMs - performance.now()) }
    const lab = await planLab(dir, options)
    const tiny = ensureTiny(lab, options)
    // Observed below; until then a failure of the build must not end the process.
    tiny.catch(() => {})
    await raiseHosts(lab, effort)
    if (lab.partition.length > 0) {
      options.progress('the network is cut, so nothing is awaited of the cluster; heal it with `lab heal`')
      return report(lab)
    }
    const { access, members } = await formCluster(lab, effort)
    options.progress('waiting until every node is ready')
    await awaitHealthy({ ...lab, hosts: members }, access, effort)
    await tiny
    // A build from nothing has its own bound; the rest keeps its time.
    await loadTiny({ ...lab, hosts: members }, access, { ...effort, remainingMs: () => Math.max(20_000, effort.remainingMs()) })
    options.progress(`ready after ${((performance.now() - startedMs) / 1000).toFixed(1)} s`)
    return report(lab)
  })
}

/** What `up` prints, from the state of the machine. @throws LabError before the cluster was formed. */
export function report(lab: LabState): LabReport {
  const access = readAccess(lab)
  if (access === undefined) throw new LabError('conflict', `the cluster of ${lab.dir} is not formed yet; run 'novacron lab up'`)
  return {
    dir: lab.dir,
    caFile: labFiles(lab.dir).ca,
    token: access.token,
    nodes: lab.hosts.map((host) => ({
      name: host.name,
      url: hostUrl(lab, host),
      address: host.address,
      pid: daemonPid(lab, host.name) ?? null,
      dataDir: hostPaths(lab, host.name).data,
    })),
  }
}

async function planLab(dir: string, { nodes, joined }: Pick<UpOptions, 'nodes' | 'joined'>): Promise<LabState> {
  mkdirSync(dir, { recursive: true })
  const known = readLab(dir)
  const lab = known ?? { version: 1 as const, dir, ...(await chooseIdentity(dir)), port: 8443, hosts: [], partition: [] }
  const grown = withHosts(lab, Math.max(nodes ?? (known === undefined ? 3 : known.hosts.length), lab.hosts.length))
  const planned: LabState = joined === undefined ? grown : { ...grown, joined }
  if (joined !== undefined && (joined < 1 || joined > grown.hosts.length)) throw new LabError('usage', `--join takes 1 to ${grown.hosts.length}, the number of hosts`)
  // Written before anything is made, so that `down` finds all of it after a kill at any point.
  writeLab(planned)
  return planned
}

async function raiseHosts(lab: LabState, effort: Effort): Promise<void> {
  await raiseSwitch(lab)
  await applyPartition(lab)
  effort.progress(`${lab.hosts.length} hosts on ${lab.subnet}.0/24`)
  await Promise.all(
    lab.hosts.map(async (host) => {
      await powerOn(lab, host)
      writeHostsFile(lab, host)
      await awaitDaemon(lab, host, effort)
    }),
  )
}

async function ensureTiny(lab: LabState, options: UpOptions): Promise<void> {
  const kept = labFiles(lab.dir).tiny
  if (existsSync(kept)) return
  const built = join(programRoot, 'build', 'tiny.qcow2')
  if (!existsSync(built)) {
    options.progress('building image tiny')
    const result = await tryCommand('bash', [join(programRoot, 'iso', 'tiny', 'build.sh'), built], { timeoutMs: buildTimeoutMs, signal: options.signal })
    if (result.code !== 0) throw new LabError('failed', `image tiny was not built: ${result.stderr.trim().split('\n').slice(-3).join('\n')}`)
  }
  copyFileSync(built, `${kept}.new`)
  renameSync(`${kept}.new`, kept)
}

// One sentence that says what to do is worth more than the first program's "not found" in a host's log.
async function requirePrograms(): Promise<void> {
  const programs = ['/usr/sbin/libvirtd', 'ip', 'nft', 'nsenter', 'unshare', 'qemu-system-x86_64', 'qemu-img']
  const found = await tryCommand('sh', ['-c', programs.map((program) => `command -v ${program} >/dev/null || echo ${program}`).join('\n')])
  const missing = found.stdout.trim().split('\n').filter((line) => line !== '')
  if (missing.length > 0) throw new LabError('failed', `missing on this machine: ${missing.join(', ')}. 'make setup' installs them on Debian and Ubuntu; elsewhere install what iso/packages.list names`)
}
