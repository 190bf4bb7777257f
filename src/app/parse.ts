// Input from a face → typed values, or INVALID with a path for each wrong field.
import type { z } from 'zod'
import { OperationalError, type FieldError } from '../model/error.ts'

const fieldsMax = 50

/** @throws INVALID */
export function parseInput<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> {
  const parsed = schema.safeParse(input)
  if (parsed.success) return parsed.data
  const fields = parsed.error.issues.slice(0, fieldsMax).flatMap(fieldErrors)
  const first = fields[0]
  const detail = first === undefined ? 'The input is not valid.' : `${first.path === '' ? 'The input' : first.path} ${first.message}.`
  throw new OperationalError('INVALID', fields.length > 1 ? `${detail} ${fields.length - 1} more.` : detail, { data: { fields } })
}

function fieldErrors(issue: z.core.$ZodIssue): readonly FieldError[] {
  const path = issue.path.map(String)
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => ({ path: [...path, key].join('.'), message: 'is not known' }))
  return [{ path: path.join('.'), message: sentence(issue) }]
}

function sentence(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_type') return issue.input === undefined ? 'is missing' : `must be ${issue.expected}`
  return issue.message.startsWith('must') || issue.message.startsWith('is ') ? issue.message : `is not valid: ${issue.message}`
}
