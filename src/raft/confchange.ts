// The configuration changer: from one configuration and a change to the next, or a reason why not.
import { isJoint } from './quorum.ts'
import type { ConfChange, ConfChangeStep, Configuration, RaftId } from './types.ts'

/** The next configuration, or why the change may not be made. */
export type ConfigurationOutcome =
  | { readonly kind: 'changed'; readonly configuration: Configuration }
  | { readonly kind: 'invalid'; readonly reason: string }

type Members = { readonly voters: Set<RaftId>; readonly outgoing: Set<RaftId>; readonly learners: Set<RaftId>; readonly learnersNext: Set<RaftId> }

/** Chooses the protocol a change asks for: leave for one without steps; `auto` is simple for one step, else joint with auto-leave. */
export function changeConfiguration(configuration: Configuration, change: ConfChange): ConfigurationOutcome {
  if (change.steps.length === 0) return leaveJoint(configuration)
  if (change.transition === 'simple' || (change.transition === 'auto' && change.steps.length === 1)) {
    return simpleChange(configuration, change.steps)
  }
  return enterJoint(configuration, change.steps, change.transition !== 'explicit')
}

/** Alters at most one voter, learners at will, outside of a joint configuration. */
export function simpleChange(configuration: Configuration, steps: readonly ConfChangeStep[]): ConfigurationOutcome {
  if (isJoint(configuration)) return invalid('a simple change cannot be made while the configuration is joint')
  const members = membersToChange(configuration)
  for (const step of steps) applyStep(members, step)
  if (members.voters.size === 0) return invalid('the change removes all voters')
  if (votersAltered(configuration.voters, members.voters) > 1) {
    return invalid('more than one voter changes without a joint configuration')
  }
  return { kind: 'changed', configuration: configurationOf(members, false) }
}

/** Makes the current voters the outgoing half and applies the steps to the incoming one. */
export function enterJoint(configuration: Configuration, steps: readonly ConfChangeStep[], autoLeave: boolean): ConfigurationOutcome {
  if (isJoint(configuration)) return invalid('the configuration is joint already')
  if (configuration.voters.length === 0) return invalid('a configuration without voters cannot become joint')
  const members = membersToChange({ ...configuration, votersOutgoing: configuration.voters })
  for (const step of steps) applyStep(members, step)
  if (members.voters.size === 0) return invalid('the change removes all voters')
  return { kind: 'changed', configuration: configurationOf(members, autoLeave) }
}

/** Drops the outgoing half; voters that were to become learners become learners. */
export function leaveJoint(configuration: Configuration): ConfigurationOutcome {
  if (!isJoint(configuration)) return invalid('the configuration is not joint, there is nothing to leave')
  const members = membersToChange(configuration)
  for (const id of members.learnersNext) members.learners.add(id)
  members.learnersNext.clear()
  members.outgoing.clear()
  return { kind: 'changed', configuration: configurationOf(members, false) }
}

/** Steps apply in order; a later one overrides an earlier one about the same member. */
function applyStep(members: Members, step: ConfChangeStep): void {
  const { voters, outgoing, learners, learnersNext } = members
  switch (step.kind) {
    case 'addVoter':
      learners.delete(step.id)
      learnersNext.delete(step.id)
      voters.add(step.id)
      return
    case 'addLearner':
      voters.delete(step.id)
      // Still a voter in the outgoing half: a learner must not vote, so it becomes one only when the joint configuration is left.
      if (outgoing.has(step.id)) learnersNext.add(step.id)
      else learners.add(step.id)
      return
    case 'remove':
      voters.delete(step.id)
      learners.delete(step.id)
      learnersNext.delete(step.id)
      return
  }
}

function votersAltered(before: readonly RaftId[], after: ReadonlySet<RaftId>): number {
  const removed = before.filter((id) => !after.has(id)).length
  const added = after.size - (before.length - removed)
  return removed + added
}

function membersToChange(configuration: Configuration): Members {
  return {
    voters: new Set(configuration.voters),
    outgoing: new Set(configuration.votersOutgoing),
    learners: new Set(configuration.learners),
    learnersNext: new Set(configuration.learnersNext),
  }
}

function configurationOf(members: Members, autoLeave: boolean): Configuration {
  return {
    voters: [...members.voters].sort(),
    votersOutgoing: [...members.outgoing].sort(),
    learners: [...members.learners].sort(),
    learnersNext: [...members.learnersNext].sort(),
    autoLeave,
  }
}

function invalid(reason: string): ConfigurationOutcome {
  return { kind: 'invalid', reason }
}
