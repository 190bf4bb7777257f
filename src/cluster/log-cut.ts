// Shortening the log because an operator asked: behind a synced state, told with what it came to.
import { OperationalError } from '../model/error.ts'
import type { Compacted } from '../model/member.ts'
import type { Clock } from '../ports/clock.ts'
import type { LogStore } from '../ports/log-store.ts'
import type { Engine } from './engine.ts'
import { noQuorum } from './proposer.ts'
import { waitFor } from './wait.ts'

/** So long a follower that is behind may keep the log from being cut. */
const cutLimitMs = 10_000
const lookMs = 20

/** @throws NO_QUORUM where this node takes no part; STATE_CONFLICT where a follower needs the log still */
export async function cutLog(engine: Engine, { clock, logStore }: { readonly clock: Clock; readonly logStore: LogStore }): Promise<Compacted> {
  const first = engine.node?.status().firstIndex
  if (first === undefined || !engine.isRunning) throw noQuorum('This node takes no part in the cluster.')
  const bytesBefore = logStore.sizeBytes()
  const index = engine.demandCompaction()
  const isCut = () => (engine.node?.status().firstIndex ?? 0) > index
  const outcome = isCut() || (await waitFor<true>({ clock, limitMs: cutLimitMs }, (resolve) => clock.every(lookMs, () => {
    if (isCut() || !engine.isRunning) resolve(true)
  })))
  engine.dropDemand()
  if (outcome === 'timeout' || !isCut()) throw new OperationalError('STATE_CONFLICT', 'A follower in reach needs the log still, or the disk was too slow: the log stays as it is. Try again when all have caught up.')
  return { index, entries: Math.max(0, index + 1 - first), bytesBefore, bytesAfter: logStore.sizeBytes() }
}
