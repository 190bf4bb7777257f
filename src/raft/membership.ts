// Membership: proposing a change, putting it in force when applied, leaving a joint configuration.
import { assertRaft } from './assertion.ts'
import { changeConfiguration } from './confchange.ts'
import { decodeConfChange, encodeConfChange } from './confchange-codec.ts'
import type { Core } from './core.ts'
import { isJoint, isVoter, membersOf } from './quorum.ts'
import { confirmReads } from './read-index.ts'
import { maybeCommit } from './replication.ts'
import { appendOwn, becomeFollower } from './role.ts'
import type { ConfChange, Configuration, Entry, ProposeResult } from './types.ts'

/**
 * Leader: appends the change, or an empty entry in its place when it is refused (as etcd/raft does): one change at a time,
 * none while an earlier term's entry may be unapplied (statements 26, 28), and only one that the configuration allows (27).
 */
export function appendConfChange(core: Core, change: ConfChange, data: Uint8Array): ProposeResult {
  const isPending = core.pendingConfigurationIndex > core.log.applied
  // Nothing is pending, so the configuration in force is the one that the change will meet when it is applied.
  const isInvalid = !isPending && changeConfiguration(core.configuration, change).kind === 'invalid'
  if (isPending || isInvalid) {
    appendOwn(core, 'normal', new Uint8Array(0))
    return { kind: 'refused', reason: isPending ? 'changePending' : 'invalidChange' }
  }
  const entry = appendOwn(core, 'config', data)
  core.pendingConfigurationIndex = entry.index
  return { kind: 'appended', index: entry.index, term: entry.term }
}

/** Puts a committed config entry in force. One that the configuration does not allow changes nothing, on every node alike. */
export function applyConfChange(core: Core, entry: Entry): Configuration {
  assertRaft(entry.kind === 'config', `entry ${entry.index} is no configuration change`)
  assertRaft(entry.index <= core.log.committed, `entry ${entry.index} is not committed`)
  // A snapshot that came in meanwhile is ahead of this entry and holds its outcome.
  if (entry.index <= core.log.configurationIndex) return core.configuration
  const outcome = changeConfiguration(core.configuration, decodeConfChange(entry.data))
  const configuration = outcome.kind === 'changed' ? outcome.configuration : core.configuration
  core.log.applyConfiguration(entry.index, configuration)
  switchConfiguration(core)
  return configuration
}

/** Leader: once an auto-leaving joint configuration is in force and nothing else is pending, proposes to leave it (statement 30). */
export function maybeAutoLeave(core: Core): void {
  if (core.role !== 'leader' || !core.configuration.autoLeave || !isJoint(core.configuration)) return
  if (core.log.applied < core.pendingConfigurationIndex) return
  const entry = appendOwn(core, 'config', encodeConfChange({ transition: 'auto', steps: [] }))
  core.pendingConfigurationIndex = entry.index
}

/**
 * Leader outside of its configuration (statement 31): steps down once an entry of its own term is applied. That is at once for a
 * removal that it proposed itself; otherwise (it inherited the removal, or was elected although removed) its empty entry comes first.
 */
export function maybeDepart(core: Core): void {
  if (core.role !== 'leader' || !core.options.stepDownOnRemoval || isVoter(core.configuration, core.id)) return
  if (core.log.termAt(core.log.applied) === core.term) becomeFollower(core, core.term, null)
}

function switchConfiguration(core: Core): void {
  const members = new Set(membersOf(core.configuration))
  for (const id of core.progress.keys()) {
    if (!members.has(id)) core.progress.delete(id)
  }
  for (const id of members) {
    // A new member counts as heard from, so that it does not cost the leader its quorum before it could answer.
    if (core.progress.has(id)) continue
    const progress = core.newProgress(Math.max(core.log.lastIndex, 1), true)
    if (id === core.id) progress.match = core.log.stable
    core.progress.set(id, progress)
  }
  if (core.role !== 'leader') return
  if (core.transferee !== null && !core.configuration.voters.includes(core.transferee)) core.transferee = null
  // A smaller quorum may have been reached already.
  maybeCommit(core)
  confirmReads(core)
  core.appendsDue = true
}
