// The storage contract on the simulator's storage.
import { systemRandom } from '../../src/drivers/crypto/random.ts'
import { systemClock } from '../../src/drivers/host/clock.ts'
import { SimPool, SimStorage } from '../../src/drivers/sim/storage.ts'
import { storageContract } from './storage.ts'

const inventory = async (pool: SimPool): Promise<string> => JSON.stringify([[...pool.images], [...pool.volumes].map(([id, volumes]) => [id, [...volumes]]), [...pool.seeds]])
const open = (pool: SimPool): SimStorage => new SimStorage({ pool, clock: systemClock, random: systemRandom })

storageContract('the simulator', async () => {
  const pool = new SimPool()
  return {
    storage: open(pool),
    restart: async () => open(pool),
    inventory: () => inventory(pool),
    withRoom: async (bytes) => {
      const small = new SimPool()
      small.faults.capacityBytes = bytes
      return { storage: open(small), inventory: () => inventory(small), close: async () => {} }
    },
    close: async () => {},
  }
})
