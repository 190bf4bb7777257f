// Wrong input in words: what a schema found, as a path and a sentence for each wrong field.
import type { z } from 'zod'
import type { FieldError } from './error.ts'

const fieldErrorsMax = 50
const choicesShownMax = 12

/** One for each wrong place, the first that was found; unknown fields are named one by one. At most 50. */
export function fieldErrorsOf(error: z.core.$ZodError): readonly FieldError[] {
  const byPath = new Map<string, FieldError>()
  for (const field of error.issues.flatMap((issue) => ofIssue(issue, []))) if (!byPath.has(field.path)) byPath.set(field.path, field)
  return [...byPath.values()].slice(0, fieldErrorsMax)
}

function ofIssue(issue: z.core.$ZodIssue, within: readonly PropertyKey[]): readonly FieldError[] {
  const path = [...within, ...issue.path]
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => ({ path: textOf([...path, key]), message: 'is not known' }))
  if (issue.code === 'invalid_union') {
    // A form that is right in kind and wrong within tells more than all that it is not.
    const inner = issue.errors.find((branch) => branch.length > 0 && branch.every(isWithin))
    if (inner !== undefined) return inner.flatMap((each) => ofIssue(each, path))
  }
  return [{ path: textOf(path), message: sentence(issue) }]
}

function textOf(path: readonly PropertyKey[]): string {
  return path.map(String).join('.')
}

function isWithin(issue: z.core.$ZodIssue): boolean {
  return issue.path.length > 0 || issue.code === 'unrecognized_keys'
}

/** The input itself is not in the issue, for it may be a password; the message tells what kind of value is allowed. */
function sentence(issue: z.core.$ZodIssue): string {
  // The schema's own words go before those made here; zod's all begin so.
  if (!/^(?:Invalid|Too|Unrecognized)\b/.test(issue.message)) return /^(?:must|is|has) /.test(issue.message) ? issue.message : `is not valid: ${issue.message}`
  switch (issue.code) {
    case 'invalid_type':
      return issue.message.endsWith('received undefined') ? 'is missing' : `must be ${kinds[issue.expected] ?? issue.expected}`
    case 'too_small':
      return bound(issue.origin, { limit: issue.minimum, word: issue.exact === true ? 'exactly' : 'at least', beyond: issue.inclusive === false ? 'more than' : null })
    case 'too_big':
      return bound(issue.origin, { limit: issue.maximum, word: issue.exact === true ? 'exactly' : 'at most', beyond: issue.inclusive === false ? 'less than' : null })
    case 'invalid_value':
      return `must be ${either(issue.values.map(String))}`
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}`
    case 'invalid_union':
      return alternatives(issue.errors.flatMap((branch) => branch.slice(0, 1).map(sentence)))
    case 'invalid_key':
    case 'invalid_element':
      return issue.issues[0] === undefined ? 'is not allowed' : sentence(issue.issues[0])
    case 'invalid_format':
      return formats[issue.format] ?? 'has a form that is not allowed'
    case 'unrecognized_keys':
      return 'is not known'
    case 'custom':
      return 'is not allowed'
  }
}

const kinds: Readonly<Record<string, string>> = {
  string: 'a text', number: 'a number', int: 'a whole number', boolean: 'true or false', array: 'a list', object: 'an object', record: 'an object', null: 'null', date: 'a time',
}
const formats: Readonly<Record<string, string>> = { url: 'must be an address like https://example.org/', email: 'must be an e-mail address', uuid: 'must be a UUID', datetime: 'must be a time like 2026-11-20T14:00:00Z' }

function bound(origin: string, { limit, word, beyond }: { readonly limit: number | bigint; readonly word: string; readonly beyond: string | null }): string {
  if (origin === 'string') return word === 'at least' && Number(limit) === 1 ? 'must not be empty' : `must have ${word} ${limit} character${Number(limit) === 1 ? '' : 's'}`
  if (origin === 'number' || origin === 'int' || origin === 'bigint') return `must be ${beyond ?? word} ${limit}`
  return `must have ${word} ${limit} ${Number(limit) === 1 ? 'entry' : 'entries'}`
}

/** "bios or uefi"; of many the first. */
function either(choices: readonly string[]): string {
  if (choices.length > choicesShownMax) return `one of ${choices.slice(0, choicesShownMax).join(', ')}…`
  return choices.length < 2 ? choices.join('') : `${choices.slice(0, -1).join(', ')} or ${choices.at(-1) ?? ''}`
}

/** "must be all or a whole number". */
function alternatives(sentences: readonly string[]): string {
  const rests = sentences.filter((each) => each.startsWith('must be ')).map((each) => each.slice('must be '.length))
  return rests.length === sentences.length && rests.length > 0 ? `must be ${either([...new Set(rests)])}` : (sentences[0] ?? 'is not allowed')
}
