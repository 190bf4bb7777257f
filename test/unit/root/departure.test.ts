// What a removed node does with its files: all of it aside, nothing deleted; a crash at any point is made good at the next start.
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { changeOver, finishDeparture, putAside, readDeparture, writeNextMembership } from '../../../src/departure.ts'
import { readMembership, type MembershipRecord } from '../../../src/membership-file.ts'

const nowMs = Date.parse('2026-01-02T03:04:05.006Z')
const folder = 'removed-2026-01-02T030405006Z'
let dataDir: string

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'novacron-departure-'))
  for (const name of ['raft', 'state', 'storage/volumes', 'storage/images', 'local']) await mkdir(join(dataDir, name), { recursive: true })
  for (const name of ['cluster.json', 'members.json', 'identity.json', 'raft/log', 'appliance.json']) await writeFile(join(dataDir, name), name)
})
afterEach(() => rm(dataDir, { recursive: true, force: true }))

const names = async (path = '') => (await readdir(join(dataDir, path))).toSorted()
const given = { clusterName: 'lab', nodeName: 'n1', nowMs }

test('membership, identity, log and state are put aside; what is the host\'s stays', async () => {
  expect(await putAside(dataDir, given)).toMatchObject({ folder, done: true })
  expect(await names(folder)).toEqual(['cluster.json', 'identity.json', 'members.json', 'raft', 'state'])
  expect(await readFile(join(dataDir, folder, 'raft/log'), 'utf8')).toBe('raft/log')
  expect(await names()).toEqual(['appliance.json', 'local', folder, 'removed.json', 'storage'])
  expect(await readMembership(dataDir)).toBeNull()
})

test('disks of VMs go along with their images', async () => {
  await mkdir(join(dataDir, 'storage/volumes/vm'))
  await putAside(dataDir, given)
  expect(await names(folder)).toContain('storage')
})

test.each([0, 1, 2, 3, 4, 5])('a crash after %i files were moved is made good', async (moved) => {
  await mkdir(join(dataDir, folder))
  for (const name of ['cluster.json', 'members.json', 'raft', 'state', 'identity.json'].slice(0, moved)) await rename(join(dataDir, name), join(dataDir, folder, name))
  await writeFile(join(dataDir, 'removed.json'), JSON.stringify({ format: 1, clusterName: 'lab', nodeName: 'n1', atMs: nowMs, folder, done: false }))
  const departure = await readDeparture(dataDir)
  await finishDeparture(dataDir, departure!)
  expect(await names(folder)).toEqual(['cluster.json', 'identity.json', 'members.json', 'raft', 'state'])
  expect(await readDeparture(dataDir)).toMatchObject({ done: true })
})

test('who changes over keeps identity and storage, and forgets the former log before the new membership counts', async () => {
  const record: MembershipRecord = { format: 1, clusterId: 'c', clusterName: 'other', caCertificate: '', certificatePem: '', tlsKeyPem: '', members: [] }
  await writeNextMembership(dataDir, record)
  const asked: string[][] = []
  await expect(changeOver(dataDir, { nowMs, forget: () => Promise.reject(new Error('no')) })).rejects.toThrow()
  expect(await readFile(join(dataDir, 'cluster.json'), 'utf8')).toBe('cluster.json')
  expect(await changeOver(dataDir, { nowMs, forget: async () => void asked.push(await names()) })).toBe(true)
  expect(asked[0]).toContain('cluster.next.json')
  expect(await readMembership(dataDir)).toMatchObject({ clusterName: 'other' })
  expect(await names()).toEqual(['appliance.json', 'cluster.json', 'former-2026-01-02T030405006Z', 'identity.json', 'local', 'members.json', 'storage'])
  expect(await changeOver(dataDir, { nowMs, forget: () => Promise.resolve() })).toBe(false)
})
