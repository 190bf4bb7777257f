// State images between members: when a leader asks for one to be sent, and how a follower takes one in.
import type { Core } from './core.ts'
import type { PeerProgress } from './progress.ts'
import type { RaftId, Snapshot } from './types.ts'

const noImage = new Uint8Array(0)

/** Leader: names the state as applied; the engine attaches the image of exactly that index. Nothing is sent to a silent peer. */
export function sendSnapshot(core: Core, id: RaftId, progress: PeerProgress): void {
  if (!progress.recentActive || core.log.applied === 0) return
  const snapshot: Snapshot = { ...core.log.appliedSnapshot(), data: noImage }
  core.send({ kind: 'snapshot', from: core.id, to: id, term: core.term, snapshot })
  progress.becomeSnapshot(snapshot.index)
}

/** Follower: the index up to which this node now agrees with the leader, after taking the snapshot in or finding it needless. */
export function installSnapshot(core: Core, snapshot: Snapshot): number {
  const { log } = core
  if (snapshot.index <= log.committed) return log.committed
  if (log.termAt(snapshot.index) === snapshot.term && core.configuration.voters.length > 0) {
    // Our log holds the entry at the snapshot's end, thus all before it: they are committed, and what follows is kept (statement 36).
    log.commitTo(snapshot.index)
    return snapshot.index
  }
  log.restore(snapshot)
  return snapshot.index
}

/** Leader: the engine's word on a snapshot it sent. The next probe waits for a sign of life. */
export function reportSnapshot(core: Core, id: RaftId, outcome: 'finished' | 'failed'): void {
  const progress = core.progress.get(id)
  if (core.role !== 'leader' || progress === undefined || progress.state !== 'snapshot') return
  if (outcome === 'failed') progress.pendingSnapshot = 0
  progress.becomeProbe()
  progress.isPaused = true
}
