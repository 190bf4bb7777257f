// A node's configuration: /etc/novacron/node.json, parsed once into a frozen object. Cluster settings are resources, not here.
import { readFile } from 'node:fs/promises'
import { hostname, networkInterfaces } from 'node:os'
import { z } from 'zod'
import { fieldErrorsOf } from './model/field-error.ts'
import { timingDefault } from './cluster/timing.ts'
import { nameSchema } from './model/id.ts'

export const configPathDefault = '/etc/novacron/node.json'
const port = z.number().int().min(0).max(65_535)

/** Every key with its default and one line of what it is. */
export const configSchema = z.strictObject({
  name: nameSchema.optional().describe('Name of the node; default: the host name up to the first dot'),
  dataDir: z.string().default('/var/lib/novacron').describe('Directory of everything the node keeps'),
  listen: z.strictObject({ host: z.string().default('0.0.0.0'), port: port.default(8443) }).prefault({}).describe('Where UI, API and metrics are served (HTTPS)'),
  peer: z.strictObject({ host: z.string().default('0.0.0.0'), port: port.default(7400) }).prefault({}).describe('Where other nodes connect'),
  migration: z
    .strictObject({
      host: z.string().default('0.0.0.0'),
      port: port.default(7401),
      directory: z.string().default('/run/libvirt/novacron').describe('Directory of the sockets through which libvirt and QEMU migrate; both have to reach it'),
    })
    .prefault({})
    .describe('Where other nodes bring VMs to'),
  advertise: z.string().optional().describe('IP address under which others reach this node; default: the first that is not loopback'),
  libvirt: z.strictObject({ socket: z.string().optional().describe('Path of libvirt\'s socket; default: where libvirtd or virtqemud has it') }).prefault({}),
  consensus: z
    .strictObject({
      heartbeatMs: z.number().int().min(20).max(5_000).default(timingDefault.heartbeatMs).describe('Milliseconds between a leader\'s signs of life; about the round trip to the other nodes, or more'),
      electionMs: z.number().int().min(100).max(60_000).default(timingDefault.electionMs).describe('Milliseconds without a leader before a new one is sought, at least; drawn up to twice that. At least four heartbeats'),
      lostMs: z.number().int().min(1_000).max(86_400_000).default(timingDefault.lostMs).describe('Milliseconds of silence after which a learner votes in a voter\'s place; at least two election time-outs'),
      steadyMs: z.number().int().min(0).max(86_400_000).default(timingDefault.steadyMs).describe('Milliseconds that a node must have been in touch without a break before it may vote though nobody is missing'),
      leaseReads: z.boolean().default(false).describe('Linearizable reads by the leader\'s lease, without asking the others: the same on all nodes, and never on hosts that are suspended or paused; see docs/raft.md'),
    })
    .refine(({ heartbeatMs, electionMs }) => electionMs >= 4 * heartbeatMs, { path: ['electionMs'], message: 'must be at least four times heartbeatMs' })
    .refine(({ electionMs, lostMs }) => lostMs >= 2 * electionMs, { path: ['lostMs'], message: 'must be at least twice electionMs' })
    .prefault({})
    .describe('How patient this node is in consensus; the same on all nodes, which "novacron cluster status" checks'),
  accelerator: z.enum(['auto', 'kvm', 'tcg']).default('auto').describe('auto tries a guest instruction under KVM and else takes TCG'),
  imageSources: z
    .strictObject({ allowPrivate: z.array(z.string().max(64)).max(64).default([]).describe('Ranges like 10.1.0.0/16 from which images may be fetched though they are private') })
    .prefault({}),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  discovery: z.boolean().default(true).describe('Announces the node on the local network (multicast DNS) while it is in no cluster, and shows others that are in none'),
  lab: z.boolean().default(false).describe('The node is one of a lab\'s on one machine'),
})
export type Config = Readonly<z.output<typeof configSchema>> & { readonly name: string; readonly advertise: string }

/**
 * Reads and checks the file; one that is not there means all defaults.
 * @throws Error with a sentence for people
 */
export async function loadConfig(path: string): Promise<Config> {
  const parsed = configSchema.safeParse(await readJson(path))
  if (!parsed.success) {
    const issues = fieldErrorsOf(parsed.error).map(({ path: key, message }) => `${key || 'the file'} ${message}`)
    throw new Error(`${path} is not valid: ${issues.join('; ')}`)
  }
  const name = parsed.data.name ?? hostname().split('.')[0]?.toLowerCase() ?? ''
  if (!nameSchema.safeParse(name).success) throw new Error(`the host name ${JSON.stringify(name)} is no DNS label; set "name" in ${path}`)
  const advertise = parsed.data.advertise ?? firstAddress()
  if (advertise === null) throw new Error(`this host has no address but loopback; set "advertise" in ${path}`)
  return Object.freeze({ ...parsed.data, name, advertise })
}

async function readJson(path: string): Promise<unknown> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {}
    throw new Error(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new Error(`${path} is not JSON: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}

function firstAddress(): string | null {
  for (const addresses of Object.values(networkInterfaces())) {
    const found = addresses?.find((address) => !address.internal && address.family === 'IPv4')
    if (found !== undefined) return found.address
  }
  return null
}
