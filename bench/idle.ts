// Measures what an idle daemon takes in a cluster of three with a few idle VMs: under 200 MB resident, under 2 % of one core.
import { mkdtemp, rm } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { daemonPid, libvirtPid } from '../src/cli/lab/lab-host.ts'
import { requireLab } from '../src/cli/lab/lab-state.ts'
import { labDirectory, labUp } from './bench-lab.ts'
import { requireEtcd, startEtcd } from './etcd.ts'
import { load, printHead } from './facts.ts'
import { createClient, require2xx } from './https-client.ts'
import { usageOf, type Usage } from './process-usage.ts'
import { judge } from './samples.ts'
import { withCleanup } from './stop.ts'

const { values } = parseArgs({ options: { short: { type: 'boolean', default: false }, seconds: { type: 'string' } } })
const limits = { rssMb: 200, cpuPercent: 2 } as const
const seconds = Number(values.seconds ?? (values.short ? 30 : 60))
const settleSeconds = values.short ? 10 : 20
const sampleSeconds = 5
const vmsPerHost = 2

type Watched = { readonly name: string; readonly pid: number; readonly daemon: boolean; readonly seen: Usage[] }

await withCleanup(async (defer) => {
  const etcdVersion = requireEtcd()
  const place = labDirectory()
  const { dir } = place
  defer(() => place.remove())
  const report = await labUp(dir, 3)
  const lab = requireLab(dir)
  const ca = readFileSync(report.caFile, 'utf8')
  const client = createClient({ url: report.nodes[0]?.url ?? '', ca, token: report.token })
  for (const node of report.nodes) {
    for (let number = 1; number <= vmsPerHost; number += 1) {
      const spec = { cpus: 1, memoryMiB: 128, disks: [{ name: 'root', image: 'tiny' }], nics: [{ network: 'nat' }], runState: 'running', placement: { node: node.name } }
      await require2xx(client.ask('/api/v1/vms', { method: 'POST', json: { name: `idle-${node.name}-${number}`, spec }, headers: { prefer: 'wait=60' } }), 'creating a VM')
    }
  }
  const { leader } = (await require2xx(client.ask('/api/v1/cluster'), 'asking for the leader')).body as { leader: string }
  // Also the last request's connection is over when the measurement begins: nobody asks the daemons anything.
  client.close()
  const etcdDirectory = await mkdtemp(join(tmpdir(), 'nc-bench-'))
  defer(() => rm(etcdDirectory, { recursive: true }))
  const etcd = await startEtcd({ directory: etcdDirectory, members: 3 })
  defer(() => etcd.stop())
  await delay(settleSeconds * 1000)
  const watched: Watched[] = [
    ...lab.hosts.map((host) => ({ name: `daemon ${host.name} (${host.name === leader ? 'leader' : 'follower'})`, pid: pidOf(daemonPid(lab, host.name)), daemon: true, seen: [] })),
    ...lab.hosts.map((host) => ({ name: `libvirtd of ${host.name}`, pid: pidOf(libvirtPid(lab, host.name)), daemon: false, seen: [] })),
    ...etcd.pids.map((pid, at) => ({ name: `etcd member ${at + 1}`, pid, daemon: false, seen: [] })),
  ]
  printHead('idle', [
    `NovaCron: a lab of three hosts as \`lab up\` makes it, with ${vmsPerHost} idle VMs of tiny on each; the daemons run as the launcher starts them: ${readFileSync(`/proc/${watched[0]?.pid}/cmdline`, 'utf8').split('\0').filter((word) => word.startsWith('--') && word !== '--config').join(' ')}, MALLOC_ARENA_MAX=1`,
    `etcd ${etcdVersion}, for orientation: three idle members with a key or none, beside at the same time; libvirtd: each host's own`,
    `${settleSeconds} s to settle, then a look every ${sampleSeconds} s for ${seconds} s; nobody asks the daemons anything; RSS and PSS (shared pages counted in part) from smaps_rollup, CPU time from stat`,
  ])
  for (let at = 0; at <= seconds; at += sampleSeconds) {
    for (const one of watched) one.seen.push(usageOf(one.pid))
    if (at < seconds) await delay(sampleSeconds * 1000)
  }
  console.log(`load at the end: ${load()}`)
  const judged = watched.map((one) => ({ ...one, ...summaryOf(one) }))
  for (const { name, rssMb, pssMb, cpuPercent, seen } of judged) {
    console.log(`${name.padEnd(28)} RSS max ${rssMb.toFixed(1)} MB  PSS max ${pssMb.toFixed(1)} MB  CPU ${cpuPercent.toFixed(2)} % of a core`)
    console.log(`  raw RSS MB: ${seen.map((each) => each.rssMb.toFixed(1)).join(' ')}; CPU s: ${seen.map((each) => each.cpuSeconds.toFixed(2)).join(' ')}`)
  }
  const daemons = judged.filter((one) => one.daemon)
  judge('idle daemon, most resident memory', Math.max(...daemons.map((one) => one.rssMb)), limits.rssMb, 'MB')
  judge('idle daemon, most CPU', Math.max(...daemons.map((one) => one.cpuPercent)), limits.cpuPercent, '% of a core')
})

function summaryOf({ seen }: Watched): { readonly rssMb: number; readonly pssMb: number; readonly cpuPercent: number } {
  const [first, last] = [seen[0]!, seen.at(-1)!]
  return { rssMb: Math.max(...seen.map((each) => each.rssMb)), pssMb: Math.max(...seen.map((each) => each.pssMb)), cpuPercent: ((last.cpuSeconds - first.cpuSeconds) / seconds) * 100 }
}

function pidOf(pid: number | undefined): number {
  if (pid === undefined) throw new Error('a process of the lab does not run')
  return pid
}
