// Made from the schemas themselves: whatever stands in a field that must not, the sentence says what is allowed, in words of ours and not of a library.
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { configSchema } from '../../../src/config.ts'
import { routeTable } from '../../../src/http/api/table.ts'
import { parseQuery } from '../../../src/http/query.ts'
import { clusterInitSchema } from '../../../src/model/cluster.ts'
import { OperationalError } from '../../../src/model/error.ts'
import { fieldErrorsOf } from '../../../src/model/field-error.ts'

const table = routeTable(() => new Response())
const bodies = new Map<string, z.ZodType>([['node.json', configSchema], ['cluster init', clusterInitSchema]])
for (const { body } of table) for (const ref of [body?.schema, body?.json]) if (ref !== undefined && ref !== 'binary') bodies.set(ref.name, ref.schema)

const junk: readonly unknown[] = [null, '', 'Ä b\u0007', 'x'.repeat(100_000), -1, 0, 1.5, 1e15, 1e300, true, [], ['x', 1], Array.from({ length: 300 }, () => ({})), {}, { odd: 1 }, { 'Ä b': 'x', '': 5 }]
const plain = /^(?:must (?:be|have|not|end|name) |is (?:missing|not known|not valid: [a-z]|not a valid|no |taken)|has )/
const raw = /Invalid|Too (?:small|big)|expected|received|regex|pattern|has a form that is not allowed|is not allowed/

type Shape = { readonly properties?: Readonly<Record<string, Shape>>; readonly items?: Shape; readonly anyOf?: readonly Shape[]; readonly additionalProperties?: Shape | boolean }

/** Paths to all fields, lists by their first entry. */
function pathsOf(shape: Shape, path: readonly string[] = []): (readonly string[])[] {
  return [
    path, ...Object.entries(shape.properties ?? {}).flatMap(([name, inner]) => pathsOf(inner, [...path, name])),
    ...(shape.items === undefined ? [] : pathsOf(shape.items, [...path, '0'])), ...(shape.anyOf ?? []).flatMap((inner) => pathsOf(inner, path)),
    ...(typeof shape.additionalProperties === 'object' ? pathsOf(shape.additionalProperties, [...path, 'key']) : []),
  ]
}

function holding(path: readonly string[], value: unknown): unknown {
  const [first, ...rest] = path
  if (first === undefined) return value
  return first === '0' ? [holding(rest, value)] : { [first]: holding(rest, value) }
}

test.each([...bodies].map(([name, schema]) => ({ name, schema })))('$name', ({ schema }) => {
  const shape = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Shape
  for (const path of pathsOf(shape)) {
    for (const value of junk) {
      const parsed = schema.safeParse(holding(path, value))
      for (const field of parsed.success ? [] : fieldErrorsOf(parsed.error)) {
        expect(field.message, `${field.path} with ${JSON.stringify(value).slice(0, 60)}`).toMatch(plain)
        expect(field.message, field.path).not.toMatch(raw)
      }
    }
  }
})

test.each(table.filter((route) => route.query !== undefined).map((route) => ({ name: `${route.method} ${route.path}`, query: route.query! })))('the query of $name', ({ query }) => {
  for (const [name] of Object.entries(query)) {
    for (const value of ['', 'fish', '-1', '1.5', '99999999999999', '\u0007', 'x'.repeat(5_000)]) {
      try {
        parseQuery(new URLSearchParams({ [name]: value }), query)
      } catch (error) {
        if (!(error instanceof OperationalError)) throw error
        for (const field of error.data.fields ?? []) {
          expect(field.message, `${name}=${value.slice(0, 20)}`).toMatch(/^(?:must |is required)/)
          expect(field.message).not.toMatch(raw)
        }
      }
    }
  }
})

describe('says what is allowed', () => {
  const cases: readonly (readonly [z.ZodType, unknown, string])[] = [
    [z.number().int().min(1).max(64), 0, 'must be at least 1'], [z.number().int().max(64), 65, 'must be at most 64'], [z.number().positive(), 0, 'must be more than 0'], [z.number().int(), 1.5, 'must be a whole number'],
    [z.string().min(1), '', 'must not be empty'], [z.string().max(63), 'x'.repeat(64), 'must have at most 63 characters'], [z.array(z.string()).max(1), ['a', 'b'], 'must have at most 1 entry'],
    [z.enum(['bios', 'uefi']), 'x', 'must be bios or uefi'], [z.enum(['a', 'b', 'c']), 1, 'must be a, b or c'], [z.literal('vm'), 'x', 'must be vm'], [z.boolean(), 'x', 'must be true or false'],
    [z.union([z.literal('all'), z.number().int()]), 'x', 'must be all or a number'], [z.record(z.string().regex(/^a/, 'is not a valid key'), z.string()), { b: 'x' }, 'is not a valid key'], [z.number().multipleOf(4), 6, 'must be a multiple of 4'],
  ]
  test.each(cases)('%#', (schema, value, message) => {
    const parsed = schema.safeParse(value)
    expect(parsed.success ? [] : fieldErrorsOf(parsed.error).map((field) => field.message)).toEqual([message])
  })
  test('of a union that is right in kind and wrong within, what is wrong within', () => {
    const parsed = z.union([z.strictObject({ image: z.string() }), z.string()]).safeParse({ image: 5, odd: 1 })
    expect(parsed.success ? [] : fieldErrorsOf(parsed.error)).toEqual([{ path: 'image', message: 'must be a text' }, { path: 'odd', message: 'is not known' }])
  })
})
