// What changed in consensus is told once, as events, whoever put it on record; what comes and goes is told at growing pauses.
import { expect, test } from 'vitest'
import type { CommandPayload } from '../../../src/model/command.ts'
import type { NodeId, TokenId } from '../../../src/model/id.ts'
import { announcement, World } from './world.ts'

function form(count: number) {
  const world = new World()
  const ids = [world.form().nodeId]
  while (ids.length < count) {
    const [id, token] = [world.newId() as NodeId, world.newId() as TokenId]
    world.run('joinToken.create', { id: token, secretHash: 's', lifeSeconds: 60 })
    world.run('node.admit', { node: { id, name: `n${ids.length + 1}`, peerId: `p${ids.length}`, wrapKey: 'w', wrappedClusterKey: 'k' }, announcement: announcement(), joinTokenId: token, joinSecretHash: 's' })
    ids.push(id)
  }
  const [n1, n2, n3, n4] = ids as unknown as [NodeId, NodeId, NodeId, NodeId]
  const base: CommandPayload<'cluster.observe'> = { seenInTerm: 1, leaderId: n1, term: 1, leaderlessMs: 0, voters: [n1, n2, n3], silent: [] }
  const observe = (changes: Partial<typeof base>) => {
    const { result, events } = world.run('cluster.observe', { ...base, ...changes })
    return result.kind === 'done' ? events.map(({ reason, message }) => `${reason}: ${message}`) : [result.code]
  }
  return { world, observe, n1, n2, n3, n4 }
}

test('the first is what later ones are compared with; the same again tells nothing', () => {
  const { observe } = form(3)
  expect(observe({})).toEqual([])
  expect(observe({})).toEqual([])
})

test('a change of leader, and that a long time without one is over', () => {
  const { observe, n2 } = form(3)
  observe({})
  expect(observe({ leaderId: n2, term: 4, leaderlessMs: 42_300 })).toEqual([
    'node.leads: Node n2 leads, in term 4; before it n1 led, in term 1', 'cluster.quorum: There is a quorum again, after 42 s without a leader',
  ])
  expect(observe({ leaderId: n2, term: 5, leaderlessMs: 1500 })).toEqual(['node.leads: Node n2 leads again, in term 5'])
})

test('who is silent, who takes its place, and that it is heard again', () => {
  const { observe, n1, n2, n3, n4 } = form(4)
  observe({})
  expect(observe({ silent: [n3] })).toEqual(['node.silent: Node n3 is silent: n1, which leads, hears nothing of it'])
  expect(observe({ silent: [n3], voters: [n1, n2, n4] })).toEqual([
    'node.promoted: Node n4 votes now, in place of n3', 'node.demoted: Node n3 votes no more: it is silent; n4 votes in its place',
  ])
  expect(observe({ voters: [n1, n2, n4] })).toEqual(['node.heard: Node n3 is heard again'])
})

test('why it votes no more: as was wished, or for it is being removed', () => {
  const { world, observe, n1, n2, n3 } = form(4)
  observe({})
  world.run('node.vote', { id: n3, voting: 'never' })
  expect(observe({ voters: [n1, n2] })).toEqual(['node.demoted: Node n3 votes no more, as was wished'])
  world.run('node.remove', { id: n2, force: false })
  expect(observe({ voters: [n1] })).toEqual(['node.demoted: Node n2 votes no more: it is being removed'])
})

test('what a deposed leader saw is refused', () => {
  const { observe, n2 } = form(3)
  observe({})
  expect(observe({ seenInTerm: 0, leaderId: n2 })).toEqual(['STATE_CONFLICT'])
})

test('what comes and goes says how long it will be quiet, until it has been calm', () => {
  const { world, observe, n2 } = form(3)
  observe({})
  for (let round = 0; round < 6; round++) {
    observe({ silent: [n2] })
    observe({})
  }
  expect(observe({ silent: [n2] })).toEqual(['node.silent: Node n2 is silent: n1, which leads, hears nothing of it; it comes and goes, and is told again after 40 s at the earliest'])
  world.timeMs += 3_600_000
  expect(observe({})).toEqual(['node.heard: Node n2 is heard again'])
})
