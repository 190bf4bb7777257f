// Roles and their bindings: who (subject) may act as what (role) where (scope), and what follows from that.
import { z } from 'zod'
import { idSchema, nameSchema } from './id.ts'
import { resourceSchema } from './resource.ts'

export const roles = ['administrator', 'operator', 'viewer'] as const
export const roleSchema = z.enum(roles)
export type Role = z.infer<typeof roleSchema>

/** `read` looks; `operate` changes VMs and images; `administer` changes users, tokens of others, nodes, projects and the cluster. */
export type Verb = 'read' | 'operate' | 'administer'
const verbsOf: Readonly<Record<Role, readonly Verb[]>> = {
  administrator: ['read', 'operate', 'administer'],
  operator: ['read', 'operate'],
  viewer: ['read'],
}

/**
 * The right that a route of the API needs; the use case asks for it again, at the very thing.
 * `any`: whoever has a credential; lists hold what the caller may see. `own`: the owner, or who may administer the cluster.
 * `VERB cluster`: the verb in the whole cluster. `VERB project`: the verb in the thing's project. `read library`: any role at all.
 */
export type Right = 'any' | 'own' | `${Verb} cluster` | `${Verb} project` | 'read library'

export const clusterScope = 'cluster'
const projectPrefix = 'project:'
/** As commands and records of the first version hold it: "*" is the whole cluster, else a project's bare name. */
export const storedScopeSchema = z.string().max(71)
/** As people write it; `*` and a bare project name, the first version's forms, are taken too. */
export const scopeSchema = z
  .string()
  .max(71)
  .overwrite(canonicalScope)
  .refine((scope) => scope === clusterScope || nameSchema.safeParse(scope.slice(projectPrefix.length)).success, 'must be cluster or project:NAME')

/** Scope "*" and "cluster" are the whole cluster; "project:NAME" and a bare NAME are a project. */
export const roleBindingSchema = z.strictObject({ role: roleSchema, scope: storedScopeSchema })
export type RoleBinding = z.infer<typeof roleBindingSchema>
/** What people send: the scope comes out in its one form. */
export const roleBindingInputSchema = z.strictObject({ role: roleSchema, scope: scopeSchema.default(clusterScope).describe('cluster, or project:NAME') })
export const bindingsMax = 64

export const roleSpecSchema = z.strictObject({
  subject: z.strictObject({ kind: z.literal('user'), name: z.string() }),
  role: roleSchema,
  scope: z.string().describe('cluster, or project:NAME'),
})
export const roleStatusSchema = z.strictObject({ subjectId: idSchema })
export const roleBindingResourceSchema = resourceSchema('role', roleSpecSchema, roleStatusSchema)
export type RoleResource = z.output<typeof roleBindingResourceSchema>
/** Grants a role. A binding names itself after what it binds. */
export const roleGrantSchema = z.strictObject({
  spec: z.strictObject({
    subject: z.strictObject({ kind: z.literal('user').default('user'), name: z.string().max(63).describe('Name or id of the user') }),
    role: roleSchema,
    scope: scopeSchema.default(clusterScope).describe('cluster, or project:NAME'),
  }),
})

export function canonicalScope(scope: string): string {
  if (scope === '*' || scope === clusterScope) return clusterScope
  return scope.startsWith(projectPrefix) ? scope : `${projectPrefix}${scope}`
}

/** The project that a scope names; null for the cluster. */
export function projectOfScope(scope: string): string | null {
  const canonical = canonicalScope(scope)
  return canonical === clusterScope ? null : canonical.slice(projectPrefix.length)
}

export function scopeOfProject(project: string): string {
  return `${projectPrefix}${project}`
}

/** @param project the resource's project; empty for what belongs to the cluster */
export function allows(bindings: readonly RoleBinding[], verb: Verb, project: string): boolean {
  return bindings.some((binding) => {
    const scope = projectOfScope(binding.scope)
    return (scope === null || (project !== '' && scope === project)) && verbsOf[binding.role].includes(verb)
  })
}

/** Whether the verb is allowed in any place at all. */
export function allowsSomewhere(bindings: readonly RoleBinding[], verb: Verb): boolean {
  return bindings.some((binding) => verbsOf[binding.role].includes(verb))
}

/** Whether the bindings give all that `wanted` gives. */
export function covers(bindings: readonly RoleBinding[], wanted: RoleBinding): boolean {
  return allows(bindings, strongest(wanted.role), projectOfScope(wanted.scope) ?? '')
}

function strongest(role: Role): Verb {
  return verbsOf[role].at(-1)!
}

/** What both allow: of each pair the weaker role in the narrower scope. */
export function intersect(left: readonly RoleBinding[], right: readonly RoleBinding[]): readonly RoleBinding[] {
  const both = new Map<string, RoleBinding>()
  for (const one of left) {
    for (const other of right) {
      const scopes = [canonicalScope(one.scope), canonicalScope(other.scope)]
      const scope = scopes[0] === clusterScope ? scopes[1]! : scopes[0]!
      if (scopes[1] !== clusterScope && scopes[1] !== scope) continue
      const role = roles.indexOf(one.role) > roles.indexOf(other.role) ? one.role : other.role
      both.set(`${role} ${scope}`, { role, scope })
    }
  }
  return [...both.values()]
}

/** Each binding once, in its one form, in the order of roles and scopes. */
export function normalBindings(bindings: readonly RoleBinding[]): readonly RoleBinding[] {
  const normal = new Map(bindings.map(({ role, scope }) => [`${roles.indexOf(role)} ${canonicalScope(scope)}`, { role, scope: canonicalScope(scope) }]))
  return [...normal].toSorted(([left], [right]) => (left < right ? -1 : 1)).map(([, binding]) => binding)
}

export function isClusterAdministrator(bindings: readonly RoleBinding[]): boolean {
  return allows(bindings, 'administer', '')
}
