// What a process takes, as the kernel counts it: resident memory, its fair share of shared pages, CPU time.
import { readFileSync } from 'node:fs'

/** USER_HZ: what /proc counts CPU time in, on every Linux that runs Node. */
const ticksPerSecond = 100

export type Usage = { readonly rssMb: number; readonly pssMb: number; readonly cpuSeconds: number }

/** Memory in MB (10⁶ bytes). @throws Error where the process is gone */
export function usageOf(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  return { rssMb: kib(rollup, 'Rss'), pssMb: kib(rollup, 'Pss'), cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond }
}

function kib(text: string, name: string): number {
  return (Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) * 1024) / 1e6
}
