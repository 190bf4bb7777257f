// Sentences that are put together of others end once: at the root of every message that a person reads.
import { describe, expect, test } from 'vitest'
import { Failure } from '../../../src/cli/io.ts'
import { errorTable, OperationalError, type ErrorCode } from '../../../src/model/error.ts'
import { clauseOf, endOnce } from '../../../src/model/sentence.ts'

describe('a text', () => {
  test.each([
    ['It failed: no such file.. Nothing was changed.', 'It failed: no such file. Nothing was changed.'],
    ['It failed: it is so..', 'It failed: it is so.'],
    ['It waits: it was refused.; see there.', 'It waits: it was refused; see there.'],
    ['One. Two.', 'One. Two.'],
    ['Wait...', 'Wait...'],
    ['cd .. and look in /var/lib/.. or a/.. there', 'cd .. and look in /var/lib/.. or a/.. there'],
    ['1..7 of v0.1.0', '1..7 of v0.1.0'],
  ])('%s', (text, expected) => {
    expect(endOnce(text)).toBe(expected)
  })
  test('a sentence becomes a clause', () => {
    expect(['It is so.', 'it is so', 'Wait...', 'see /a/.'].map(clauseOf)).toEqual(['It is so', 'it is so', 'Wait...', 'see /a/.'])
  })
})

test('whatever the code, an error whose cause is a sentence ends once, here and on the command line', () => {
  const cause = new OperationalError('NO_QUORUM', 'There is no leader. Nothing was changed.')
  for (const code of Object.keys(errorTable) as ErrorCode[]) {
    const error = new OperationalError(code, `n2 could not do it: ${cause.message}. Try again; it said: ${cause.message}.`)
    expect(error.message).toBe('n2 could not do it: There is no leader. Nothing was changed. Try again; it said: There is no leader. Nothing was changed.')
    expect(new Failure(1, code, `It broke off: ${error.message}.`).message).not.toContain('..')
  }
})
