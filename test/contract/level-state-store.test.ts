// The contracts of StateStore and LocalStore on LevelDB.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openLocalLevel } from '../../src/db/local-level.ts'
import { openStateLevel } from '../../src/db/state-level.ts'
import { describeLocalStore, describeStateStore } from './state-store.ts'

describeStateStore('LevelDB', async () => {
  const root = await mkdtemp(join(tmpdir(), 'novacron-state-'))
  return { make: async () => openStateLevel({ directory: join(root, 'state') }), dispose: async () => rm(root, { recursive: true }) }
})

describeLocalStore('LevelDB', async () => {
  const root = await mkdtemp(join(tmpdir(), 'novacron-local-'))
  return { make: async () => openLocalLevel({ directory: join(root, 'local') }), dispose: async () => rm(root, { recursive: true }) }
})
