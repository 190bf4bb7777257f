// What the state keeps of a member whose copy of it differed.
import { expect, test } from 'vitest'
import { mayPropose } from '../../../src/state/query.ts'
import { exportState, importState, stateHash } from '../../../src/state/state.ts'
import { announcement, World } from './world.ts'

const differs = { index: 7, hash: 'a'.repeat(16), expected: 'b'.repeat(16) }

test('it is told once, with an event, and taken back', () => {
  const world = new World()
  const { nodeId } = world.form()
  expect(world.run('node.diverge', { id: nodeId, divergence: differs }).events).toMatchObject([{ kind: 'node', reason: 'node.diverged', message: expect.stringContaining('at index 7 or before') }])
  expect(world.state.tables.node.get(nodeId)?.divergence).toEqual({ ...differs, sinceMs: world.timeMs })
  expect(world.run('node.diverge', { id: nodeId, divergence: { ...differs, index: 9 } }).events).toEqual([])
  expect(stateHash(importState(exportState(world.state)))).toBe(stateHash(world.state))
  expect(world.run('node.diverge', { id: nodeId, divergence: null }).events).toMatchObject([{ reason: 'node.converged' }])
  expect(world.state.tables.node.get(nodeId)).not.toHaveProperty('divergence')
  expect(world.run('node.diverge', { id: nodeId, divergence: null }).events).toEqual([])
})

test('it is proposed only where every member knows the command', () => {
  const world = new World()
  const { nodeId } = world.form()
  world.run('node.announce', { id: nodeId, announcement: announcement({ featureLevel: 1 }) })
  expect(mayPropose(world.state, 'node.diverge')).toBe(false)
  world.run('node.announce', { id: nodeId, announcement: announcement({ featureLevel: 2 }) })
  expect(mayPropose(world.state, 'node.diverge')).toBe(true)
})
