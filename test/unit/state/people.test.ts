// People in the state: roles granted and revoked, projects, tokens that neither outlive nor outreach what made them, rights asked at the index.
import { describe, expect, test } from 'vitest'
import { makeCommand, type CommandPayload, type CommandType } from '../../../src/model/command.ts'
import type { ProjectId, TokenId, UserId } from '../../../src/model/id.ts'
import type { RoleBinding } from '../../../src/model/role.ts'
import type { Actor } from '../../../src/model/user.ts'
import { applyCommand } from '../../../src/state/apply.ts'
import { exportState, importState, stateHash, writeRecord } from '../../../src/state/state.ts'
import { World } from './world.ts'

class People extends World {
  readonly formed = this.form()

  /** As the app proposes: the right is asked in apply. */
  as<Type extends CommandType>(actor: Pick<Actor, 'kind' | 'id'>, type: Type, payload: CommandPayload<Type>): string {
    const command = makeCommand(type, { id: this.newId(), actor: { name: 'somebody', address: '', ...actor }, authorize: true }, payload)
    this.timeMs += 10
    const { result } = applyCommand(this.state, { index: this.state.index + 1, term: 1, timeMs: this.timeMs, command })
    return result.kind === 'done' ? 'done' : result.code
  }

  get admin(): Pick<Actor, 'kind' | 'id'> {
    return { kind: 'user', id: this.formed.adminId }
  }

  user(name: string, bindings: RoleBinding[]): UserId {
    const id = this.newId() as UserId
    expect(this.outcome('user.add', { id, name, labels: {}, spec: { displayName: '', disabled: false, bindings }, passwordHash: 'h' })).toBe('done')
    return id
  }

  project(name: string): ProjectId {
    const id = this.newId() as ProjectId
    expect(this.outcome('project.create', { id, name, labels: {}, spec: { description: '' } })).toBe('done')
    return id
  }

  token(userId: UserId, options: { readonly bindings?: RoleBinding[]; readonly days?: number; readonly parentId?: TokenId } = {}): { readonly id: TokenId; readonly outcome: string } {
    const id = this.newId() as TokenId
    const payload = { id, name: `t${id.slice(-6)}`, userId, secretHash: id, expiresInDays: options.days ?? null, bindings: options.bindings ?? null, parentId: options.parentId ?? null }
    return { id, outcome: this.outcome('token.issue', payload) }
  }
}

describe('the last administrator', () => {
  test('cannot be deleted, disabled, demoted or stripped; with another one it can', () => {
    const world = new People()
    const { adminId } = world.formed
    const loseIt = [
      () => world.outcome('user.delete', { id: adminId }),
      () => world.outcome('user.update', { id: adminId, disabled: true }),
      () => world.outcome('user.update', { id: adminId, bindings: [{ role: 'operator', scope: 'cluster' }] }),
      () => world.outcome('role.revoke', { userId: adminId, role: 'administrator', scope: 'cluster' }),
    ]
    for (const lose of loseIt) expect(lose()).toBe('STATE_CONFLICT')
    const other = world.user('anna', [{ role: 'administrator', scope: 'cluster' }])
    expect(world.outcome('user.update', { id: other, disabled: true })).toBe('done')
    for (const lose of loseIt) expect(lose(), 'a disabled one does not count').toBe('STATE_CONFLICT')
    expect(world.outcome('user.update', { id: other, disabled: false })).toBe('done')
    expect(world.outcome('role.revoke', { userId: adminId, role: 'administrator', scope: '*' })).toBe('done')
    expect(world.outcome('user.delete', { id: other })).toBe('STATE_CONFLICT')
  })

  test('an administrator of a project is none of the cluster', () => {
    const world = new People()
    world.project('shop')
    world.user('anna', [{ role: 'administrator', scope: 'project:shop' }])
    expect(world.outcome('user.delete', { id: world.formed.adminId })).toBe('STATE_CONFLICT')
  })
})

describe('roles', () => {
  test('are granted once, in one form, and only for projects that exist', () => {
    const world = new People()
    const anna = world.user('anna', [])
    expect(world.outcome('role.grant', { userId: anna, role: 'operator', scope: 'project:shop' })).toBe('REFERENCE_MISSING')
    world.project('shop')
    expect(world.outcome('role.grant', { userId: anna, role: 'operator', scope: 'project:shop' })).toBe('done')
    expect(world.outcome('role.grant', { userId: anna, role: 'operator', scope: 'shop' })).toBe('done')
    expect(world.state.tables.user.get(anna)?.spec.bindings).toEqual([{ role: 'operator', scope: 'project:shop' }])
    expect(world.outcome('role.revoke', { userId: anna, role: 'viewer', scope: 'project:shop' })).toBe('NOT_FOUND')
    expect(world.outcome('role.revoke', { userId: anna, role: 'operator', scope: 'project:shop' })).toBe('done')
    expect(world.state.tables.user.get(anna)?.spec.bindings).toEqual([])
  })
})

