// node.json: time-outs of consensus have defaults and bounds, and what is wrong is told in words.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadConfig } from '../../../src/config.ts'

let directory = ''
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'nc-config-'))
})
afterAll(() => rmSync(directory, { recursive: true }))

const consensusOf = async (consensus: object | undefined) => {
  const path = join(directory, 'node.json')
  writeFileSync(path, JSON.stringify({ name: 'n1', advertise: '192.0.2.1', ...(consensus === undefined ? {} : { consensus }) }))
  return (await loadConfig(path)).consensus
}

test('time-outs have defaults, each by itself', async () => {
  expect(await consensusOf(undefined)).toEqual({ heartbeatMs: 250, electionMs: 1000, lostMs: 10_000, steadyMs: 30_000, leaseReads: false })
  expect(await consensusOf({ electionMs: 3000 })).toEqual({ heartbeatMs: 250, electionMs: 3000, lostMs: 10_000, steadyMs: 30_000, leaseReads: false })
})

test.each([
  [{ heartbeatMs: 300 }, /consensus\.electionMs must be at least four times heartbeatMs/],
  [{ electionMs: 20_000 }, /consensus\.lostMs must be at least twice electionMs/],
  [{ heartbeatMs: 1 }, /consensus\.heartbeatMs must be at least 20/],
  [{ heartbeat: 100 }, /consensus/],
])('%j is refused', async (consensus, message) => {
  await expect(consensusOf(consensus)).rejects.toThrow(message)
})
