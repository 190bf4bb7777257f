// The cycle of Readys: gathers what is to be done, remembers what was handed out, and marks it done.
import { assertRaft } from './assertion.ts'
import type { Core } from './core.ts'
import { maybeAutoLeave, maybeDepart } from './membership.ts'
import { flushReads } from './read-index.ts'
import { flushReplication } from './replication.ts'
import type { HardState, Ready, SoftState } from './types.ts'

export class ReadyCycle {
  readonly #core: Core
  #outstanding: Ready | null = null
  #hardState: HardState
  #softState: SoftState

  constructor(core: Core) {
    this.#core = core
    this.#hardState = hardStateOf(core)
    this.#softState = softStateOf(core)
  }

  hasReady(): boolean {
    const core = this.#core
    if (this.#outstanding !== null) return false
    this.#flush()
    return (
      core.messages.length > 0 ||
      core.messagesAfterSync.length > 0 ||
      core.readStates.length > 0 ||
      core.log.hasUnstable ||
      core.log.incoming !== null ||
      core.log.hasNextCommitted ||
      this.#changedSoftState() !== null ||
      this.#changedHardState() !== null
    )
  }

  ready(): Ready {
    const core = this.#core
    assertRaft(this.#outstanding === null, 'the last Ready is still outstanding')
    this.#flush()
    acknowledgeOwn(core)
    const hardState = this.#changedHardState()
    const softState = this.#changedSoftState()
    const entries = core.log.unstableEntries()
    const snapshot = core.log.incoming
    const isVoteOrTermNew = hardState !== null && (hardState.term !== this.#hardState.term || hardState.vote !== this.#hardState.vote)
    const ready: Ready = {
      softState,
      hardState,
      entries,
      snapshot,
      committed: core.log.nextCommitted(core.options.committedBytesMax),
      messages: core.messages,
      messagesAfterSync: core.messagesAfterSync,
      readStates: core.readStates,
      mustSync: isVoteOrTermNew || entries.length > 0 || snapshot !== null,
    }
    core.messages = []
    core.messagesAfterSync = []
    core.readStates = []
    this.#hardState = hardState ?? this.#hardState
    this.#softState = softState ?? this.#softState
    this.#outstanding = ready
    return ready
  }

  advance(): void {
    const core = this.#core
    const ready = this.#outstanding
    assertRaft(ready !== null, 'no Ready is outstanding')
    this.#outstanding = null
    const lastEntry = ready.entries.at(-1)
    if (lastEntry !== undefined) core.log.stableTo(lastEntry.index, lastEntry.term)
    if (ready.snapshot !== null) core.log.incomingApplied(ready.snapshot.index)
    const lastCommitted = ready.committed.at(-1)
    if (lastCommitted !== undefined) core.log.appliedTo(lastCommitted.index)
    maybeAutoLeave(core)
    maybeDepart(core)
  }

  #flush(): void {
    flushReads(this.#core)
    flushReplication(this.#core)
  }

  #changedHardState(): HardState | null {
    const now = hardStateOf(this.#core)
    const last = this.#hardState
    return now.term === last.term && now.vote === last.vote && now.commit === last.commit ? null : now
  }

  #changedSoftState(): SoftState | null {
    const now = softStateOf(this.#core)
    return now.leader === this.#softState.leader && now.role === this.#softState.role ? null : now
  }
}

/** A leader's own entries count for commit when this message, sent after their sync, comes back (statement 2). */
function acknowledgeOwn(core: Core): void {
  const { lastIndex } = core.log
  if (core.role !== 'leader' || core.selfAcknowledged >= lastIndex) return
  core.selfAcknowledged = lastIndex
  core.sendAfterSync({ kind: 'appendResponse', from: core.id, to: core.id, term: core.term, index: lastIndex, reject: false, hintIndex: 0, hintTerm: 0 })
}

function hardStateOf(core: Core): HardState {
  return { term: core.term, vote: core.vote, commit: core.log.committed }
}

function softStateOf(core: Core): SoftState {
  return { leader: core.leader, role: core.role }
}
