// The list of members outlives the state: found by wiping the state of the node that founded a cluster, which had never joined anybody and then knew nobody.
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { MembersFile } from '../../../src/members-file.ts'
import { recordingLog, type LogLine } from '../http/harness.ts'

let dataDir: string
const lines: LogLine[] = []
const log = recordingLog(lines)
const open = (clusterId = 'one') => new MembersFile({ dataDir, clusterId }, log)
const member = (name: string) => ({ nodeId: `id-${name}`, name, peerId: `peer-${name}`, address: '10.0.0.1:7400' })

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'nc-members-'))
  lines.length = 0
})
afterEach(() => rmSync(dataDir, { recursive: true, force: true }))

test('what was noted last is found by the next life, for its owner only', async () => {
  const file = open()
  expect(await file.read()).toEqual([])
  file.note([member('a')])
  file.note([member('a'), member('b')])
  file.note([member('b'), member('c')])
  await file.settled()
  expect(await open().read()).toEqual([member('b'), member('c')])
  expect(statSync(join(dataDir, 'members.json')).mode & 0o777).toBe(0o600)
})

test('what does not change is not written again', async () => {
  const file = open()
  file.note([member('a')])
  await file.settled()
  const { ino } = statSync(join(dataDir, 'members.json'))
  file.note([member('a')])
  await file.settled()
  expect(statSync(join(dataDir, 'members.json')).ino).toBe(ino)
})

test('of another cluster, or damaged, it says nothing', async () => {
  const file = open('former')
  file.note([member('a')])
  await file.settled()
  expect(await open('one').read()).toEqual([])
  writeFileSync(join(dataDir, 'members.json'), readFileSync(join(dataDir, 'members.json')).subarray(0, 20))
  expect(await open('former').read()).toEqual([])
  expect(lines).toMatchObject([{ message: 'the list of members cannot be read' }])
})

test('a disk that takes nothing is no reason to stop', async () => {
  rmSync(dataDir, { recursive: true })
  const file = open()
  file.note([member('a')])
  await file.settled()
  expect(lines).toMatchObject([{ message: 'the list of members could not be kept' }])
})
