// Each of the 44 statements has a test that bears its number, and docs/raft.md names the tests that there are.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

const root = join(import.meta.dirname, '../../..')
const numbers = Array.from({ length: 44 }, (_, at) => at + 1)
/** A test, or a group of tests, whose name begins with the statement that it is about. */
const named = /^\s*(?:test|it|describe)(?:\.each\(.*?\))?\(['`](?:statements? (\d+(?:(?:, | and )\d+)*)|(\d+(?:, \d+)*): )/gm

function statementsNamed(): Set<number> {
  const found = new Set<number>()
  for (const name of readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.test.ts')) continue
    for (const match of readFileSync(join(root, 'test', name), 'utf8').matchAll(named)) for (const number of (match[1] ?? match[2] ?? '').matchAll(/\d+/g)) found.add(Number(number[0]))
  }
  return found
}

/** Rows of the table: statement, and the cells of its tests. */
function tableRows(): Map<number, string> {
  const text = readFileSync(join(root, 'docs/raft.md'), 'utf8')
  return new Map([...text.slice(text.indexOf('## Statement → test')).matchAll(/^\| (\d+) \| .*? \| (.*) \|$/gm)].map((row) => [Number(row[1]), row[2] ?? '']))
}

describe('the 44 statements', () => {
  test('each is in the name of a test', () => {
    const found = statementsNamed()
    expect(numbers.filter((number) => !found.has(number))).toEqual([])
  })

  test('each has its row in the table', () => {
    expect([...tableRows().keys()]).toEqual(numbers)
  })

  test.each([...tableRows()])('the tests that the table names for statement %d exist', (_number, cells) => {
    const parts = cells.split('<br>').map((cell) => /^`(.+?)`: (.+)$/.exec(cell))
    expect(parts.length).toBeGreaterThan(0)
    for (const part of parts) {
      const [, file = '', titles = ''] = part ?? []
      expect(existsSync(join(root, file)), file).toBe(true)
      const text = readFileSync(join(root, file), 'utf8')
      for (const [, title = ''] of titles.matchAll(/\*(.+?)\*(?:; |$)/g)) expect(text, file).toContain(title)
      expect(titles).toMatch(/^\*.+\*$/)
    }
  })
})
