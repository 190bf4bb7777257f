// A checkpoint: the hash of the leader's state at an index, carried by the log, so that every node compares its own.
import { z } from 'zod'
import { ignorablePrefix } from './command.ts'

/** It changes nothing in the state, so a version that does not know it may skip it: it is proposed at any feature level. */
export const checkpointType = `${ignorablePrefix}checkpoint`

export const checkpointSchema = z.strictObject({
  /** Whose state it is. */
  nodeId: z.string().max(64),
  /** The state as it was when the entry of this index had been applied. */
  index: z.number().int().positive(),
  hash: z.string().regex(/^[0-9a-f]{16}$/),
  /** How the hash is made: nodes of another version may make it in another way, and then it says nothing to them. */
  digest: z.number().int().positive(),
})
export type Checkpoint = z.output<typeof checkpointSchema>

/** A node whose state is not that of the cluster. */
export type Divergence = {
  /** `doubt`: it asks the others who is right, and serves nothing meanwhile. `stopped`: for good. */
  readonly phase: 'doubt' | 'stopped'
  /** Of the checkpoint that showed it: the difference began there or before. */
  readonly index: number
  readonly hash: string
  /** The hash that the cluster has instead. */
  readonly expected: string
}

/** For whoever has not signed in. */
export const divergenceBrief = 'This node has another state than the cluster, so it serves nothing of it. Ask another node.'

/** The one text of what happened and what to do: log, readiness, errors, page and doctor all say it. */
export function divergenceText({ phase, index, hash, expected }: Divergence): string {
  const what = `Its state differs from the cluster's at index ${index} or before: its hash is ${hash}, the cluster's ${expected}.`
  if (phase === 'doubt') return `${what} It asks the others who is right, and serves nothing meanwhile.`
  return `${what} It has stopped serving and voting; its VMs run on. Its data directory should hold diverged-${index}.bundle.gz; if not, run "novacron support-bundle" as root on it before its daemon is restarted: the evidence is in its memory. Then stop the daemon, move the directory state in its data directory aside, and start it: it gets the cluster's state from the others.`
}
