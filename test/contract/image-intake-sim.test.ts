// The intake contract on the simulator's storage.
import { systemRandom } from '../../src/drivers/crypto/random.ts'
import { systemClock } from '../../src/drivers/host/clock.ts'
import { SimPool, SimStorage } from '../../src/drivers/sim/storage.ts'
import { imageIntakeContract } from './image-intake.ts'

imageIntakeContract('the simulator', async () => {
  const pool = new SimPool()
  const open = (at = pool) => new SimStorage({ pool: at, clock: systemClock, random: systemRandom })
  return { storage: open(), restart: async () => open(), inventory: async () => '', withRoom: async () => ({ storage: open(), inventory: async () => '', close: async () => {} }), close: async () => {} }
})
