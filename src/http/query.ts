// Query parameters: declared as data, so that the parser and the OpenAPI document cannot differ.
import { z } from 'zod'
import type { ListQuery } from '../app/face.ts'
import { OperationalError, type FieldError } from '../model/error.ts'
import { fieldErrorsOf } from '../model/field-error.ts'

export type QueryParameters = Readonly<Record<string, { readonly schema: z.ZodType<QueryValue | undefined>; readonly from: 'integer' | 'boolean' | 'text'; readonly required?: true }>>
export type QueryValue = string | number | boolean
export type Query = Readonly<Record<string, QueryValue>>

const text = (max: number) => z.string().max(max).regex(/^[^\u0000-\u001f\u007f]*$/, 'must not hold control characters')

/** Of every read. */
export const readParameters = {
  minIndex: { from: 'integer', schema: z.number().int().min(0).describe('Answer only once this node has applied this index; OUTCOME_UNKNOWN after 5 seconds') },
  consistent: { from: 'boolean', schema: z.boolean().describe('Linearizable: ask the leader for the newest index first; NO_QUORUM without one') },
} as const satisfies QueryParameters
export const listParameters = {
  ...readParameters,
  limit: { from: 'integer', schema: z.number().int().min(1).max(1000).default(100).describe('Items of a page') },
  after: { from: 'text', schema: text(1024).describe('Cursor: `next` of the page before') },
  sort: { from: 'text', schema: text(64).describe('A field, with - in front for descending') },
  filter: { from: 'text', schema: text(1024).describe('Words separated by blanks: web, phase:running, node:n1, label:tier=web, -phase:stopped') },
} as const satisfies QueryParameters
/** Of every write. */
export const writeParameters = {
  dryRun: { from: 'boolean', schema: z.boolean().describe('Change nothing; answer with the difference it would make') },
} as const satisfies QueryParameters

/** @throws INVALID for parameters that are unknown, come twice, or do not fit */
export function parseQuery(search: URLSearchParams, parameters: QueryParameters): Query {
  const query: Record<string, QueryValue> = {}
  const fields: FieldError[] = []
  for (const [name, value] of search) {
    const parameter = Object.hasOwn(parameters, name) ? parameters[name] : undefined
    if (parameter === undefined) fields.push({ path: name, message: 'is not a parameter of this request' })
    else if (Object.hasOwn(query, name)) fields.push({ path: name, message: 'is given more than once' })
    else {
      const converted = convert(value, parameter.from)
      const parsed = parameter.schema.safeParse(converted)
      if (!parsed.success) fields.push({ path: name, message: parameter.from === 'integer' && typeof converted === 'string' ? 'must be a whole number' : (fieldErrorsOf(parsed.error)[0]?.message ?? 'is not allowed') })
      else if (parsed.data !== undefined) query[name] = parsed.data
    }
  }
  for (const [name, parameter] of Object.entries(parameters)) {
    if (parameter.required && !search.has(name)) fields.push({ path: name, message: 'is required' })
    const byDefault = Object.hasOwn(query, name) || search.has(name) ? undefined : parameter.schema.safeParse(undefined)
    if (byDefault?.success && byDefault.data !== undefined) query[name] = byDefault.data
  }
  if (fields.length > 0) throw new OperationalError('INVALID', `The query is not valid: ${fields[0]!.path} ${fields[0]!.message}.`, { data: { fields } })
  return query
}

/** What a request without a query comes to; null where it needs one. */
export function emptyQuery(parameters: QueryParameters): Query | null {
  if (Object.values(parameters).some(({ required }) => required)) return null
  return parseQuery(new URLSearchParams(), parameters)
}

function convert(value: string, from: 'integer' | 'boolean' | 'text'): unknown {
  switch (from) {
    case 'integer':
      return /^\d{1,15}$/.test(value) ? Number(value) : value
    case 'boolean':
      return value === 'true' ? true : value === 'false' ? false : value
    case 'text':
      return value
  }
}

/** What `listParameters` became. */
export function listQueryOf(query: Query): ListQuery {
  const optional = (name: string) => (query[name] === undefined ? null : String(query[name]))
  return { limit: Number(query['limit']), after: optional('after'), sort: optional('sort'), filter: optional('filter') }
}
