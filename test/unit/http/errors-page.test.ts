// docs/errors.md and the table of codes say the same.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { errorTable } from '../../../src/model/error.ts'

const page = readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8')
const rowsOf = (text: string) => [...text.matchAll(/^\| `([A-Z_]+)` \| (\d{3}) \| (.+?) \| (.+?) \|$/gm)].map(([, code = '', status, meaning = '', action = '']) => ({ code, status: Number(status), meaning, action }))

test('each code stands once, with its status, a meaning and what to do', () => {
  const rows = rowsOf(page)
  expect(rows.map(({ code, status }) => ({ code, status })).toSorted((left, right) => left.code.localeCompare(right.code)))
    .toEqual(Object.entries(errorTable).map(([code, { status }]) => ({ code, status })).toSorted((left, right) => left.code.localeCompare(right.code)))
  for (const { meaning, action } of rows) {
    expect(meaning).toMatch(/\.$/)
    expect(action.length).toBeGreaterThan(3)
  }
})

test('a row that is missing or wrong is found', () => {
  expect(rowsOf(page.replace(/^\| `INVALID`.*$/m, '')).some(({ code }) => code === 'INVALID')).toBe(false)
  expect(rowsOf('| `INVALID` | 400 | x. | correct |')).toEqual([{ code: 'INVALID', status: 400, meaning: 'x.', action: 'correct' }])
})
