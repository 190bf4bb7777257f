// Statement 25: a request that is sent again with its key is carried out once, whatever happened in between, and gets its first answer.
import { describe, expect, it } from 'vitest'
import type { Command, CommandResult } from '../../../src/model/command.ts'
import { OperationalError } from '../../../src/model/error.ts'
import { stateHash } from '../../../src/state/state.ts'
import { revokeSession } from './command.ts'
import { SimCluster, type SimNode } from './sim-cluster.ts'

const smallLog = { compaction: { entriesMax: 10, bytesMax: 1_000_000 } }

/** What a client sends: each attempt is a command of its own, the key is the same. */
function keyed(key: string, session = key, bodyHash = `revoke ${session}`): Command {
  return { ...revokeSession(session), idempotency: { key, bodyHash } }
}

/** Applications that were no replays, by key and node; each index once, for a node applies its log anew after a restart. */
class Applications {
  readonly #indexes = new Map<string, Set<number>>()

  follow(node: SimNode): void {
    node.cluster.watch((event) => {
      if (event.kind !== 'applied' || event.command?.idempotency === undefined || event.result?.kind !== 'done' || event.result.replayed === true) return
      const { key } = event.command.idempotency
      this.#indexes.set(key, (this.#indexes.get(key) ?? new Set()).add(event.index))
    })
  }

  of(key: string): readonly number[] {
    return [...(this.#indexes.get(key) ?? [])]
  }
}

/** Again and again at one node after the other, as a client does that hears no outcome. */
async function insist(sim: SimCluster, key: string): Promise<CommandResult> {
  for (let attempt = 0; attempt < 40; attempt += 1) {
    const up = sim.nodes.filter((node) => sim.network.find(node.nodeId) !== undefined)
    const node = up[attempt % up.length] as SimNode
    try {
      return await sim.settle(node.cluster.propose(keyed(key)), 20_000)
    } catch (error) {
      if (!(error instanceof OperationalError)) throw error
      await sim.runFor(200)
    }
  }
  throw new Error('no answer came')
}

const isEven = (sim: SimCluster): boolean => new Set(sim.nodes.map((node) => `${node.cluster.state.index} ${stateHash(node.cluster.state)}`)).size === 1

describe('25: exactly once', () => {
  it('whenever the leader dies with a request in hand', async () => {
    let replays = 0
    for (let step = 0; step < 45; step += 1) {
      const sim = await SimCluster.formed(3, { seed: 1 + (step % 5) })
      const applications = new Applications()
      for (const node of sim.nodes) applications.follow(node)
      const leader = sim.leader as SimNode
      // The first attempt's client hears nothing any more.
      ;(step % 2 === 0 ? leader : sim.nodes.find((node) => node !== leader) as SimNode).cluster.propose(keyed('k')).catch(() => undefined)
      await sim.steps(step)
      sim.crash(leader)
      const result = await insist(sim, 'k')
      expect(result).toMatchObject({ kind: 'done', index: applications.of('k')[0] })
      if (result.kind === 'done' && result.replayed === true) replays += 1
      await sim.boot(leader)
      applications.follow(leader)
      await sim.until(() => isEven(sim))
      expect(applications.of('k')).toHaveLength(1)
    }
    // Both happened: it was lost with its leader, and it was not.
    expect(replays).toBeGreaterThan(5)
    expect(replays).toBeLessThan(45)
  })

  it('when the leader is cut off with it and comes back', async () => {
    const sim = await SimCluster.formed(3)
    const applications = new Applications()
    for (const node of sim.nodes) applications.follow(node)
    const leader = sim.leader as SimNode
    sim.network.partition([[leader.nodeId], sim.nodes.filter((node) => node !== leader).map((node) => node.nodeId)])
    leader.cluster.propose(keyed('k')).catch(() => undefined)
    await sim.until(() => sim.nodes.some((node) => node !== leader && node.cluster.status().role === 'leader'))
    const other = sim.nodes.find((node) => node !== leader && node.cluster.status().role === 'leader') as SimNode
    const first = await sim.settle(other.cluster.propose(keyed('k')))
    sim.network.heal()
    await sim.until(() => isEven(sim))
    expect(await insist(sim, 'k')).toEqual({ ...first, replayed: true })
    expect(applications.of('k')).toHaveLength(1)
  })

  it('over a snapshot: who was brought back by one knows the answer, also as leader, and tells another request with that key', async () => {
    const sim = await SimCluster.formed(3, smallLog)
    const behind = sim.node(2)
    sim.crash(behind)
    const first = await insist(sim, 'k')
    for (let at = 0; at < 60; at += 1) await insist(sim, `later-${at}`)
    let replaced = 0
    await sim.boot(behind)
    behind.cluster.watch((event) => {
      if (event.kind === 'replaced') replaced += 1
    })
    await sim.until(() => isEven(sim))
    expect(replaced).toBeGreaterThan(0)
    await sim.settle((sim.leader as SimNode).cluster.transferLeadership(behind.nodeId))
    expect(await sim.settle(behind.cluster.propose(keyed('k')))).toEqual({ ...first, replayed: true })
    expect(await sim.settle(behind.cluster.propose(keyed('k', 'another')))).toMatchObject({ kind: 'refused', code: 'IDEMPOTENCY_MISMATCH' })
    expect(behind.cluster.state.tables.revokedSession.has('another')).toBe(false)
  })

  it('over a restart of all, with the state read from disk and with the log applied anew', async () => {
    for (const orderly of [true, false]) {
      const sim = await SimCluster.formed(3, orderly ? smallLog : {})
      const first = await insist(sim, 'k')
      for (let at = 0; at < (orderly ? 30 : 3); at += 1) await insist(sim, `later-${at}`)
      for (const node of sim.nodes) {
        if (orderly) await sim.settle(node.cluster.stop())
        sim.crash(node)
      }
      for (const node of sim.nodes) await sim.boot(node)
      await sim.until(() => sim.leader !== undefined)
      expect(await insist(sim, 'k')).toEqual({ ...first, replayed: true })
    }
  })

  it('on a node that lost its disk and re-synced', async () => {
    const sim = await SimCluster.formed(3, smallLog)
    const first = await insist(sim, 'k')
    const node = sim.node(1)
    sim.crash(node)
    node.disk.wipe()
    await sim.boot(node, { resumes: true })
    await sim.until(() => isEven(sim) && node.cluster.status().troubles.length === 0)
    expect(await sim.settle(node.cluster.propose(keyed('k')))).toEqual({ ...first, replayed: true })
  })
})
