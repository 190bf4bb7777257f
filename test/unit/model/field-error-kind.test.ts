// A field of the wrong type is said to be wrong, one that is absent to be missing.
import { expect, test } from 'vitest'
import { fieldErrorsOf } from '../../../src/model/field-error.ts'
import { vmCreateSchema } from '../../../src/model/vm.ts'

test.each([
  [{ name: 5, spec: { cpus: 'x' } }, [['name', 'must be a text'], ['spec.cpus', 'must be a number'], ['spec.memoryMiB', 'is missing']]],
  [null, [['', 'must be an object']]],
  [[], [['', 'must be an object']]],
])('%j', (input, fields) => {
  const parsed = vmCreateSchema.safeParse(input)
  expect(parsed.success ? [] : fieldErrorsOf(parsed.error).map(({ path, message }) => [path, message])).toEqual(fields)
})
