// How members are shown where no leader answers: what the asked node knows itself, and since when it heard of the others.
import { expect, test } from 'vitest'
import type { AppContext } from '../../../src/app/context.ts'
import { presentMembers } from '../../../src/app/present-members.ts'
import { memberReportSchema } from '../../../src/model/member.ts'
import type { NodeId, TokenId } from '../../../src/model/id.ts'
import { announcement, World } from '../state/world.ts'

test('without a leader contact is by gossip, and what ails a member is said in sentences that end once', () => {
  const world = new World()
  const { nodeId } = world.form()
  const [other, silent] = ['n2', 'n3'].map((name) => {
    const [id, token] = [world.newId() as NodeId, world.newId() as TokenId]
    world.run('joinToken.create', { id: token, secretHash: 's', lifeSeconds: 60 })
    world.run('node.admit', { node: { id, name, peerId: `p-${name}`, wrapKey: 'w', wrappedClusterKey: 'k' }, announcement: announcement(), joinTokenId: token, joinSecretHash: 's' })
    return id
  }) as [NodeId, NodeId]
  const context = {
    nodeId, state: world.state, nodeName: (id: string | null) => world.state.tables.node.get(id ?? '')?.name ?? null,
    ports: {
      consensus: { status: () => ({ leaderId: null, configuration: { voters: [nodeId, other, silent], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false } }) },
      history: null, presence: { of: (id: string) => (id === other ? { ageMs: 1200, load: { loopDelayMs: 1 } } : null) },
    },
  } as unknown as AppContext
  const report = memberReportSchema.parse({
    role: 'candidate', leaderId: null, term: 7, commit: 40, applied: 40, firstIndex: 1, lastIndex: 42, logBytes: 1, quorum: false, halted: 'The log is damaged.', leaderlessMs: 0, timing: { heartbeatMs: 200, electionMs: 1000, lostMs: 10_000, steadyMs: 30_000 }, logSync: null, followers: {},
  })
  const view = presentMembers(context, new Map([[nodeId, report]]))
  expect(view).toMatchObject({ leader: null, stale: true, quorum: false, term: 7, commitIndex: 40, voters: 3 })
  expect(view.members.map(({ name, lastContactMs, appliedIndex }) => [name, lastContactMs, appliedIndex])).toEqual([['n1', 0, 40], ['n2', 1200, null], ['n3', null, null]])
  expect(view.notes).toContain('n1 takes no part: The log is damaged.')
})
