// Records of users, tokens, role bindings and projects → resources as answered.
import type { Project, StoredProject } from '../model/project.ts'
import { normalBindings, type RoleBinding, type RoleResource } from '../model/role.ts'
import type { StoredToken, Token } from '../model/token.ts'
import type { StoredUser, User } from '../model/user.ts'
import { digestOf, digestText } from '../state/canonical.ts'
import { may, maySeeImage } from './authorize.ts'
import { isoTime, type AppContext } from './context.ts'
import type { Caller } from './face.ts'

export function presentUser(context: AppContext, user: StoredUser): User {
  let seenMs: number | null = null
  for (const session of context.sightings.sessions()) if (session.userId === user.id) seenMs = Math.max(seenMs ?? 0, session.seenMs)
  return {
    id: user.id, kind: 'user', name: user.name, project: '', labels: user.labels, revision: user.revision, generation: user.generation,
    spec: { ...user.spec, bindings: [...normalBindings(user.spec.bindings)] },
    status: { createdAt: isoTime(user.createdMs), passwordChangedAt: isoTime(user.passwordChangedMs), lastSeenAt: seenMs === null ? null : isoTime(seenMs) },
  }
}

export function presentToken(context: AppContext, token: StoredToken): Token {
  const used = context.sightings.token(token.id)
  const { bindings, ...spec } = token.spec
  return {
    id: token.id, kind: 'token', name: token.name, project: '', labels: token.labels, revision: token.revision, generation: token.generation,
    spec: { ...spec, ...(bindings === undefined ? {} : { bindings: [...normalBindings(bindings)] }) },
    status: {
      user: context.state.tables.user.get(token.userId)?.name ?? token.userId,
      createdAt: isoTime(token.createdMs),
      expiresAt: token.expiresMs === null ? null : isoTime(token.expiresMs),
      revoked: token.revokedMs !== null,
      lastUsedAt: used === undefined ? null : isoTime(used.usedMs),
      lastUsedFrom: used === undefined || used.address === '' ? null : used.address,
      parent: token.parentId ?? null,
    },
  }
}

const nameCharactersMax = 63

/** A binding lies in its user's record; its id follows from what it binds. */
export function presentRole(user: StoredUser, binding: RoleBinding): RoleResource {
  const id = roleId(user.id, binding)
  const full = [user.name, binding.role, binding.scope.replace(':', '-')].join('-')
  return {
    id, kind: 'role', project: '', labels: {}, revision: user.revision, generation: 1,
    name: full.length <= nameCharactersMax ? full : `${full.slice(0, nameCharactersMax - 9)}-${id.slice(-8)}`,
    spec: { subject: { kind: 'user', name: user.name }, role: binding.role, scope: binding.scope },
    status: { subjectId: user.id },
  }
}

/** In the form of a UUID of version 8 (RFC 9562 §5.8). */
function roleId(userId: string, { role, scope }: RoleBinding): string {
  const whole = ['0', '1'].map((part) => digestText(digestOf(`${part} ${userId} ${role} ${scope}`))).join('')
  return `${whole.slice(0, 8)}-${whole.slice(8, 12)}-8${whole.slice(13, 16)}-8${whole.slice(17, 20)}-${whole.slice(20, 32)}`
}

/** Counts what the caller may see of it. */
export function presentProject(context: AppContext, caller: Caller, project: StoredProject): Project {
  const { vm, image } = context.state.tables
  const seesVms = may(caller, 'read', project.name)
  return {
    id: project.id, kind: 'project', name: project.name, project: '', labels: project.labels, revision: project.revision, generation: project.generation, spec: project.spec,
    status: {
      vms: seesVms ? countOf(vm.values(), project.name) : 0,
      images: maySeeImage(caller, { project: project.name }) ? countOf(image.values(), project.name) : 0,
      createdAt: isoTime(project.createdMs),
    },
  }
}

function countOf(records: Iterable<{ readonly project: string }>, project: string): number {
  let count = 0
  for (const record of records) if (record.project === project) count++
  return count
}
