// Measures the consensus core alone: three nodes in one process, messages handed over in memory, disks that take no time, commits in batches of 64.
import { GCProfiler, getHeapStatistics } from 'node:v8'
import { parseArgs } from 'node:util'
import { RaftNode } from '../src/raft/node.ts'
import type { LogIndex, RaftId } from '../src/raft/types.ts'
import { load, printHead } from './facts.ts'
import { judge, median, printRaw } from './samples.ts'

const { values } = parseArgs({ options: { short: { type: 'boolean', default: false }, members: { type: 'string', default: '3' } } })
const turns = values.short ? 5 : 20
const batchEntries = 64
const entryBytes = 256
const batchesPerTurn = 2000
const allocationTurns = 5
const warmUpBatches = 3000
/** As in production: the log is cut when it is so long, to half of that. */
const logEntriesMax = 10_000
const figure = { commitsPerSecond: 100_000 } as const

class CoreCluster {
  readonly #nodes = new Map<RaftId, RaftNode>()
  readonly #leader: RaftNode
  /** What the state machine would be given, all members together. */
  applied = 0

  constructor(count: number) {
    const voters = Array.from({ length: count }, (_, at) => `node-${at + 1}`)
    for (const id of voters) this.#nodes.set(id, new RaftNode({ id, random: () => 0 }, { hardState: null, snapshot: null, entries: [], voters }))
    this.#leader = this.#nodes.get('node-1')!
    this.#leader.campaign()
    this.#settle()
    if (this.#leader.status().role !== 'leader') throw new Error('the first node was not elected')
  }

  get commit(): LogIndex {
    return this.#leader.status().commit
  }

  /** Proposes a batch and lets it go all the way: appended, acknowledged, committed and applied everywhere. */
  batch(data: readonly Uint8Array[]): void {
    for (const each of data) {
      if (this.#leader.propose(each).kind !== 'appended') throw new Error('a proposal was refused')
    }
    this.#settle()
  }

  /** Cuts the logs where they are long. */
  compact(): void {
    for (const node of this.#nodes.values()) {
      const { applied, firstIndex } = node.status()
      if (applied - firstIndex >= logEntriesMax) node.compact(applied - logEntriesMax / 2)
    }
  }

  #settle(): void {
    for (let isBusy = true; isBusy; ) {
      isBusy = false
      for (const [id, node] of this.#nodes) {
        if (!node.hasReady()) continue
        isBusy = true
        const ready = node.ready()
        for (const message of ready.messages) this.#nodes.get(message.to)?.step(message)
        for (const message of ready.messagesAfterSync) (message.to === id ? node : this.#nodes.get(message.to))?.step(message)
        this.applied += ready.committed.length
        node.advance()
      }
    }
  }
}

/** Bytes that `work` allocates on the heap: what is there more at its end, and what collections freed meanwhile. */
function allocatedBytes(work: () => void): number {
  const profiler = new GCProfiler()
  profiler.start()
  const before = getHeapStatistics().used_heap_size
  work()
  const after = getHeapStatistics().used_heap_size
  const freed = profiler.stop().statistics.map(({ beforeGC, afterGC }) => beforeGC.heapStatistics.usedHeapSize - afterGC.heapStatistics.usedHeapSize)
  return after - before + freed.reduce((sum, each) => sum + each, 0)
}

const members = Number(values.members)
const cluster = new CoreCluster(members)
const data = Array.from({ length: batchEntries }, (_, at) => new Uint8Array(entryBytes).fill(at))
printHead('raft-core', [
  `${members} members of src/raft with production options; ${batchEntries} entries of ${entryBytes} B a batch, proposed, sent, acknowledged, committed and applied on every member before the next`,
  `no codec, no network, no disk, no state machine; ${turns} turns of ${batchesPerTurn} batches; logs are cut from ${logEntriesMax} entries to half of that`,
])
const run = (batches: number): void => {
  for (let batch = 1; batch <= batches; batch += 1) {
    cluster.batch(data)
    if (batch % 16 === 0) cluster.compact()
  }
}
run(warmUpBatches)
const perSecond: number[] = []
const bytesPerCommit: number[] = []
const microseconds: number[] = []
for (let turn = 0; turn < turns; turn += 1) {
  const [commitBefore, startMs] = [cluster.commit, performance.now()]
  run(batchesPerTurn)
  const seconds = (performance.now() - startMs) / 1000
  const commits = cluster.commit - commitBefore
  if (commits !== batchesPerTurn * batchEntries) throw new Error(`${commits} entries were committed`)
  perSecond.push(commits / seconds)
  microseconds.push((seconds * 1e6) / commits)
}
// Apart from the figures of time: to watch the collector costs some.
for (let turn = 0; turn < allocationTurns; turn += 1) bytesPerCommit.push(allocatedBytes(() => run(batchesPerTurn)) / (batchesPerTurn * batchEntries))
if (cluster.applied !== cluster.commit * members) throw new Error(`${cluster.applied} applications of ${cluster.commit} commits`)
console.log(`commits a second: median ${median(perSecond).toFixed(0)}, least ${Math.min(...perSecond).toFixed(0)}, most ${Math.max(...perSecond).toFixed(0)}; load ${load()}`)
console.log(`bytes allocated a commit, all members together: median ${median(bytesPerCommit).toFixed(0)}`)
console.log(`raw commits a second: ${perSecond.map((each) => each.toFixed(0)).join(' ')}`)
console.log(`raw bytes a commit: ${bytesPerCommit.map((each) => each.toFixed(0)).join(' ')}`)
printRaw('a commit, in thousandths', microseconds)
judge('microseconds a commit', median(microseconds), 1e6 / figure.commitsPerSecond, 'µs')
