// Measures how long a cluster takes to form: three started daemons to three healthy members in 15 s, one more in 5 s.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { awaitHealthy, formCluster } from '../src/cli/lab/lab-cluster.ts'
import { effortOf, labDirectory, raiseHosts } from './bench-lab.ts'
import { requireEtcd, startEtcd } from './etcd.ts'
import { load, printHead } from './facts.ts'
import { judge, printRaw, printSamples } from './samples.ts'
import { withCleanup } from './stop.ts'

const { values } = parseArgs({ options: { short: { type: 'boolean', default: false } } })
const limits = { formMs: 15_000, joinMs: 5_000 } as const
const rounds = values.short ? 1 : 3
const stepLimitMs = 90_000

const took: Record<'daemons' | 'form' | 'fourthDaemon' | 'join' | 'etcd', number[]> = { daemons: [], form: [], fourthDaemon: [], join: [], etcd: [] }

/** Runs the step, and keeps its milliseconds. */
async function timed<T>(kind: keyof typeof took, step: () => Promise<T>): Promise<T> {
  const startedMs = performance.now()
  const value = await step()
  took[kind].push(performance.now() - startedMs)
  return value
}

async function formOnce(): Promise<void> {
  const place = labDirectory()
  const { dir } = place
  await withCleanup(async (defer) => {
    defer(() => place.remove())
    const three = await timed('daemons', () => raiseHosts(dir, 3))
    const access = await timed('form', async () => {
      const { access: made } = await formCluster(three, effortOf(stepLimitMs))
      await awaitHealthy(three, made, effortOf(stepLimitMs))
      return made
    })
    const four = await timed('fourthDaemon', () => raiseHosts(dir, 4, three))
    await timed('join', async () => {
      await formCluster(four, effortOf(stepLimitMs))
      await awaitHealthy(four, access, effortOf(stepLimitMs))
    })
  })
}

async function formEtcd(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'nc-bench-'))
  await withCleanup(async (defer) => {
    defer(() => rm(directory, { recursive: true }))
    const etcd = await timed('etcd', () => startEtcd({ directory, members: 3 }))
    defer(() => etcd.stop())
  })
}

await withCleanup(async () => {
  printHead('formation', [
    'NovaCron: lab hosts (namespace, libvirtd and daemon each) that answer /healthz and are in no cluster; then `cluster init`, and `cluster token create` + `cluster join` for each other one, as a person types them: every command is a new process',
    'healthy: each node answers /readyz with 200 and its API shows all nodes ready',
    `etcd ${requireEtcd()}, for orientation: three members with a static configuration on loopback, from starting the processes to all healthy`,
    `${rounds} rounds, in turns`,
  ])
  for (let round = 0; round < rounds && process.exitCode === undefined; round += 1) {
    await formOnce()
    await formEtcd()
    console.log(`round ${round + 1}: load ${load()}`)
  }
  if (took.join.length < rounds || took.etcd.length < rounds) throw new Error('not every round came to its end')
  printSamples('three hosts powered on → daemons answer', took.daemons)
  printSamples('three daemons → healthy cluster of three', took.form)
  printSamples('a fourth powered on → daemon answers', took.fourthDaemon)
  printSamples('one more daemon → healthy cluster of four', took.join)
  printSamples('etcd: three processes start → healthy', took.etcd)
  for (const [name, samples] of Object.entries(took)) printRaw(name, samples)
  judge('three daemons to a healthy cluster, worst', Math.max(...took.form) / 1000, limits.formMs / 1000, 's')
  judge('one more joins, worst', Math.max(...took.join) / 1000, limits.joinMs / 1000, 's')
})