test('the audit names who was meant, also who is gone by it', () => {
  const world = new People()
  const anna = world.user('anna', [])
  world.outcome('role.grant', { userId: anna, role: 'viewer', scope: 'cluster' })
  world.outcome('user.delete', { id: anna })
  const records = [...world.state.tables.audit.values()].slice(-2)
  expect(records).toMatchObject([{ command: 'role.grant', target: 'anna', detail: 'viewer in cluster' }, { command: 'user.delete', target: 'anna', detail: '' }])
})

describe('a right that was withdrawn in between', () => {
  test('is missed at the index: by role, by disabling, by deletion, by revoking the token', () => {
    const world = new People()
    const { nodeId } = world.formed
    const anna = world.user('anna', [{ role: 'operator', scope: 'cluster' }])
    const actor = { kind: 'user' as const, id: anna as string }
    const create = () => world.as(actor, 'vm.create', world.vmPayload(nodeId, `vm-${world.state.index}`))
    expect(create()).toBe('done')
    world.outcome('role.revoke', { userId: anna, role: 'operator', scope: 'cluster' })
    expect(create()).toBe('FORBIDDEN')
    world.outcome('role.grant', { userId: anna, role: 'operator', scope: 'cluster' })
    expect(create()).toBe('done')
    world.outcome('user.update', { id: anna, disabled: true })
    expect(create()).toBe('FORBIDDEN')
    world.outcome('user.update', { id: anna, disabled: false })
    const token = world.token(anna)
    const byToken = () => world.as({ kind: 'token', id: token.id }, 'vm.create', world.vmPayload(nodeId, `vm-${world.state.index}`))
    expect(byToken()).toBe('done')
    world.outcome('token.revoke', { id: token.id })
    expect(byToken()).toBe('FORBIDDEN')
    world.outcome('user.delete', { id: anna })
    expect(create()).toBe('FORBIDDEN')
  })

  test('an operator of one project touches nothing of another, and no user', () => {
    const world = new People()
    const { nodeId } = world.formed
    world.project('shop')
    const anna = world.user('anna', [{ role: 'operator', scope: 'project:shop' }])
    const actor = { kind: 'user' as const, id: anna as string }
    const other = world.vm(nodeId, 'other')
    expect(world.as(actor, 'vm.create', { ...world.vmPayload(nodeId, 'web'), project: 'shop' })).toBe('done')
    expect(world.as(actor, 'vm.create', world.vmPayload(nodeId, 'web'))).toBe('FORBIDDEN')
    expect(world.as(actor, 'vm.patch', { id: other, patch: { labels: {} }, seed: '00' })).toBe('FORBIDDEN')
    expect(world.as(actor, 'user.delete', { id: world.formed.adminId })).toBe('FORBIDDEN')
    expect(world.as(actor, 'role.grant', { userId: anna, role: 'administrator', scope: 'cluster' })).toBe('FORBIDDEN')
    expect(world.as(actor, 'user.setPassword', { id: world.formed.adminId, passwordHash: 'x' })).toBe('FORBIDDEN')
    expect(world.as(actor, 'user.setPassword', { id: anna, passwordHash: 'x' })).toBe('done')
    expect(world.as(actor, 'session.revokeAll', { userId: world.formed.adminId })).toBe('FORBIDDEN')
    expect(world.as(actor, 'session.revokeAll', { userId: anna })).toBe('done')
  })

  test('commands of the first version are applied as they were', () => {
    const world = new People()
    expect(world.outcome('user.delete', { id: world.user('anna', []) }, { actor: { kind: 'user', id: 'nobody', name: 'x', address: '' } })).toBe('done')
  })
})

