// What a new member list changes.
import { expect, test } from 'vitest'
import { Membership } from '../../../src/p2p/membership.ts'
import type { Member } from '../../../src/ports/transport.ts'

const member = (nodeId: string, peerId = `peer-${nodeId}`, address = `${nodeId}:1`): Member => ({ nodeId, name: nodeId, peerId, address })
const names = (members: readonly Member[]) => members.map((each) => each.nodeId)

test('nobody is a member before the first list', () => {
  expect(new Membership('a').byPeerId('peer-b')).toBeUndefined()
})

test('tells who came, left and moved, leaving this node out', () => {
  const membership = new Membership('a')
  expect(names(membership.set([member('a'), member('b'), member('c')]).added)).toEqual(['b', 'c'])
  const change = membership.set([member('a'), member('b', 'peer-b', 'elsewhere:2'), member('d')])
  expect([names(change.added), names(change.removed), names(change.moved)]).toEqual([['d'], ['c'], ['b']])
  expect(membership.byPeerId('peer-c')).toBeUndefined()
  expect(membership.byPeerId('peer-a')).toBeUndefined()
  expect(membership.byNodeId('d')?.peerId).toBe('peer-d')
})

test('another key under the same id is another peer', () => {
  const membership = new Membership('a')
  membership.set([member('b')])
  const change = membership.set([member('b', 'peer-new')])
  expect([change.removed.map((each) => each.peerId), change.added.map((each) => each.peerId)]).toEqual([['peer-b'], ['peer-new']])
  expect(membership.byPeerId('peer-b')).toBeUndefined()
})
