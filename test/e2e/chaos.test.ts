// A short chaos run: nothing that a client was told may turn out wrong, and the lab is whole again afterwards. `make chaos MINUTES=n` runs on.
import { rmSync } from 'node:fs'
import { dirname } from 'node:path'
import t from 'tap'
import { renderChaos, runChaos } from './chaos.ts'
import { Lab } from './lab-runner.ts'

t.setTimeout(600_000)
const lab = new Lab()

t.teardown(async () => {
  await lab.run('down', '--purge')
  rmSync(dirname(lab.dir), { recursive: true, force: true })
})

await t.test('under kills, stops, cuts, one-way cuts and loss every history is linearizable and every acknowledged write is there once', async (t) => {
  await lab.up(3)
  const seed = Number(process.env.SEED ?? '') || Date.now() % 1_000_000
  const report = await runChaos(lab, { seed, seconds: 60, say: (text) => t.comment(text) })
  t.comment(renderChaos(report))
  t.same(report.violations, [], `seed ${seed}`)
  t.ok(report.counts.writes.done > 50, `${report.counts.writes.done} writes were acknowledged`)
})
