// A request that is made again under its key is applied once, whoever leads and however a node came by its state.
import { expect, it } from 'vitest'
import type { Command } from '../../../src/model/command.ts'
import { stateHash } from '../../../src/state/state.ts'
import { revokeSession } from './command.ts'
import { SimCluster, type SimNode } from './sim-cluster.ts'

/** One client's request; each attempt is a command of its own, and would show if it took effect. */
const attempt = (session: string): Command => ({ ...revokeSession(session), idempotency: { key: 'k1', bodyHash: 'same' } })
const remembers = (node: SimNode, session: string): boolean => node.cluster.state.tables.revokedSession.has(session)

it('statement 25: over a change of leader, a restart and a snapshot the answer is the first one, and nothing happens again', async () => {
  const sim = await SimCluster.formed(3, { compaction: { entriesMax: 20, bytesMax: 1_000_000 } })
  const [first, second, third] = [sim.node(0), sim.node(1), sim.node(2)]
  sim.crash(third)
  const answer = await sim.settle(first.cluster.propose(attempt('original')))
  expect(answer.kind).toBe('done')
  const again = async (node: SimNode, name: string): Promise<void> => {
    expect(await sim.settle(node.cluster.propose(attempt(name)))).toMatchObject(answer)
    for (const each of sim.nodes) expect(remembers(each, name)).toBe(false)
  }
  await again(first, 'at the same leader')
  await sim.boot(third)
  sim.crash(first)
  await sim.until(() => sim.leader !== undefined && sim.leader !== first)
  await again(sim.leader!, 'at another leader')
  // So many writes that the log which holds the original is gone: the first node gets an image.
  for (let count = 0; count < 60; count += 1) await sim.settle(second.cluster.propose(revokeSession(`filler ${count}`)))
  let images = 0
  await sim.boot(first)
  first.cluster.watch((event) => {
    if (event.kind === 'replaced') images += 1
  })
  await sim.until(() => first.cluster.state.index >= second.cluster.state.index)
  expect(images).toBe(1)
  await sim.settle(sim.leader!.cluster.transferLeadership(first.nodeId))
  expect(sim.leader).toBe(first)
  await again(first, 'at a leader that has it by snapshot')
  sim.crash(second)
  await sim.boot(second)
  await again(second, 'through a node that was restarted')
  await sim.runFor(1000)
  expect(new Set(sim.nodes.map(({ cluster }) => stateHash(cluster.state))).size).toBe(1)
})
