// Who may do what: three roles, bound to the whole cluster or to a project.
import { OperationalError } from '../model/error.ts'
import { defaultProject } from '../model/resource.ts'
import { allows, allowsSomewhere, type Right, type Verb } from '../model/role.ts'
import type { Caller } from './face.ts'

/** Who has the control socket: root on this host, by the socket's mode. */
export function rootOnHost(hostName: string): Caller {
  return { actor: { kind: 'system', id: 'host', name: `root of ${hostName}`, address: '' }, userId: '', userName: 'root', bindings: [{ role: 'administrator', scope: '*' }], session: null }
}

/** @param project the resource's project; empty for what belongs to the cluster */
export function may(caller: Caller, verb: Verb, project: string): boolean {
  return allows(caller.bindings, verb, project)
}

/** Images of the project default are the cluster's library: whoever has a role anywhere sees them and makes VMs of them. */
export function maySeeImage(caller: Caller, image: { readonly project: string }): boolean {
  return may(caller, 'read', image.project) || (image.project === defaultProject && allowsSomewhere(caller.bindings, 'read'))
}

/** @throws FORBIDDEN */
export function authorize(caller: Caller, verb: Verb, project: string, what: string): void {
  if (may(caller, verb, project)) return
  throw new OperationalError('FORBIDDEN', `${caller.userName} may not ${verb} ${what}.`)
}

/** What a declared right asks, before its target is known. @throws FORBIDDEN */
export function requireRight(caller: Caller, right: Right): void {
  if (right === 'any' || right === 'own') return
  const [verb, scope] = right.split(' ') as [Verb, 'cluster' | 'project' | 'library']
  if (scope === 'cluster' ? may(caller, verb, '') : allowsSomewhere(caller.bindings, verb)) return
  throw new OperationalError('FORBIDDEN', `${caller.userName} may not ${verb} ${scope === 'cluster' ? 'the cluster' : 'any project'}.`)
}
