// A member of the cluster under load of commit.ts: the daemon with its real disk, network, keys and HTTPS server, on a simulated hypervisor and pool.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { uuidV7 } from '../src/model/id.ts'
import type { App } from '../src/app/face.ts'
import { openApplianceCertificate } from '../src/appliance.ts'
import { timingDefault } from '../src/cluster/timing.ts'
import type { Config } from '../src/config.ts'
import { openLocalLevel } from '../src/db/local-level.ts'
import { systemRandom } from '../src/drivers/crypto/random.ts'
import { createVault } from '../src/drivers/crypto/vault.ts'
import { systemClock } from '../src/drivers/host/clock.ts'
import { keepFootprintSmall, runtimeFootprint } from '../src/drivers/host/footprint.ts'
import { createLog } from '../src/drivers/host/log.ts'
import { LinuxProbe } from '../src/drivers/host/probe.ts'
import { SimHypervisor } from '../src/drivers/sim/hypervisor.ts'
import { SimMachine } from '../src/drivers/sim/machine.ts'
import { SimStorage } from '../src/drivers/sim/storage.ts'
import { Formation } from '../src/formation.ts'
import { startHttp, type Http } from '../src/http/server.ts'
import { openIdentity } from '../src/identity-file.ts'
import type { Member } from '../src/member.ts'
import { readMembership } from '../src/membership-file.ts'
import { makeCommand } from '../src/model/command.ts'
import type { Timing } from '../src/model/member.ts'
import type { VmId } from '../src/model/id.ts'
import { smallControl } from '../test/unit/http/small-app.ts'
import { drive, type Written } from './commit-load.ts'

/** On a directory that was used before, the member that it was. `host`: its own address, loopback by default. */
export type Start = { readonly name: string; readonly dataDir: string; readonly httpPort: number; readonly peerPort: number; readonly host?: string; readonly consensus?: Partial<Timing> }
export type Question =
  | { readonly kind: 'init' }
  | { readonly kind: 'join'; readonly token: string }
  | { readonly kind: 'write'; readonly vmIds: readonly string[]; readonly labels: Readonly<Record<string, string>>; readonly writers: number; readonly seconds: number }
export type Founded = { readonly ca: string; readonly token: string }

const [clock, random] = [systemClock, systemRandom]
const start = JSON.parse(process.argv[2] ?? '') as Start
const formation = await open()
process.on('message', (question: Question) => {
  answer(question).then((value) => process.send?.({ value }), (error: unknown) => process.send?.({ error: error instanceof Error ? error.message : String(error) }))
})
process.on('disconnect', () => process.exit(0))
process.send?.({ value: 'up' })

async function answer(question: Question): Promise<unknown> {
  switch (question.kind) {
    case 'init': {
      const { caCertificate, token } = await formation.init({ name: 'bench' })
      return { ca: caCertificate, token } satisfies Founded
    }
    case 'join':
      return await formation.join({ token: question.token })
    case 'write':
      return await write(question)
  }
}

/** Commands proposed in this process, as its use cases propose them: forwarded where another node leads. */
async function write(question: Extract<Question, { readonly kind: 'write' }>): Promise<Written> {
  const cluster = formation.member?.node.cluster
  if (cluster === undefined) throw new Error('this node is no member')
  const actor = { kind: 'system' as const, id: 'bench', name: 'bench', address: '' }
  return await drive(question, async (number) => {
    const id = question.vmIds[number % question.vmIds.length] as VmId
    const labels = { ...question.labels, number: String(number) }
    const command = makeCommand('vm.patch', { id: uuidV7(clock.nowMs(), random.bytes(10)), actor }, { id, patch: { labels }, seed: Buffer.from(random.bytes(16)).toString('hex') })
    const result = await cluster.propose(command, {})
    if (result.kind === 'refused') throw new Error(`refused: ${result.message}`)
  })
}

async function open(): Promise<Formation> {
  const { name, dataDir, httpPort, peerPort, host = '127.0.0.1' } = start
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const config: Config = {
    name, dataDir, advertise: host, listen: { host, port: httpPort }, peer: { host, port: peerPort },
    migration: { host, port: 0, directory: join(dataDir, 'migration') }, libvirt: {}, accelerator: 'auto', imageSources: { allowPrivate: [] }, consensus: { ...timingDefault, leaseReads: false, ...start.consensus }, logLevel: 'info', discovery: false, lab: true,
  }
  const log = createLog({ level: config.logLevel, fields: { node: name } })
  const identity = await openIdentity(dataDir, { nowMs: clock.nowMs(), random })
  const local = await openLocalLevel({ directory: join(dataDir, 'local') })
  const machine = new SimMachine({ clock, random })
  const storage = new SimStorage({ clock, random })
  const http: { server: Http | null } = { server: null }
  const attach = (member: Member | null): void => {
    const app: App | null = member?.node.app ?? null
    http.server?.setApp(app)
    if (member !== null) http.server?.setTls(member.tls)
  }
  const made = new Formation({
    config, log, identity, local, storage, clock, random, vault: createVault(identity), version: '0.1.0', discovery: null, logLines: () => [],
    createHypervisor: () => new SimHypervisor({ machine }, { epochs: local, clock, random }),
    probe: new LinuxProbe({ storage: () => storage.usage() }),
  }, { attach, onHalted: (halt) => log.error('halted', { reason: halt.reason }) })
  const certificate = await openApplianceCertificate(config, clock.nowMs())
  await made.resume(await readMembership(dataDir))
  http.server = await startHttp({ app: made.member?.node.app ?? null, control: smallControl, host, port: httpPort, tls: made.member?.tls ?? certificate, clock, log, version: '0.1.0', assets: null, pages: null })
  keepFootprintSmall(runtimeFootprint(clock))
  return made
}
