// A role as it is written on the command line: role, or role@project.
import { InvalidArgumentError } from 'commander'

export type Binding = { readonly role: string; readonly scope: string }

/** For an option that may be given again. */
export function collectBinding(text: string, former: readonly Binding[] = []): readonly Binding[] {
  const [role = '', project = null, ...rest] = text.split('@')
  if (role === '' || project === '' || rest.length > 0) throw new InvalidArgumentError('It takes role or role@project.')
  return [...former, { role, scope: project === null || project === '*' || project === 'cluster' ? 'cluster' : `project:${project}` }]
}
