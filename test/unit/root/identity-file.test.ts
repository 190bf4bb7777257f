// The node's own keys: made once, and never made anew beside what belongs to the lost ones.
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemRandom } from '../../../src/drivers/crypto/random.ts'
import { openIdentity } from '../../../src/identity-file.ts'

let dataDir: string
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'novacron-identity-'))
})
afterEach(() => rm(dataDir, { recursive: true }))
const open = () => openIdentity(dataDir, { nowMs: 1_790_000_000_000, random: systemRandom })

test('made at the first start, kept at the next', async () => {
  const { nodeId } = await open()
  expect((await open()).nodeId).toBe(nodeId)
})

test('a host that never was a member may begin with empty directories', async () => {
  for (const name of ['raft', 'state', 'local', 'storage']) await mkdir(join(dataDir, name))
  await expect(open()).resolves.toHaveProperty('nodeId')
})

test.each(['cluster.json', 'raft/log', 'state/CURRENT'])('refused where %s is there without it, and nothing is written', async (name) => {
  await open()
  const kept = await readFile(join(dataDir, 'identity.json'))
  await mkdir(join(dataDir, name, '..'), { recursive: true })
  await writeFile(join(dataDir, name), 'x')
  await rm(join(dataDir, 'identity.json'))
  await expect(open()).rejects.toThrow(/identity\.json is gone, and .* holds (?:cluster\.json|raft|state) of the member whose key it was\. .*Put the file back.*join anew/)
  await expect(readFile(join(dataDir, 'identity.json'))).rejects.toThrow('ENOENT')
  await writeFile(join(dataDir, 'identity.json'), kept)
  await expect(open()).resolves.toHaveProperty('nodeId')
})
