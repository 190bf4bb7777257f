// The last lines of the log: in order, and never more than the bound.
import { expect, test } from 'vitest'
import { LogMemory, logMemoryBytesMax } from '../../../../src/drivers/host/log-memory.ts'

test('the newest lines are kept, the oldest go', () => {
  const memory = new LogMemory()
  memory.take('first\n')
  expect(memory.lines()).toEqual(['first'])
  const line = `${'x'.repeat(1000)}\n`
  for (let at = 0; at < 2000; at += 1) memory.take(`${at} ${line}`)
  const lines = memory.lines()
  expect(lines.at(-1)).toMatch(/^1999 x/)
  expect(lines.join('\n').length).toBeLessThanOrEqual(logMemoryBytesMax)
  expect(lines.length).toBeGreaterThan(200)
  expect(lines.map((each) => Number.parseInt(each, 10))).toEqual(Array.from({ length: lines.length }, (_, at) => 2000 - lines.length + at))
})

test('one line longer than all is kept', () => {
  const memory = new LogMemory()
  memory.take('before\n')
  memory.take(`${'y'.repeat(2 * logMemoryBytesMax)}\n`)
  expect(memory.lines()).toHaveLength(1)
})
