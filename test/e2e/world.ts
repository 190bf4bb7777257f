// All that a refused request must leave alone: the cluster's resources as every node tells them, libvirt's domains, the files of the storage.
import type { Api } from './lab-api.ts'
import type { Truth } from './lab-truth.ts'

export type World = { readonly things: unknown; /** The state's: highest index that any of the nodes has applied. */ readonly index: number }

const nouns = ['vms', 'images', 'users', 'tokens', 'operations'] as const

/** @param nodes those to ask; the first one's lists are compared with the others' */
export async function lookAtWorld(api: Api, truth: Truth, nodes: readonly string[]): Promise<World> {
  const perNode = await Promise.all(nodes.map(async (node) => ({
    node,
    domains: await truth.domains(node),
    files: { images: truth.files(node, 'images'), volumes: truth.files(node, 'volumes'), incoming: truth.files(node, 'incoming') },
    lists: Object.fromEntries(await Promise.all(nouns.map(async (noun) => [noun, (await api.all(node, noun, { keep: true })).map(lasting)] as const))),
    members: (await api.all(node, 'nodes', { keep: true })).map(({ name, spec, labels }) => ({ name, spec, labels })),
  })))
  const indexes = await Promise.all(nodes.map(async (node) => (await api.cluster(node)).appliedIndex))
  return { things: perNode, index: Math.max(...indexes) }
}

/** Without what is only computed for the reader. */
function lasting(resource: Record<string, unknown>): Record<string, unknown> {
  const { status, ...rest } = resource
  const { phase, node, epoch } = status as { phase?: unknown; node?: unknown; epoch?: unknown }
  return { ...rest, phase, node, epoch }
}
