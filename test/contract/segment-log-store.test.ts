// The LogStore contract on the segment files.
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSegmentLog } from '../../src/db/segment-log.ts'
import { describeLogStore } from './log-store.ts'

describeLogStore('segment files', async () => {
  const root = await mkdtemp(join(tmpdir(), 'novacron-log-'))
  let generation = 0
  const directory = (): string => join(root, String(generation))
  return {
    make: () => openSegmentLog({ directory: directory(), segmentBytesMax: 64 * 1024 }),
    // A copy taken while the store is in use is what a killed process leaves; lost pages are the business of the crash test in test/unit/db.
    crash: async (store, unfinished) => {
      await cp(directory(), join(root, String(generation + 1)), { recursive: true })
      await unfinished
      await store.close()
      generation += 1
    },
    dispose: async () => rm(root, { recursive: true }),
  }
})
