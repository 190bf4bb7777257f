// The core's options with their production values, checked once when a node is built.
import { assertRaft } from './assertion.ts'
import type { RaftOptions } from './types.ts'

const mebibyte = 1024 * 1024

/** Production values; ids and randomness have no default. Ticks are the engine's to time, bytes are bytes. */
export const defaultRaftOptions: Omit<RaftOptions, 'id' | 'random'> = {
  electionTicks: 10,
  heartbeatTicks: 1,
  preVote: true,
  checkQuorum: true,
  stepDownOnRemoval: true,
  inflightMessagesMax: 256,
  inflightBytesMax: 16 * mebibyte,
  messageBytesMax: mebibyte,
  committedBytesMax: 4 * mebibyte,
  uncommittedBytesMax: 64 * mebibyte,
  // Entries are 1 MiB at most (design.md §3); the slack is for the engine's own framing.
  entryBytesMax: mebibyte + 4096,
  lease: null,
}

/** What a constructor takes: identity and randomness are required, the rest has production values. */
export type RaftNodeOptions = Partial<RaftOptions> & Pick<RaftOptions, 'id' | 'random'>

/** Fills in the defaults; throws `RaftAssertion` on values that cannot work. */
export function completeRaftOptions(given: RaftNodeOptions): RaftOptions {
  const options: RaftOptions = { ...defaultRaftOptions, ...given }
  assertRaft(options.id !== '', 'an empty id names nobody')
  const { id: _id, random: _random, preVote: _preVote, checkQuorum: _checkQuorum, stepDownOnRemoval: _stepDown, lease, ...numbers } = options
  for (const [name, value] of Object.entries({ ...numbers, leaseDurationMs: lease?.durationMs ?? 1 })) {
    assertRaft(Number.isSafeInteger(value) && value > 0, `${name} must be a positive integer, not ${value}`)
  }
  assertRaft(options.electionTicks > options.heartbeatTicks, 'electionTicks must exceed heartbeatTicks')
  assertRaft(lease === null || options.checkQuorum, 'lease reads need checkQuorum: without it nobody keeps from voting')
  return options
}
