// Lists: filter, sort and page by keyset, the same for every noun.
import { OperationalError } from '../model/error.ts'
import type { ListQuery, Page } from './face.ts'

export type SortValue = string | number
/** How a noun is listed. Field names serve `sort` and `filter` alike. */
export type ListShape<Record> = {
  readonly id: (record: Record) => string
  readonly name: (record: Record) => string
  readonly labels: (record: Record) => Readonly<{ [key: string]: string }>
  readonly fields: Readonly<{ [field: string]: (record: Record) => SortValue }>
  readonly sortDefault: string
  /** Terms of the filter that ask for more than sameness: `since:24h`. @throws INVALID (as OperationalError) for what cannot be read */
  readonly terms?: Readonly<{ [term: string]: (wanted: string) => (record: Record) => boolean }>
}

export const limitMax = 1000

/** @throws INVALID for an unknown field or a cursor that is none */
export function listPage<Record, View>(records: Iterable<Record>, shape: ListShape<Record>, query: ListQuery, view: (record: Record) => View): Page<View> {
  const { field, descending } = parseSort(shape, query.sort)
  const value = shape.fields[field]!
  const matches = compileFilter(shape, query.filter)
  const matching: { readonly record: Record; readonly key: SortValue; readonly id: string }[] = []
  for (const record of records) if (matches(record)) matching.push({ record, key: value(record), id: shape.id(record) })
  const sign = descending ? -1 : 1
  const compare = (left: { key: SortValue; id: string }, right: { key: SortValue; id: string }) => sign * (compareValues(left.key, right.key) || compareValues(left.id, right.id))
  matching.sort(compare)
  const cursor = query.after === null ? null : parseCursor(query.after, field)
  const from = cursor === null ? 0 : firstAfter(matching, (entry) => compare(entry, cursor) > 0)
  const limit = Math.min(limitMax, Math.max(1, query.limit))
  const page = matching.slice(from, from + limit)
  const last = page.at(-1)
  const next = last !== undefined && from + limit < matching.length ? renderCursor(field, last.key, last.id) : null
  return { items: page.map((entry) => view(entry.record)), next, total: matching.length }
}

function compareValues(left: SortValue, right: SortValue): number {
  if (left === right) return 0
  return left < right ? -1 : 1
}

/** Binary search in a sorted list. */
function firstAfter<T>(sorted: readonly T[], isAfter: (entry: T) => boolean): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (isAfter(sorted[middle]!)) high = middle
    else low = middle + 1
  }
  return low
}

function parseSort<Record>(shape: ListShape<Record>, sort: string | null): { readonly field: string; readonly descending: boolean } {
  const text = sort ?? shape.sortDefault
  const descending = text.startsWith('-')
  const field = descending ? text.slice(1) : text
  if (Object.hasOwn(shape.fields, field)) return { field, descending }
  throw invalid('sort', `must be one of ${Object.keys(shape.fields).join(', ')}`)
}

function renderCursor(field: string, key: SortValue, id: string): string {
  return Buffer.from(JSON.stringify([field, key, id])).toString('base64url')
}

function parseCursor(text: string, field: string): { readonly key: SortValue; readonly id: string } {
  try {
    const [cursorField, key, id] = JSON.parse(Buffer.from(text, 'base64url').toString()) as unknown[]
    if (cursorField === field && (typeof key === 'string' || typeof key === 'number') && typeof id === 'string') return { key, id }
  } catch {
    // Falls through: it is no cursor of ours.
  }
  throw invalid('after', 'is no cursor of this list in this order')
}

const termsMax = 20

/** @throws INVALID for more terms than are looked at, and for fields that there are not */
export function compileFilter<Record>(shape: ListShape<Record>, filter: string | null): (record: Record) => boolean {
  const terms = (filter ?? '').trim().split(/\s+/).filter((term) => term !== '')
  if (terms.length > termsMax) throw invalid('filter', `must have at most ${termsMax} terms`)
  const tests = terms.map((term) => compileTerm(shape, term))
  return (record) => tests.every((test) => test(record))
}

function compileTerm<Record>(shape: ListShape<Record>, term: string): (record: Record) => boolean {
  if (term.startsWith('-') && term.length > 1) {
    const positive = compileTerm(shape, term.slice(1))
    return (record) => !positive(record)
  }
  const colon = term.indexOf(':')
  if (colon < 0) {
    const part = term.toLowerCase()
    return (record) => shape.name(record).toLowerCase().includes(part) || shape.id(record) === part
  }
  const field = term.slice(0, colon)
  const wanted = term.slice(colon + 1)
  if (field === 'label') return labelTest(shape, wanted)
  const special = shape.terms !== undefined && Object.hasOwn(shape.terms, field) ? shape.terms[field] : undefined
  if (special !== undefined) return special(wanted)
  const value = Object.hasOwn(shape.fields, field) ? shape.fields[field] : undefined
  if (value === undefined) throw invalid('filter', `knows label and ${[...Object.keys(shape.fields), ...Object.keys(shape.terms ?? {})].join(', ')}, not ${field}`)
  return (record) => String(value(record)).toLowerCase() === wanted.toLowerCase()
}

function labelTest<Record>(shape: ListShape<Record>, wanted: string): (record: Record) => boolean {
  const equals = wanted.indexOf('=')
  if (equals < 0) return (record) => Object.hasOwn(shape.labels(record), wanted)
  return (record) => shape.labels(record)[wanted.slice(0, equals)] === wanted.slice(equals + 1)
}

function invalid(path: string, message: string): OperationalError {
  return new OperationalError('INVALID', `${path} ${message}.`, { data: { fields: [{ path, message }] } })
}
