// How new this software is in the terms of the log: a command type is proposed only when every member's level knows it.
import type { CommandType } from './command.ts'

/** Rises by one with each command type or meaning that older versions do not know; ignorable types need no level. */
export const featureLevel = 3

/** Types that came after level 1. */
export const commandLevels: Readonly<Partial<Record<CommandType, number>>> = {
  'node.vote': 2, 'node.lead': 2, 'node.compact': 2, 'cluster.backup': 2, 'cluster.backedUp': 2, 'node.diverge': 2, 'node.trouble': 2,
  'cluster.observe': 3,
}

/** From here on an update of nodes, users and projects may say `labelPatch`. */
export const labelPatchLevel = 2
