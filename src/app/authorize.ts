// Who may do what: three roles, bound to the whole cluster or to a project.
import { OperationalError } from '../model/error.ts'
import type { Role } from '../model/user.ts'
import type { Caller } from './face.ts'

/** `read` looks; `operate` changes VMs and images; `administer` changes users, tokens of others, nodes and the cluster. */
export type Verb = 'read' | 'operate' | 'administer'

const verbsOf: Readonly<Record<Role, readonly Verb[]>> = {
  administrator: ['read', 'operate', 'administer'],
  operator: ['read', 'operate'],
  viewer: ['read'],
}

/** @param project the resource's project; empty for what belongs to the cluster */
export function may(caller: Caller, verb: Verb, project: string): boolean {
  return caller.bindings.some((binding) => (binding.scope === '*' || (project !== '' && binding.scope === project)) && verbsOf[binding.role].includes(verb))
}

/** @throws FORBIDDEN */
export function authorize(caller: Caller, verb: Verb, project: string, what: string): void {
  if (may(caller, verb, project)) return
  throw new OperationalError('FORBIDDEN', `${caller.userName} may not ${verb} ${what}.`)
}
