// On real stores: a backup is written into a host that is in no cluster, and a survivor's stores go on alone; a crash leaves the one or the other.
import { mkdtempSync, rmSync } from 'node:fs'
import { cp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { installSole, readToEnd } from '../../../src/cluster/refounding.ts'
import { recover } from '../../../src/cluster/recovery.ts'
import { encodeEntryData } from '../../../src/cluster/entry.ts'
import { openLocalLevel } from '../../../src/db/local-level.ts'
import { createLog } from '../../../src/drivers/host/log.ts'
import { openStores, raftDirectory, stateDirectory, type Host } from '../../../src/member.ts'
import { makeCommand } from '../../../src/model/command.ts'
import { uuidV7, type NodeId, type ProjectId } from '../../../src/model/id.ts'
import { encodeConfChange } from '../../../src/raft/confchange-codec.ts'
import type { Entry } from '../../../src/raft/types.ts'
import { recoverCluster } from '../../../src/state/refounding.ts'
import { exportState, stateHash, type State } from '../../../src/state/state.ts'
import { World } from '../state/world.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

type Place = Pick<Host, 'config' | 'local' | 'log'>
async function place(): Promise<Place> {
  const dataDir = mkdtempSync(join(tmpdir(), 'nc-refounding-'))
  const local = await openLocalLevel({ directory: join(dataDir, 'local') })
  cleanups.push(async () => rmSync(dataDir, { recursive: true, force: true }), async () => local.close())
  return { config: { dataDir } as Host['config'], local, log: createLog({ level: 'error', fields: {} }) }
}

async function withStores<T>(at: Place, action: (stores: Awaited<ReturnType<typeof openStores>>) => Promise<T>): Promise<T> {
  const stores = await openStores(at)
  try {
    return await action(stores)
  } finally {
    await stores.logStore.close()
    await stores.stateStore.close()
  }
}
const reopen = (at: Place, nodeId: string) => withStores(at, (stores) => recover({ nodeId, bootstrap: false }, stores))

function aCluster(): { readonly state: State; readonly nodeId: NodeId; readonly world: World } {
  const world = new World()
  const { nodeId } = world.form()
  world.vm(nodeId, 'web')
  return { state: world.state, nodeId, world }
}

describe('a state put into empty stores', () => {
  test('is there at the next start, with the node as the only voter', async () => {
    const at = await place()
    const { state, nodeId } = aCluster()
    await withStores(at, async (stores) => {
      await readToEnd(nodeId, stores)
      await installSole(nodeId, state, stores)
    })
    const recovered = await reopen(at, nodeId)
    expect(recovered).toMatchObject({ kind: 'ready', base: { index: state.index, term: state.term, configuration: { voters: [nodeId], learners: [] } }, entries: [], hardState: { vote: null } })
    expect(stateHash(recovered.state)).toBe(stateHash(state))
  })
})

describe('a survivor', () => {
  const refounding = { term: 8, timeMs: 1, actor: { kind: 'system' as const, id: 'n', name: 'root', address: '' }, commandId: 'c' }

  /** Three voters; the state stands behind the log, whose last two entries are not known to be committed. */
  async function survivor(): Promise<{ readonly at: Place; readonly nodeId: NodeId; readonly lastIndex: number }> {
    const at = await place()
    const { state, nodeId, world } = aCluster()
    const head = state.index
    const configuration = { voters: [nodeId, 'b', 'c'], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false }
    const project = (name: string): Uint8Array => encodeEntryData(world.timeMs, makeCommand('project.create', { id: uuidV7(1, new Uint8Array(10)), actor: refounding.actor }, { id: world.newId() as ProjectId, name, labels: {}, spec: { description: '' } }))
    const entries: readonly Entry[] = [
      { index: head + 1, term: 5, kind: 'normal', data: project('acknowledged') },
      { index: head + 2, term: 6, kind: 'config', data: encodeConfChange({ transition: 'simple', steps: [{ kind: 'addLearner', id: 'd' }] }) },
      { index: head + 3, term: 6, kind: 'normal', data: new Uint8Array(0) },
      { index: head + 4, term: 7, kind: 'normal', data: project('perhaps') },
    ]
    await withStores(at, async ({ logStore, stateStore }) => {
      await logStore.open()
      await stateStore.load()
      await stateStore.replace(exportState(state))
      await logStore.write({ hardState: { term: 1, vote: null, commit: head }, entries: [], base: { meta: { index: head, term: 1, configuration }, discardSuffix: true } })
      await logStore.write({ hardState: { term: 7, vote: 'b', commit: head + 1 }, entries, base: null })
    })
    return { at, nodeId, lastIndex: head + 4 }
  }

  test('keeps all of its log: any of it may have been acknowledged', async () => {
    const { at, nodeId, lastIndex } = await survivor()
    const { state, term } = await withStores(at, (stores) => readToEnd(nodeId, stores))
    expect({ index: state.index, term }).toEqual({ index: lastIndex, term: 7 })
    expect([...state.tables.project.values()].map(({ name }) => name)).toEqual(expect.arrayContaining(['acknowledged', 'perhaps']))
  })

  test('a crash before the state was replaced leaves the former cluster, one after it the new one', async () => {
    const { at, nodeId, lastIndex } = await survivor()
    const copy = async (): Promise<Place> => {
      const other = await place()
      for (const directory of [raftDirectory, stateDirectory]) await cp(directory(at.config.dataDir), directory(other.config.dataDir), { recursive: true })
      await other.local.put('raft-log', await at.local.get('raft-log'))
      return other
    }
    const before = await copy()
    expect(await reopen(before, nodeId)).toMatchObject({ kind: 'ready', hardState: { term: 7, vote: 'b' }, base: { configuration: { voters: [nodeId, 'b', 'c'] } } })
    // The state is replaced, the log is not.
    const { state, term } = await withStores(at, (stores) => readToEnd(nodeId, stores))
    recoverCluster(state, nodeId, { ...refounding, term: term + 1 })
    const stop = new Error('the process dies here')
    await expect(withStores(at, async (stores) => {
      await readToEnd(nodeId, stores)
      await installSole(nodeId, state, { ...stores, logStore: { ...stores.logStore, write: () => Promise.reject(stop) } })
    })).rejects.toBe(stop)
    const after = await reopen(at, nodeId)
    expect(after).toMatchObject({ kind: 'ready', entries: [], hardState: { term: 8, vote: null, commit: state.index }, base: { index: state.index, configuration: { voters: [nodeId], learners: [] } } })
    expect(after.state.index).toBeGreaterThan(lastIndex)
    expect(after.state.tables.cluster.get('cluster')).toMatchObject({ epoch: 2 })
    // And again: what was finished at the start stays so.
    expect(await reopen(at, nodeId)).toMatchObject({ kind: 'ready', base: { index: state.index } })
  })

  test('with a damaged log it is refused', async () => {
    const { at, nodeId } = await survivor()
    await rm(raftDirectory(at.config.dataDir), { recursive: true })
    await expect(withStores(at, (stores) => readToEnd(nodeId, stores))).rejects.toMatchObject({ code: 'LOG_DAMAGED' })
  })
})
