// The lab's network: a switch in a namespace of its own, a namespace with one cable to it per host, and a cable to the machine itself.
//
//   machine ── nc<id>u ── [ namespace nc-<id>-switch: bridge br0 ] ── p1 ── eth0 [ namespace nc-<id>-node1 ]
//                                                                └── p2 ── eth0 [ namespace nc-<id>-node2 ]
import { existsSync, readdirSync, statSync } from 'node:fs'
import { LabError } from './lab-error.ts'
import { labId, type LabHost, type LabState } from './lab-state.ts'
import { runCommand, tryCommand } from './system-command.ts'

const namespaceDirectory = '/run/netns'

export function hostNamespace(lab: Pick<LabState, 'id'>, name: string): string {
  return `nc-${lab.id}-${name}`
}

/** Device and inode of a named network namespace as `/proc/PID/ns/net` shows them too; undefined if it does not exist. */
export function namespaceIdentity(namespace: string): { readonly dev: number; readonly ino: number } | undefined {
  try {
    const { dev, ino } = statSync(`${namespaceDirectory}/${namespace}`)
    return { dev, ino }
  } catch {
    return undefined
  }
}

/** The names of all namespaces that carry the lab's id. */
export function labNamespaces(id: string): readonly string[] {
  if (!existsSync(namespaceDirectory)) return []
  return readdirSync(namespaceDirectory).filter((name) => name.startsWith(`nc-${id}-`))
}

/** An id and a subnet that nothing on this machine uses. @throws LabError if every candidate is taken. */
export async function chooseIdentity(dir: string): Promise<{ readonly id: string; readonly subnet: string }> {
  const routes = await machineRoutes()
  const attemptsMax = 200
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const id = labId(dir, attempt)
    const number = Number.parseInt(id, 16)
    const subnet = `10.${64 + ((number >> 8) % 64)}.${number & 0xff}`
    if (labNamespaces(id).length === 0 && !routes.some((route) => overlaps(route, subnet))) return { id, subnet }
  }
  throw new LabError('failed', 'no free subnet in 10.64.0.0/10: routes of this machine cover all that were tried')
}

/** Makes switch and cable to the machine, if they are missing. @throws LabError if the subnet was taken by something else. */
export async function raiseSwitch(lab: LabState): Promise<void> {
  const namespace = hostNamespace(lab, 'switch')
  const uplink = uplinkName(lab)
  if (namespaceIdentity(namespace) === undefined) {
    if ((await machineRoutes()).some((route) => overlaps(route, lab.subnet))) {
      throw new LabError('conflict', `${lab.subnet}.0/24, this lab's subnet, is routed elsewhere on this machine now; take that route away or use another directory`)
    }
    await addNamespace(namespace)
  }
  await batch(['-n', namespace], ['link set lo up'])
  if ((await tryCommand('ip', ['-n', namespace, 'link', 'show', 'br0'])).code !== 0) await batch(['-n', namespace], ['link add br0 type bridge forward_delay 0'])
  await batch(['-n', namespace], ['link set br0 up'])
  if ((await tryCommand('ip', ['link', 'show', uplink])).code !== 0) await batch([], [`link add ${uplink} type veth peer name uplink netns ${namespace}`])
  await batch(['-n', namespace], ['link set uplink master br0 up'])
  await batch([], [`addr replace ${lab.subnet}.1/24 dev ${uplink}`, `link set ${uplink} up`])
}

/** Makes a host's namespace with its address. It must not exist. */
export async function plugHost(lab: LabState, host: LabHost): Promise<void> {
  const [namespace, wall] = [hostNamespace(lab, host.name), hostNamespace(lab, 'switch')]
  await addNamespace(namespace)
  // Neighbours remember the hardware address over a power cycle, so it stays.
  const mac = `02:${lab.id.match(/../g)?.join(':')}:00:${host.index.toString(16).padStart(2, '0')}`
  await tryCommand('ip', ['-n', wall, 'link', 'del', portName(host)])
  await batch([], [`link add ${portName(host)} netns ${wall} type veth peer name eth0 address ${mac} netns ${namespace}`])
  await batch(['-n', wall], [`link set ${portName(host)} master br0 up`])
  await batch(['-n', namespace], [
    'link set lo up',
    `addr add ${host.address}/24 broadcast ${lab.subnet}.255 dev eth0`,
    'link set eth0 up',
    // Multicast (discovery) works without a default route; the machine's own network is not the lab's.
    'route add 224.0.0.0/4 dev eth0',
  ])
}

