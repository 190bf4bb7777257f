// The engine's own edges: what a bug in the core does to it.
import { describe, expect, it } from 'vitest'
import { defaultCompactionBounds } from '../../../src/cluster/compaction.ts'
import { Engine } from '../../../src/cluster/engine.ts'
import { SimDisk } from '../../../src/drivers/sim/disk.ts'
import { SimLogStore } from '../../../src/drivers/sim/log-store.ts'
import { SimNetwork } from '../../../src/drivers/sim/network.ts'
import { SimStateStore } from '../../../src/drivers/sim/state-store.ts'
import type { Log } from '../../../src/ports/log.ts'
import { EventQueue } from '../../sim/event-queue.ts'
import { SimClock } from '../../sim/sim-clock.ts'
import { SimRandom } from '../../sim/sim-random.ts'
import { drain } from './sim-cluster.ts'

const silentLog: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined, child: () => silentLog }

async function startedAlone(): Promise<{ readonly engine: Engine; readonly halts: string[] }> {
  const queue = new EventQueue()
  const clock = new SimClock(queue)
  const random = new SimRandom(1)
  const disk = new SimDisk({ random })
  const { transport } = new SimNetwork({ clock, random }).endpoint('a', clock)
  const halts: string[] = []
  const listener = { applied: () => undefined, replaced: () => undefined, read: () => undefined, turned: () => undefined, halted: (kind: string) => void halts.push(kind), checkpoint: () => undefined }
  const engine = new Engine(
    { nodeId: 'a', tickMs: 100, compaction: defaultCompactionBounds, raft: {} },
    { clock, random, transport, log: silentLog, logStore: new SimLogStore({ disk, clock }), stateStore: new SimStateStore({ disk, clock }) },
    listener,
  )
  const starting = engine.start({ bootstrap: true })
  for (let step = 0; step < 50; step += 1) {
    await drain()
    queue.next(queue.nowMs + 10)?.()
  }
  await starting
  return { engine, halts }
}

describe('a bug in the core', () => {
  it('that shows when it is asked whether there is more to do halts the node', async () => {
    const { engine, halts } = await startedAlone()
    const { node } = engine
    if (node === null) throw new Error('it did not start')
    let asked = 0
    node.hasReady = () => {
      asked += 1
      // Not while the Readys are handled, but right after it.
      if (asked === 2) throw new Error('planted')
      return false
    }
    engine.schedule()
    await drain()
    expect(asked).toBe(2)
    expect(halts).toEqual(['assertion'])
  })
})
