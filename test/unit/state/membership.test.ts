// Apply of what guards membership and access: join tokens, users, API tokens, sessions, and bounds.
import { describe, expect, test } from 'vitest'
import { auditRecordsMax } from '../../../src/model/audit.ts'
import type { NodeId, TokenId, UserId } from '../../../src/model/id.ts'
import { World, announcement } from './world.ts'

function joinPayload(world: World, tokenId: TokenId, name = 'n2', secret = 's') {
  const node = { id: world.newId() as NodeId, name, peerId: `peer-joiner-${name}`, wrapKey: 'w', wrappedClusterKey: 'k' }
  return { node, announcement: announcement(), joinTokenId: tokenId, joinSecretHash: secret }
}

describe('join tokens', () => {
  test('admit one node, once; the same node may try again', () => {
    const world = new World()
    world.form()
    const id = world.newId() as TokenId
    world.run('joinToken.create', { id, secretHash: 's', lifeSeconds: 60 })
    const payload = joinPayload(world, id)
    expect(world.outcome('node.admit', payload)).toBe('done')
    expect(world.outcome('node.admit', payload)).toBe('done')
    expect(world.outcome('node.admit', joinPayload(world, id, 'n3'))).toBe('TOKEN_USED')
    expect(world.state.tables.node.size).toBe(2)
  })

  test.each([
    ['expired', 'TOKEN_EXPIRED'],
    ['revoked', 'TOKEN_INVALID'],
    ['wrong secret', 'TOKEN_INVALID'],
    ['unknown', 'TOKEN_INVALID'],
    ['name taken', 'NAME_TAKEN'],
  ])('%s: refused, and the token stays unused', (what, code) => {
    const world = new World()
    world.form()
    const id = world.newId() as TokenId
    world.run('joinToken.create', { id, secretHash: 's', lifeSeconds: 60 })
    if (what === 'expired') world.timeMs += 61_000
    if (what === 'revoked') world.run('joinToken.revoke', { id })
    const tokenId = what === 'unknown' ? (world.newId() as TokenId) : id
    const payload = joinPayload(world, tokenId, what === 'name taken' ? 'n1' : 'n2', what === 'wrong secret' ? 'x' : 's')
    expect(world.outcome('node.admit', payload)).toBe(code)
    expect(world.state.tables.node.size).toBe(1)
    expect(world.state.tables.joinToken.get(id)?.usedByNodeId).toBeNull()
  })
})

describe('a member\'s identity', () => {
  function joined() {
    const world = new World()
    const { nodeId } = world.form()
    const first = world.newId() as TokenId
    world.run('joinToken.create', { id: first, secretHash: 's', lifeSeconds: 3600 })
    const payload = joinPayload(world, first)
    world.run('node.admit', payload)
    const fresh = () => {
      const id = world.newId() as TokenId
      world.run('joinToken.create', { id, secretHash: 's', lifeSeconds: 3600 })
      return id
    }
    return { world, nodeId, payload, fresh }
  }

  test('is not taken over by whoever joins under its id, peer id or key', () => {
    const { world, nodeId, payload, fresh } = joined()
    const before = world.state.tables.node.get(payload.node.id)
    const thief = joinPayload(world, fresh(), 'n3')
    expect(world.outcome('node.admit', { ...thief, node: { ...thief.node, id: payload.node.id } })).toBe('ALREADY_MEMBER')
    expect(world.outcome('node.admit', { ...thief, node: { ...thief.node, id: nodeId, name: 'n1' } })).toBe('ALREADY_MEMBER')
    expect(world.outcome('node.admit', { ...thief, node: { ...thief.node, peerId: payload.node.peerId } })).toBe('ALREADY_MEMBER')
    expect(world.outcome('node.admit', { ...payload, node: { ...payload.node, peerId: 'peer-thief' } })).toBe('ALREADY_MEMBER')
    expect(world.state.tables.node.get(payload.node.id)).toEqual(before)
    expect(world.state.tables.node.size).toBe(2)
  })

  test('a used token is over once its node was heard of; before, a new one lets the same node ask again', () => {
    const { world, payload, fresh } = joined()
    expect(world.outcome('node.admit', { ...payload, joinTokenId: fresh() })).toBe('done')
    expect(world.outcome('node.admit', { ...payload, joinTokenId: fresh() })).toBe('done')
    expect(world.outcome('node.admit', payload)).toBe('TOKEN_USED')
  })

  test('a member that took part and comes back with an empty disk does not begin anew under its old id: what it voted for is lost', () => {
    const { world, payload, fresh } = joined()
    world.run('node.announce', { id: payload.node.id, announcement: announcement() })
    const before = world.state.tables.node.get(payload.node.id)
    const joinTokenId = fresh()
    expect(world.outcome('node.admit', { ...payload, joinTokenId })).toBe('ALREADY_MEMBER')
    expect(world.state.tables.node.get(payload.node.id)).toEqual(before)
    expect(world.state.tables.joinToken.get(joinTokenId)?.usedByNodeId).toBeNull()
  })
})

test('a cluster is formed once', () => {
  const world = new World()
  world.form()
  const before = world.state.tables.node.size
  world.form()
  expect(world.state.tables.node.size).toBe(before)
})

test('the last administrator stays; a user who goes takes their tokens along', () => {
  const world = new World()
  const { adminId } = world.form()
  expect(world.outcome('user.delete', { id: adminId })).toBe('STATE_CONFLICT')
  const id = world.newId() as UserId
  const spec = { displayName: '', disabled: false, bindings: [{ role: 'viewer' as const, scope: '*' }] }
  world.run('user.create', { id, name: 'eve', labels: {}, spec, passwordHash: 'h' })
  world.run('token.create', { id: world.newId() as TokenId, name: 'ci', userId: id, secretHash: 'hash-of-ci', expiresInDays: 1 })
  expect(world.state.tokenIdsByHash.has('hash-of-ci')).toBe(true)
  expect(world.outcome('user.delete', { id })).toBe('done')
  expect(world.state.tokenIdsByHash.has('hash-of-ci')).toBe(false)
  expect(world.outcome('user.delete', { id: adminId })).toBe('STATE_CONFLICT')
})

test('a revoked session is remembered until it would have ended', () => {
  const world = new World()
  const { adminId } = world.form()
  world.run('session.revoke', { id: 'sid', expiresMs: world.timeMs + 1000 })
  expect(world.state.tables.revokedSession.has('sid')).toBe(true)
  world.timeMs += 2000
  world.run('user.setPassword', { id: adminId, passwordHash: 'h2' })
  expect(world.state.tables.revokedSession.has('sid')).toBe(false)
})

test('state time never goes back, whatever a new leader\'s clock says', () => {
  const world = new World()
  const { adminId } = world.form()
  const before = world.state.timeMs
  world.timeMs -= 3_600_000
  world.run('user.setPassword', { id: adminId, passwordHash: 'h' })
  expect(world.state.timeMs).toBe(before)
})

test('the audit keeps the newest, without secrets', () => {
  const world = new World()
  const { adminId } = world.form()
  for (let count = 0; count < auditRecordsMax + 10; count++) world.run('user.setPassword', { id: adminId, passwordHash: 'secret-hash' })
  expect(world.state.tables.audit.size).toBe(auditRecordsMax)
  const newest = [...world.state.tables.audit.values()].at(-1)
  expect(newest).toMatchObject({ command: 'user.setPassword', target: 'admin', id: String(world.state.index) })
  expect(JSON.stringify([...world.state.tables.audit.values()])).not.toContain('secret-hash')
})
