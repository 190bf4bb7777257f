// Expects a call to fail with one of our error codes.
import { expect } from 'vitest'
import { OperationalError, type ErrorCode } from '../../src/model/error.ts'

/** Shows the code, or whatever else came, in the failure. */
export async function expectCode(promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  const outcome: unknown = await promise.then(
    () => 'no error at all',
    (error: unknown) => (error instanceof OperationalError ? error.code : error),
  )
  expect(outcome).toBe(code)
}