describe('projects', () => {
  test('names are unique per project; a full one stays; default cannot be made', () => {
    const world = new People()
    const { nodeId } = world.formed
    const shop = world.project('shop')
    expect(world.outcome('project.create', { id: world.newId() as ProjectId, name: 'shop', labels: {}, spec: { description: '' } })).toBe('NAME_TAKEN')
    expect(world.outcome('project.create', { id: world.newId() as ProjectId, name: 'default', labels: {}, spec: { description: '' } })).toBe('NAME_TAKEN')
    expect(world.outcome('vm.create', { ...world.vmPayload(nodeId, 'web'), project: 'nothing' })).toBe('REFERENCE_MISSING')
    world.vm(nodeId, 'web')
    expect(world.outcome('vm.create', { ...world.vmPayload(nodeId, 'web'), project: 'shop' })).toBe('done')
    expect(world.outcome('vm.create', { ...world.vmPayload(nodeId, 'web'), project: 'shop' })).toBe('NAME_TAKEN')
    expect(world.outcome('project.delete', { id: shop })).toBe('IN_USE')
  })

  test('a rename takes VMs, images, roles and tokens along, and survives an export', () => {
    const world = new People()
    const { nodeId } = world.formed
    const shop = world.project('shop')
    const anna = world.user('anna', [{ role: 'operator', scope: 'project:shop' }])
    const token = world.token(anna, { bindings: [{ role: 'viewer', scope: 'project:shop' }] })
    const payload = { ...world.vmPayload(nodeId, 'web'), project: 'shop' }
    world.outcome('vm.create', payload)
    expect(world.outcome('project.update', { id: shop, name: 'store' })).toBe('done')
    expect(world.state.tables.vm.get(payload.id)?.project).toBe('store')
    expect(world.state.names.get('vm/store/web')).toBe(payload.id)
    expect(world.state.names.has('vm/shop/web')).toBe(false)
    expect(world.state.tables.user.get(anna)?.spec.bindings).toEqual([{ role: 'operator', scope: 'project:store' }])
    expect(world.state.tables.token.get(token.id)?.spec.bindings).toEqual([{ role: 'viewer', scope: 'project:store' }])
    expect(stateHash(importState(exportState(world.state)))).toBe(stateHash(world.state))
  })

  test('after a rename the history is in the same order on a node that reads the state anew', () => {
    const world = new People()
    const shop = world.project('shop')
    const party = { id: 'x', name: 'x' }
    const ended = (id: string, project: string, revision: number) => writeRecord(world.state, 'migration', id, {
      id, kind: 'migration', name: id, project, revision, vm: party, from: party, to: party, live: true, actor: 'a', outcome: 'done', reason: '', bytes: null, downtimeMs: null, startedMs: 0, endedMs: 0,
    })
    ended('m2', 'shop', 1)
    ended('m1', 'shop', 2)
    ended('m3', 'default', 3)
    expect(world.outcome('project.update', { id: shop, name: 'store' })).toBe('done')
    expect(world.state.tables.migration.get('m1')?.project).toBe('store')
    const order = [...world.state.tables.migration.keys()]
    expect([...importState(exportState(world.state)).tables.migration.keys()]).toEqual(order)
  })

  test('with a project go the roles in it: one made later with its name is another', () => {
    const world = new People()
    const shop = world.project('shop')
    const anna = world.user('anna', [{ role: 'operator', scope: 'project:shop' }])
    const token = world.token(anna, { bindings: [{ role: 'operator', scope: 'project:shop' }] })
    expect(world.outcome('project.delete', { id: shop })).toBe('done')
    world.project('shop')
    expect(world.state.tables.user.get(anna)?.spec.bindings).toEqual([])
    expect(world.state.tables.token.get(token.id)?.spec.bindings).toEqual([])
  })

  test("a VM uses its project's images and the library, never another project's", () => {
    const world = new People()
    const { nodeId } = world.formed
    for (const name of ['shop', 'bank']) world.project(name)
    world.image(nodeId, 'tiny')
    const secret = world.image(nodeId, 'secret', 'b'.repeat(64))
    world.state.tables.image.set(secret, { ...world.state.tables.image.get(secret)!, project: 'bank' })
    const make = (image: string) => world.outcome('vm.create', { ...world.vmPayload(nodeId, `vm-${world.state.index}`, { disks: [{ name: 'root', image, sizeGiB: 1 }] }), project: 'shop' })
    expect(make('tiny')).toBe('done')
    expect(make(secret)).toBe('REFERENCE_MISSING')
  })
})

describe('tokens', () => {
  test('what a token made ends with it, and not later than it', () => {
    const world = new People()
    const anna = world.user('anna', [{ role: 'operator', scope: 'cluster' }])
    const parent = world.token(anna, { days: 10 })
    expect(world.token(anna, { days: 11, parentId: parent.id }).outcome).toBe('INVALID')
    const child = world.token(anna, { parentId: parent.id })
    const grandchild = world.token(anna, { parentId: child.id, days: 9 })
    expect(world.state.tables.token.get(child.id)?.expiresMs).toBe(world.state.tables.token.get(parent.id)?.expiresMs)
    expect(world.outcome('token.revoke', { id: parent.id })).toBe('done')
    for (const token of [parent, child, grandchild]) expect(world.state.tables.token.has(token.id)).toBe(false)
    expect(world.token(anna, { parentId: parent.id }).outcome).toBe('FORBIDDEN')
  })

  test('may do what both its bounds and its user allow', () => {
    const world = new People()
    const { nodeId } = world.formed
    for (const name of ['shop', 'bank']) world.project(name)
    const token = world.token(world.formed.adminId, { bindings: [{ role: 'operator', scope: 'project:shop' }] })
    const make = (project: string) => world.as({ kind: 'token', id: token.id }, 'vm.create', { ...world.vmPayload(nodeId, `vm-${world.state.index}`), project })
    expect(make('shop')).toBe('done')
    expect(make('bank')).toBe('FORBIDDEN')
    expect(make('default')).toBe('FORBIDDEN')
    expect(world.as({ kind: 'token', id: token.id }, 'project.create', { id: world.newId() as ProjectId, name: 'x', labels: {}, spec: { description: '' } })).toBe('FORBIDDEN')
  })
})
