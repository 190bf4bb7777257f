// Wrong input in words: what a schema found, as a path and a sentence for each wrong field.
import type { z } from 'zod'
import type { FieldError } from './error.ts'

const fieldErrorsMax = 50

/** One for each wrong place, the first that was found; unknown fields are named one by one. At most 50. */
export function fieldErrorsOf(error: z.core.$ZodError): readonly FieldError[] {
  const byPath = new Map<string, FieldError>()
  for (const field of error.issues.flatMap(ofIssue)) if (!byPath.has(field.path)) byPath.set(field.path, field)
  return [...byPath.values()].slice(0, fieldErrorsMax)
}

function ofIssue(issue: z.core.$ZodIssue): readonly FieldError[] {
  const path = issue.path.map(String)
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => ({ path: [...path, key].join('.'), message: 'is not known' }))
  return [{ path: path.join('.'), message: sentence(issue) }]
}

/** The input itself is not in the issue, for it may be a password; the message tells what kind of value came. */
function sentence(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_type') return issue.message.endsWith('received undefined') ? 'is missing' : `must be ${issue.expected}`
  return issue.message.startsWith('must') || issue.message.startsWith('is ') ? issue.message : `is not valid: ${issue.message}`
}
