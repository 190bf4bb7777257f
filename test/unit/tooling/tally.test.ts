// The test runner counts right: a run that is cut short, skips silently or does not load cannot pass.
import { describe, expect, test } from 'vitest'
import { coverageByRoom } from '../../runner/coverage.ts'
import { judgeSkips, nothing, tallyTap, tallyVitest } from '../../runner/tally.ts'

describe('TAP', () => {
  test('counts the outer level', () => {
    const text = 'TAP version 14\n# Subtest: one\n    ok 1 - inner\n    1..1\nok 1 - one # time=3ms\nnot ok 2 - two # time=1ms\n1..2\n'
    expect(tallyTap(text, 'a.test.ts')).toEqual({ passed: 1, failed: 1, failures: ['a.test.ts: two'], skipped: [] })
  })

  test('finds skips at every level', () => {
    const text = 'TAP version 14\n    ok 1 - inner # SKIP no time\n    1..1\nok 1 - one\nok 2 - two # TODO later\n1..2\n'
    expect(tallyTap(text, 'a')).toMatchObject({ passed: 1, failed: 0, skipped: ['inner', 'two'] })
  })

  test.each(['', 'ok 1 - one\n', 'ok 1 - one\n1..2\n', '1..1\n', 'Bail out! no lab\n1..0\n'])('a stream cut short fails: %j', (text) => {
    expect(tallyTap(text, 'a').failed).toBeGreaterThan(0)
  })
})

describe('vitest', () => {
  const file = (status: string, ...assertions: readonly string[]) => ({ name: 'x.test.ts', status, message: 'boom', assertionResults: assertions.map((each, index) => ({ fullName: `t${index}`, status: each })) })

  test('counts tests', () => {
    expect(tallyVitest({ testResults: [file('failed', 'passed', 'failed', 'skipped', 'todo')] })).toEqual({ passed: 1, failed: 1, failures: ['t1'], skipped: ['t2', 't3'] })
  })

  test('a file that does not load fails', () => {
    expect(tallyVitest({ testResults: [file('failed')] }).failures).toEqual(['x.test.ts: boom'])
  })
})

describe('skips', () => {
  test('a skip fails unless the list names the hardware it lacks', () => {
    const tally = { ...nothing, skipped: ['kvm works', 'lazy'] }
    expect(judgeSkips(tally, [{ test: 'kvm works', hardware: 'a KVM that runs guest instructions' }])).toMatchObject({ failed: 1, failures: [expect.stringContaining('lazy')] })
    expect(() => judgeSkips(tally, [{ test: 'lazy', hardware: '' }])).toThrow('hardware')
  })
})

test('coverage is summed by room', () => {
  const of = (covered: number) => ({ lines: { total: 10, covered }, functions: { total: 1, covered: 1 }, branches: { total: 0, covered: 0 } })
  const rooms = coverageByRoom({ total: of(0), '/r/src/raft/a.ts': of(10), '/r/src/raft/b/c.ts': of(5), '/r/src/drivers/libvirt/x.ts': of(1), '/r/src/node.ts': of(2) }, '/r')
  expect(rooms.map(({ room, lines }) => [room, lines])).toEqual([['src', 20], ['src/drivers/libvirt', 10], ['src/raft', 75]])
})
