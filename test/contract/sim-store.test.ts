// The store contracts on the simulator's disks.
import type { Clock, Random } from '../../src/ports/clock.ts'
import { SimDisk } from '../../src/drivers/sim/disk.ts'
import { SimLogStore } from '../../src/drivers/sim/log-store.ts'
import { SimLocalStore, SimStateStore } from '../../src/drivers/sim/state-store.ts'
import { describeLogStore } from './log-store.ts'
import { describeLocalStore, describeStateStore } from './state-store.ts'

/** Time that passes at once. */
const clock: Clock = {
  nowMs: () => 0,
  monotonicMs: () => 0,
  after: (_delayMs, action) => {
    const immediate = setImmediate(action)
    return () => clearImmediate(immediate)
  },
  every: () => () => undefined,
}

function countingRandom(): Random {
  let count = 0
  return {
    integer: (bound) => {
      count += 7
      return count % bound
    },
    bytes: (length) => new Uint8Array(length),
  }
}

describeLogStore('simulated', async () => {
  const disk = new SimDisk({ random: countingRandom() })
  return { make: () => new SimLogStore({ disk, clock }), crash: async () => disk.crash(), dispose: async () => undefined }
})

describeStateStore('simulated', async () => {
  const disk = new SimDisk({ random: countingRandom() })
  return { make: async () => new SimStateStore({ disk, clock }), dispose: async () => undefined }
})

describeLocalStore('simulated', async () => {
  const disk = new SimDisk({ random: countingRandom() })
  return { make: async () => new SimLocalStore({ disk, clock }), dispose: async () => undefined }
})
