// Damage between two runs of a daemon, under load: the two others go on, nothing that was acknowledged is lost, no answer is wrong, the node says what is wrong and comes back.
import { existsSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { ChaosRun } from './chaos-run.ts'
import { damages, SmallDisk } from './chaos-damage.ts'
import { eventually, Lab } from './lab-runner.ts'

t.setTimeout(1_200_000)
const lab = new Lab()
const names = ['node1', 'node2', 'node3']
const recoveryMs = 120_000
const seed = Number(process.env.SEED ?? '') || Date.now() % 1_000_000
let disk: SmallDisk | null = null

t.teardown(async () => {
  await lab.run('down')
  await disk?.unmount()
  await lab.run('down', '--purge')
  rmSync(dirname(lab.dir), { recursive: true, force: true })
})

await lab.up(3)
const chaos = new ChaosRun(lab, { seed, labId: (await lab.status()).id })
await chaos.prepare()

const isReady = async (node: string) => await chaos.isReady(node)
const others = (node: string): readonly string[] => names.filter((name) => name !== node)

async function voters(): Promise<readonly string[]> {
  const nodes = await chaos.api.all('node1', 'nodes')
  return nodes.filter(({ status }) => ['leader', 'voter'].includes((status as { readonly role: string }).role)).map(({ name }) => String(name)).toSorted()
}

/** Acknowledgements go on, from here. */
async function progress(what: string): Promise<void> {
  const before = chaos.acknowledged
  await eventually(what, recoveryMs, () => chaos.acknowledged >= before + 10)
}

/** Where a damaged node does not come back by itself (ADR 0017), the first damage is the last: with two damaged nobody could go on. */
const comesBack = existsSync(join(import.meta.dirname, '..', '..', 'src', 'cluster', 'resync.ts'))

for (const [at, { name, apply, says }] of damages.slice(0, comesBack ? damages.length : 1).entries()) {
  await t.test(name, async (t) => {
    // Every other time the leader's.
    const leader = (await chaos.leader(names)) ?? 'node1'
    const victim = at % 2 === 0 ? leader : (others(leader)[at % 4 < 2 ? 0 : 1] ?? 'node3')
    t.comment(`${victim}${victim === leader ? ', which leads' : ''}`)
    chaos.start()
    await progress('the load runs')
    t.equal((await lab.run('kill', victim)).code, 0)
    await progress('two go on while the third is off')
    apply(lab.node(victim).dataDir)
    const said = chaos.log(victim).length
    t.equal((await lab.run('start', victim)).code, 0)
    await progress('two go on while the third is damaged')
    if (says !== null) await eventually(`it says ${String(says)}`, recoveryMs, () => chaos.log(victim).slice(said - 1).some((line) => says.test(line)))
    if (comesBack) {
      await eventually(`${victim} is back`, recoveryMs, async () => await isReady(victim))
      await eventually('all three vote', recoveryMs, async () => (await voters()).length === 3)
    } else t.not(await isReady(victim), true, 'it does not serve')
    await progress('the load goes on')
    await chaos.stop()
    t.same(await chaos.judge(comesBack ? names : others(victim)), [], `seed ${seed}`)
    const { writes, operations } = chaos.counts
    t.comment(`${operations} operations so far, ${writes.done} writes acknowledged, ${writes.unknown} unknown`)
  })
}

if (comesBack) await t.test('a disk that fills up, the leader\'s', async (t) => {
  const victim = (await chaos.leader(names)) ?? 'node1'
  t.comment(victim)
  t.equal((await lab.run('kill', victim)).code, 0)
  disk = new SmallDisk(join(lab.node(victim).dataDir, 'raft'))
  await disk.mount(2 * 1024 * 1024)
  t.equal((await lab.run('start', victim)).code, 0)
  await eventually(`${victim} is up`, recoveryMs, async () => await isReady(victim))
  chaos.start()
  await progress('the load runs')
  disk.fill()
  const said = chaos.log(victim).length
  await eventually('it says that it is full', recoveryMs, () => chaos.log(victim).slice(said - 1).some((line) => /full|ENOSPC|no space/i.test(line)))
  await eventually('another leads', recoveryMs, async () => ![null, victim].includes(await chaos.leader(others(victim))))
  await progress('two go on while the third is full')
  disk.free()
  await eventually(`${victim} is back`, recoveryMs, async () => await isReady(victim))
  await progress('the load goes on')
  await chaos.stop()
  t.same(await chaos.judge(names), [], `seed ${seed}`)
})

if (comesBack) await t.test('everything wiped: the host is a new appliance, in no cluster; the two others go on', async (t) => {
  const victim = 'node3'
  chaos.start()
  t.equal((await lab.run('kill', victim)).code, 0)
  chaos.outside.add(victim)
  await disk?.unmount()
  rmSync(lab.node(victim).dataDir, { recursive: true })
  t.equal((await lab.run('start', victim)).code, 0)
  await progress('two go on')
  await chaos.stop()
  t.not(await isReady(victim), true, 'a node without an identity does not pass for the member that it was')
  t.same(await chaos.judge(others(victim)), [], `seed ${seed}`)
})
