// Input from a face → typed values, or INVALID with a path for each wrong field.
import type { z } from 'zod'
import { OperationalError } from '../model/error.ts'
import { fieldErrorsOf } from '../model/field-error.ts'

/** @throws INVALID */
export function parseInput<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> {
  const parsed = schema.safeParse(input)
  if (parsed.success) return parsed.data
  const fields = fieldErrorsOf(parsed.error)
  const first = fields[0]
  const detail = first === undefined ? 'The input is not valid.' : `${first.path === '' ? 'The input' : first.path} ${first.message}.`
  throw new OperationalError('INVALID', fields.length > 1 ? `${detail} ${fields.length - 1} more.` : detail, { data: { fields } })
}
