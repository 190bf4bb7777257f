// What a schema found, in words: one sentence for each wrong place.
import { expect, test } from 'vitest'
import { fieldErrorsOf } from '../../../src/model/field-error.ts'
import { vmCreateSchema } from '../../../src/model/vm.ts'

function found(input: unknown): readonly string[] {
  const parsed = vmCreateSchema.safeParse(input)
  return parsed.success ? [] : fieldErrorsOf(parsed.error).map((field) => `${field.path} ${field.message}`)
}

test('unknown fields are named one by one, wherever they are', () => {
  expect(found({ name: 'web', a: 1, b: 2, spec: { cpus: 1, memoryMiB: 128, disks: [{ name: 'root', sizeGiB: 1, size: 2 }] } })).toEqual(['spec.disks.0.size is not known', 'a is not known', 'b is not known'])
})

test('a place with two faults is named once', () => {
  expect(found({ name: 'A'.repeat(64), spec: { cpus: 1, memoryMiB: 128 } })).toEqual(['name must have at most 63 characters'])
})

test('no more than fifty, whatever is sent', () => {
  expect(found({ name: 'web', spec: { cpus: 1, memoryMiB: 128 }, ...Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`field${at}`, at])) })).toHaveLength(50)
})
