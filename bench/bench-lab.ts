// A lab for a bench: real hosts in a directory of their own, taken off the machine whatever happens.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { awaitDaemon, type Effort } from '../src/cli/lab/lab-cluster.ts'
import { powerOn } from '../src/cli/lab/lab-host.ts'
import { writeHostsFile } from '../src/cli/lab/host-files.ts'
import { applyPartition, chooseIdentity, raiseSwitch } from '../src/cli/lab/lab-network.ts'
import { takeDown } from '../src/cli/lab/lab-power.ts'
import { withHosts, writeLab, type LabState } from '../src/cli/lab/lab-state.ts'
import { bringUp, type LabReport } from '../src/cli/lab/lab-up.ts'

const quiet = (): void => {}

/** A directory for a lab that is not there yet, and how to be rid of both. */
export function labDirectory(): { readonly dir: string; remove(): Promise<void> } {
  const parent = mkdtempSync(join(tmpdir(), 'nc-bench-'))
  const dir = join(parent, 'lab')
  return {
    dir,
    async remove() {
      await takeDown(dir, { purge: true })
      rmSync(parent, { recursive: true, force: true })
    },
  }
}

/** A healthy cluster with image tiny on every host: what `novacron lab up` makes. */
export async function labUp(dir: string, nodes: number): Promise<LabReport> {
  return await bringUp(dir, { nodes, progress: quiet })
}

/** The lab with `count` hosts, all powered on with a daemon that answers; none of the new ones is in a cluster. */
export async function raiseHosts(dir: string, count: number, known?: LabState): Promise<LabState> {
  requireRoot()
  mkdirSync(dir, { recursive: true })
  const lab = withHosts(known ?? { version: 1, dir, ...(await chooseIdentity(dir)), port: 8443, hosts: [], partition: [] }, count)
  writeLab(lab)
  await raiseSwitch(lab)
  await applyPartition(lab)
  const effort = effortOf(60_000)
  await Promise.all(lab.hosts.map(async (host) => {
    await powerOn(lab, host)
    writeHostsFile(lab, host)
    await awaitDaemon(lab, host, effort)
  }))
  return lab
}

/** How long a step may take, without words. */
export function effortOf(limitMs: number): Effort {
  const endMs = performance.now() + limitMs
  return { progress: quiet, remainingMs: () => Math.max(0, endMs - performance.now()) }
}

function requireRoot(): void {
  if (process.getuid?.() !== 0) throw new Error('the lab makes network namespaces and runs libvirtd: run this bench as root')
}
