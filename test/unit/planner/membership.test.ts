// Who votes: learners first, promoted when caught up, up to three; and placement of VMs.
import { describe, expect, test } from 'vitest'
import { vmSpecSchema } from '../../../src/model/vm.ts'
import { planMembership } from '../../../src/planner/membership.ts'
import { planPlacement } from '../../../src/planner/placement.ts'
import type { Configuration, Progress } from '../../../src/raft/types.ts'
import type { NodeId, TokenId } from '../../../src/model/id.ts'
import { World, announcement } from '../state/world.ts'

const configuration = (voters: string[], learners: string[] = []): Configuration => ({ voters, learners, votersOutgoing: [], learnersNext: [], autoLeave: false })
const progress = (match: number, recentActive = true): Progress => ({ match, next: match + 1, state: 'replicate', pendingSnapshot: 0, recentActive, inflight: 0, isLearner: true })

describe('membership', () => {
  test.each<[string, string[], Configuration, Record<string, Progress>, unknown]>([
    ['a stranger becomes a learner', ['a', 'b'], configuration(['a']), {}, { kind: 'addLearner', id: 'b' }],
    ['of two, one votes', ['a', 'b'], configuration(['a'], ['b']), { b: progress(100) }, null],
    ['of three, the second is promoted', ['a', 'b', 'c'], configuration(['a'], ['b', 'c']), { b: progress(100), c: progress(100) }, { kind: 'addVoter', id: 'b' }],
    ['a learner behind is not promoted', ['a', 'b', 'c'], configuration(['a'], ['b', 'c']), { b: progress(1), c: progress(100) }, { kind: 'addVoter', id: 'c' }],
    ['a silent learner is not promoted', ['a', 'b', 'c'], configuration(['a'], ['b', 'c']), { b: progress(100, false), c: progress(100, false) }, null],
    ['a fourth stays a learner', ['a', 'b', 'c', 'd'], configuration(['a', 'b', 'c'], ['d']), { d: progress(100) }, null],
    ['who is no member leaves', ['a', 'b'], configuration(['a', 'b', 'c']), {}, { kind: 'remove', id: 'c' }],
  ])('%s', (_name, memberIds, current, following, step) => {
    const change = planMembership({ memberIds, configuration: current, progress: following, commit: 100 })
    expect(change?.steps[0] ?? null).toEqual(step)
  })
})

describe('placement', () => {
  function twoNodes() {
    const world = new World()
    const { nodeId } = world.form()
    const token = world.newId() as TokenId
    world.run('joinToken.create', { id: token, secretHash: 's', lifeSeconds: 60 })
    const second = world.newId() as NodeId
    world.run('node.admit', {
      node: { id: second, name: 'n2', peerId: 'p', wrapKey: 'w', wrappedClusterKey: 'k' }, announcement: announcement(), joinTokenId: token, joinSecretHash: 's',
    })
    world.image(nodeId)
    return { world, nodeId, second, ready: new Set<string>([nodeId, second]) }
  }
  const spec = (input: Record<string, unknown>) => vmSpecSchema.parse({ cpus: 1, memoryMiB: 512, runState: 'running', ...input })

  test('the named node, else the one with the most memory free', () => {
    const { world, nodeId, second, ready } = twoNodes()
    expect(planPlacement(world.state, spec({ placement: { node: 'n2' } }), ready)).toMatchObject({ nodeId: second })
    expect(planPlacement(world.state, spec({}), ready)).toMatchObject({ nodeId })
    world.vm(nodeId, 'web', { runState: 'running' })
    expect(planPlacement(world.state, spec({}), ready)).toMatchObject({ nodeId: second })
  })

  test('only nodes that are in touch and hold the image; every reason is told', () => {
    const { world, nodeId, second, ready } = twoNodes()
    const withImage = spec({ disks: [{ name: 'root', image: 'tiny' }] })
    expect(planPlacement(world.state, withImage, ready)).toMatchObject({ nodeId })
    expect(planPlacement(world.state, withImage, new Set<string>([second]))).toEqual({
      kind: 'noFit', reasons: [{ node: 'n1', reason: 'is not in touch' }, { node: 'n2', reason: 'does not hold image tiny' }],
    })
  })

  test('a node that takes no new VMs is left out unless it is named', () => {
    const { world, nodeId, second, ready } = twoNodes()
    world.run('node.update', { id: nodeId, spec: { schedulable: false } })
    expect(planPlacement(world.state, spec({}), ready)).toMatchObject({ nodeId: second })
    expect(planPlacement(world.state, spec({ placement: { node: 'n1' } }), ready)).toMatchObject({ nodeId })
  })
})
