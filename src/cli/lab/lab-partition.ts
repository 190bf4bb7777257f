// Reads the words of `lab partition`: groups of host names, as in `node1,node2|node3`.
import { LabError } from './lab-error.ts'
import type { LabState } from './lab-state.ts'

/**
 * The groups that `text` names. Hosts of different groups cannot reach one another; a host in no group reaches all.
 * One group alone is cut off from all the others.
 * @throws LabError `usage` for a host named twice, an unknown host or an empty group.
 */
export function parsePartition(lab: Pick<LabState, 'hosts'>, text: string): readonly (readonly string[])[] {
  const groups = text.split('|').map((group) => group.split(',').map((name) => name.trim()))
  const named = groups.flat()
  for (const name of named) {
    if (name === '') throw new LabError('usage', `empty name in '${text}'; write it as node1,node2|node3`)
    if (!lab.hosts.some((host) => host.name === name)) throw new LabError('notFound', `there is no host ${name}`)
  }
  if (new Set(named).size !== named.length) throw new LabError('usage', `a host is named twice in '${text}'`)
  const others = lab.hosts.map((host) => host.name).filter((name) => !named.includes(name))
  return groups.length === 1 && others.length > 0 ? [...groups, others] : groups
}
