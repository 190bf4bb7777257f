// Chaos on a lab of three: clients write and read through all nodes while daemons are killed and stopped and links cut; then their history is judged.
//
//   node test/e2e/chaos.ts [--minutes 5] [--seed n]     a lab and a seed after the other until the time is over
import { rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { ChaosRun } from './chaos-run.ts'
import { eventually, Lab } from './lab-runner.ts'

const names = ['node1', 'node2', 'node3'] as const
const secondsMax = 120
type ChaosReport = {
  readonly seed: number
  readonly seconds: number
  readonly faults: Readonly<Record<string, number>>
  readonly counts: ChaosRun['counts']
  /** What is wrong, for people; empty if all is well. */
  readonly violations: readonly string[]
}
type ChaosOptions = { readonly seed: number; readonly seconds: number; readonly say: (text: string) => void }

/** One run on a lab that is up, with nothing of an earlier run in it. Leaves the lab healed. @throws where the lab does not recover */
export async function runChaos(lab: Lab, { seed, seconds, say }: ChaosOptions): Promise<ChaosReport> {
  const run = new ChaosRun(lab, { seed, labId: (await lab.status()).id })
  const { random, faults } = run
  const counts: Record<string, number> = {}
  await run.prepare()
  run.start()
  try {
    const deadlineMs = performance.now() + seconds * 1000
    while (performance.now() < deadlineMs) {
      await delay(random.between(500, 3000))
      const fault = faults.draw(await run.leader(names))
      say(`${fault.kind} ${fault.what}`)
      counts[fault.kind] = (counts[fault.kind] ?? 0) + 1
      await fault.begin()
      await delay(random.between(300, 6000))
      await faults.heal()
    }
  } finally {
    await faults.heal()
    await run.stop()
  }
  await eventually('every node is ready again', 120_000, async () => (await Promise.all(names.map(async (name) => await run.isReady(name)))).every(Boolean))
  const violations = await run.judge(names)
  // A node that halted by a bug said so, though its next life may be fine.
  const halts = names.flatMap((name) => run.halts(name).map((line) => `${name}: ${line.slice(0, 500)}`))
  return { seed, seconds, faults: counts, counts: run.counts, violations: [...violations, ...halts] }
}

/** The report in a few lines. */
export function renderChaos({ seed, seconds, faults, counts: { writes, reads, operations }, violations }: ChaosReport): string {
  const kinds = Object.entries(faults).map(([kind, count]) => `${kind} ${count}`).join(', ')
  const told = `writes: ${writes.done} done, ${writes.refused} refused, ${writes.notDone} surely not done, ${writes.unknown} unknown; ${reads} reads; ${operations} operations checked`
  return [`seed ${seed}, ${seconds.toFixed(0)} s: ${kinds}`, `  ${told}`, ...violations.map((each) => `  VIOLATION ${each}`)].join('\n')
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { minutes: { type: 'string', default: '5' }, seed: { type: 'string' } } })
  const endMs = performance.now() + Number(values.minutes) * 60_000
  const first = Number(values.seed ?? Date.now() % 1_000_000)
  let failed = 0
  for (let seed = first; performance.now() < endMs; seed += 1) {
    const lab = new Lab()
    try {
      await lab.up(3)
      const report = await runChaos(lab, { seed, seconds: Math.min(secondsMax, Math.max(30, (endMs - performance.now()) / 1000)), say: (text) => console.error(`  ${text}`) })
      console.log(renderChaos(report))
      if (report.violations.length > 0) failed += 1
    } finally {
      await lab.run('down', '--purge')
      rmSync(dirname(lab.dir), { recursive: true, force: true })
    }
  }
  process.exitCode = failed === 0 ? 0 : 1
}

if (import.meta.main) await main()
