// `lab status`: what is on, what runs and what answers, host by host.
import { hostPaths } from './host-files.ts'
import { probe, readAccess } from './lab-cluster.ts'
import { daemonPid, isPoweredOn, libvirtPid } from './lab-host.ts'
import { hostUrl, labFiles, type LabState } from './lab-state.ts'

export type LabStatus = {
  readonly dir: string
  readonly id: string
  readonly subnet: string
  readonly caFile: string | null
  readonly token: string | null
  readonly partition: readonly (readonly string[])[]
  readonly nodes: readonly HostStatus[]
}

export type HostStatus = {
  readonly name: string
  readonly url: string
  readonly address: string
  readonly dataDir: string
  readonly power: 'on' | 'off'
  readonly pid: number | null
  readonly libvirtPid: number | null
  /** Whether `/healthz` answers 200. */
  readonly healthy: boolean
  /** Whether `/readyz` answers 200: a member with a quorum in sight. */
  readonly ready: boolean
}

export async function readStatus(lab: LabState): Promise<LabStatus> {
  const access = readAccess(lab)
  const nodes = await Promise.all(
    lab.hosts.map(async (host): Promise<HostStatus> => {
      const [url, on] = [hostUrl(lab, host), isPoweredOn(lab, host.name)]
      const [healthz, readyz] = on ? await Promise.all([probe(`${url}/healthz`), probe(`${url}/readyz`, access?.ca)]) : [0, 0]
      return {
        name: host.name,
        url,
        address: host.address,
        dataDir: hostPaths(lab, host.name).data,
        power: on ? 'on' : 'off',
        pid: daemonPid(lab, host.name) ?? null,
        libvirtPid: libvirtPid(lab, host.name) ?? null,
        healthy: healthz === 200,
        ready: readyz === 200,
      }
    }),
  )
  return { dir: lab.dir, id: lab.id, subnet: `${lab.subnet}.0/24`, caFile: access === undefined ? null : labFiles(lab.dir).ca, token: access?.token ?? null, partition: lab.partition, nodes }
}

/** The status as a table for people. */
export function renderStatus(status: LabStatus): string {
  const rows = status.nodes.map((node) => [
    node.name,
    node.power,
    node.url,
    node.pid === null ? '-' : String(node.pid),
    node.libvirtPid === null ? '-' : String(node.libvirtPid),
    node.ready ? 'ready' : node.healthy ? 'not ready' : 'no answer',
  ])
  const table = [['HOST', 'POWER', 'URL', 'DAEMON', 'LIBVIRTD', 'STATE'], ...rows]
  const widths = (table[0] ?? []).map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0)))
  const lines = table.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd())
  if (status.partition.length > 0) lines.push(`cut: ${status.partition.map((group) => group.join(',')).join(' | ')}`)
  return lines.join('\n')
}