/** Takes a host's namespace away, with every interface in it. */
export async function unplugHost(lab: Pick<LabState, 'id'>, name: string): Promise<void> {
  const namespace = hostNamespace(lab, name)
  if (namespaceIdentity(namespace) === undefined) return
  // A namespace lives as long as any other mount namespace has a copy of its name; its cable goes at once.
  await tryCommand('ip', ['-n', namespace, 'link', 'del', 'eth0'])
  await runCommand('ip', ['netns', 'del', namespace])
}

/** Takes away everything that carries the lab's id. */
export async function removeNetwork(lab: Pick<LabState, 'id'>): Promise<void> {
  await tryCommand('ip', ['link', 'del', uplinkName(lab)])
  for (const namespace of labNamespaces(lab.id)) await unplugHost(lab, namespace.slice(`nc-${lab.id}-`.length))
  // `ip netns add` leaves a mount behind for its directory; the last to leave takes it away (it refuses while in use).
  if (existsSync(namespaceDirectory) && readdirSync(namespaceDirectory).length === 0) await tryCommand('umount', [namespaceDirectory])
}

/** Cuts the switch between hosts of different groups, both ways and nothing else; no groups heal it. */
export async function applyPartition(lab: LabState): Promise<void> {
  await runCommand('ip', ['netns', 'exec', hostNamespace(lab, 'switch'), 'nft', '-f', '-'], { input: partitionRules(lab) })
  // Neighbours that were given up during the cut would be "no route to host" for another second or two after it.
  for (const host of lab.hosts) {
    const namespace = hostNamespace(lab, host.name)
    if (namespaceIdentity(namespace) !== undefined) await tryCommand('ip', ['-n', namespace, 'neigh', 'flush', 'dev', 'eth0'])
  }
}

/** The ruleset of the switch for the lab's partition. */
export function partitionRules(lab: Pick<LabState, 'hosts' | 'partition'>): string {
  const groupOf = (host: LabHost): number => lab.partition.findIndex((group) => group.includes(host.name))
  const drops = lab.hosts.flatMap((from) =>
    lab.hosts
      .filter((to) => groupOf(from) >= 0 && groupOf(to) >= 0 && groupOf(from) !== groupOf(to))
      .map((to) => `    iifname "${portName(from)}" oifname "${portName(to)}" drop`),
  )
  // Adding before deleting makes the deletion valid on an empty ruleset too.
  return ['table bridge lab {}', 'delete table bridge lab', 'table bridge lab {', '  chain cut {', '    type filter hook forward priority 0; policy accept;', ...drops, '  }', '}', ''].join('\n')
}

function portName(host: LabHost): string {
  return `p${host.index}`
}

function uplinkName(lab: Pick<LabState, 'id'>): string {
  return `nc${lab.id}u`
}

// Two `ip netns add` at once can disturb each other over the mount of /run/netns.
async function addNamespace(namespace: string): Promise<void> {
  const attemptsMax = 5
  for (let attempt = 1; ; attempt++) {
    const result = await tryCommand('ip', ['netns', 'add', namespace])
    if (result.code === 0) return
    if (attempt === attemptsMax) throw new LabError('failed', `cannot make network namespace ${namespace}: ${result.stderr.trim()}`)
    await tryCommand('ip', ['netns', 'del', namespace])
  }
}

async function batch(options: readonly string[], lines: readonly string[]): Promise<void> {
  await runCommand('ip', [...options, '-batch', '-'], { input: `${lines.join('\n')}\n` })
}

async function machineRoutes(): Promise<readonly string[]> {
  const routes: unknown = JSON.parse((await runCommand('ip', ['-json', '-4', 'route', 'show', 'table', 'all'])) || '[]')
  if (!Array.isArray(routes)) return []
  return routes.map((route: { dst?: unknown }) => String(route.dst)).filter((destination) => destination !== 'default')
}

/** Whether a route's destination (`10.0.0.0/8`, `10.1.2.3`) shares an address with `subnet`.0/24. */
export function overlaps(destination: string, subnet: string): boolean {
  const [address = '', bits = '32'] = destination.split('/')
  const shift = 32 - Math.min(24, Number(bits))
  const toNumber = (text: string): number => text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
  return Math.floor(toNumber(address) / 2 ** shift) === Math.floor(toNumber(`${subnet}.0`) / 2 ** shift)
}
