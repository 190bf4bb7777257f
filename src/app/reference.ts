// What a path element means where names are unique per project: an id, `project.name`, or a name that the caller's projects have once.
import { OperationalError } from '../model/error.ts'
import { isId } from '../model/id.ts'
import { defaultProject } from '../model/resource.ts'
import { findByRef } from '../state/query.ts'
import type { State, Tables } from '../state/state.ts'

/**
 * Undefined where the caller sees none. A bare name means that of the project default before any other.
 * @param sees whether the caller may know of it
 * @throws INVALID for a name that more than one of the other projects has
 */
export function findInProjects<Name extends 'vm' | 'image'>(state: State, table: Name, ref: string, sees: (record: Tables[Name]) => boolean): Tables[Name] | undefined {
  const seen = (project: string, name: string): Tables[Name] | undefined => {
    const record = findByRef(state, table, name, project)
    return record !== undefined && sees(record) ? record : undefined
  }
  // Names are DNS labels: a dot can only part project and name.
  const dot = ref.indexOf('.')
  if (dot > 0 && !isId(ref)) return seen(ref.slice(0, dot), ref.slice(dot + 1))
  const first = seen(defaultProject, ref)
  if (first !== undefined || isId(ref)) return first
  const found = [...state.tables.project.values()].flatMap((project) => seen(project.name, ref) ?? [])
  if (found.length > 1) {
    throw new OperationalError('INVALID', `${ref} is in ${found.map((record) => record.project).join(' and ')}: say ${found[0]!.project}.${ref}.`, { data: { fields: [{ path: 'name', message: 'is in more than one project' }] } })
  }
  return found[0]
}
