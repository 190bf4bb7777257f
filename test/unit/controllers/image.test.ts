// The sweep of image files: what is needed stays, also when it became needed meanwhile, and one that cannot go does not keep the others.
import { expect, test } from 'vitest'
import { ImageController } from '../../../src/controllers/image.ts'
import { OperationalError } from '../../../src/model/error.ts'
import type { Consensus } from '../../../src/ports/consensus.ts'
import type { StorageDriver } from '../../../src/ports/storage.ts'
import type { StateHolder } from '../../../src/state/state.ts'
import { recordingLog } from '../http/harness.ts'
import { World } from '../state/world.ts'

const [held, stray, wanted] = ['a', 'b', 'c'].map((digit) => digit.repeat(64)) as [string, string, string]

test('deletes what was needless twice, all of it that can be', async () => {
  const world = new World()
  const { nodeId } = world.form()
  const files = new Set([held, stray, wanted])
  let look: () => void = () => undefined
  const clock = { nowMs: () => 0, monotonicMs: () => 0, after: () => () => undefined, every: (_ms: number, action: () => void) => ((look = action), () => undefined) }
  const consensus = { state: world.state, watch: () => () => undefined, status: () => ({ quorum: true }), readBarrier: () => Promise.resolve(0) } as unknown as Consensus & StateHolder
  const storage = {
    intake: { list: () => Promise.resolve([]) },
    images: () => Promise.resolve([...files]),
    deleteImage: (sha256: string) => {
      if (sha256 === held) {
        // Another import of the third content is registered while the first is looked at.
        world.image(nodeId, 'wanted', wanted)
        return Promise.reject(new OperationalError('IN_USE', 'a volume stands on it'))
      }
      files.delete(sha256)
      return Promise.resolve()
    },
  } as unknown as StorageDriver
  const supply = { ensure: () => Promise.resolve(), fetching: () => new Map(), redeem: () => null }
  const random = { integer: () => 0, bytes: (length: number) => new Uint8Array(length) }
  new ImageController({ nodeId }, { clock, random, log: recordingLog([]), consensus, storage, supply, hosts: () => [] }).start()
  const turn = async () => {
    look()
    for (let tick = 0; tick < 20; tick++) await Promise.resolve()
  }
  await turn()
  expect(files.size).toBe(3)
  await turn()
  expect([...files]).toEqual([held, wanted])
})
