// Errors of a write at the fields of the form that asked for it.
import { problemOf } from './write.ts'

/**
 * @param form.paths path in the request's body → name of the field; `otherwise` is the field of an error that names none
 * @throws what is no operating fault
 */
export function fieldErrorsOf(error: unknown, form: { readonly paths: Readonly<Record<string, string>>; readonly otherwise: string; readonly prefix?: string }): Readonly<Record<string, string>> {
  const problem = problemOf(error)
  const prefix = form.prefix ?? ''
  const errors: Record<string, string> = {}
  for (const field of problem.fields) {
    const name = form.paths[field.path]
    if (name !== undefined) errors[prefix + name] ??= `${field.message.charAt(0).toUpperCase()}${field.message.slice(1)}.`
  }
  if (Object.keys(errors).length === 0) errors[prefix + form.otherwise] = problem.detail
  return errors
}
