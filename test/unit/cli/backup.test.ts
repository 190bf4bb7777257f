// `cluster backup` on a whole node: the file and its checks, passphrases from where nobody else sees them, what is refused.
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { serve, type Served } from '../http/harness.ts'
import { startRealNode, type RealNode } from '../http/real-node.ts'
import { emptyHome, run, type Surroundings } from './terminal.ts'

const passphrase = 'correct horse battery staple'
const directory = mkdtempSync(join(tmpdir(), 'nc-backup-cli-'))
const at = (name: string) => join(directory, name)
let real: RealNode
let served: Served
let env: Readonly<Record<string, string>>
const cli = (argv: readonly string[], more: Surroundings = {}) => run(['cluster', 'backup', ...argv], { env, ...more })

beforeAll(async () => {
  real = await startRealNode()
  served = await serve({ app: real.node.app })
  writeFileSync(at('ca.pem'), served.certPem)
  writeFileSync(at('passphrase'), `${passphrase}\n`)
  env = { ...emptyHome(), NOVACRON_URL: served.origin, NOVACRON_TOKEN: real.token, NOVACRON_CA: at('ca.pem') }
}, 30_000)
afterAll(async () => {
  await served.http.stop()
  await real.stop()
  rmSync(directory, { recursive: true, force: true })
})

test('a file for its owner alone, whole under its name, and known to the cluster', async () => {
  const saved = await cli([at('one'), '--passphrase-file', at('passphrase'), '--json'])
  expect(saved.code, saved.stderr).toBe(0)
  expect(saved.json).toMatchObject({ file: at('one'), sealed: true, clusterName: 'lab', bytes: statSync(at('one')).size })
  expect(statSync(at('one')).mode & 0o777).toBe(0o600)
  expect(existsSync(at('one.part'))).toBe(false)
  expect((await cli(['--last', '--json'])).json).toMatchObject({ last: { checksum: saved.json.checksum, bytes: saved.json.bytes, index: saved.json.index } })
  expect((await cli([at('one'), '--verify', '--json'])).json).toMatchObject({ intact: true, checksum: saved.json.checksum, sealed: true })
})

test('the passphrase comes from a file, a pipe or a person, or is left out by word', async () => {
  expect((await cli([at('pipe'), '--passphrase-stdin', '--json'], { input: `${passphrase}\n` })).json).toMatchObject({ sealed: true })
  expect((await cli([at('none')])).code).toBe(2)
  expect((await cli([at('both'), '--passphrase-stdin', '--without-key'], { input: passphrase })).code).toBe(2)
  expect((await cli([at('missing'), '--passphrase-file', at('nothing')])).code).toBe(2)
  const bare = await cli([at('bare'), '--without-key'])
  expect(bare.code, bare.stderr).toBe(0)
  expect(bare.stderr).toContain('It is not encrypted')
  const short = await cli([at('short'), '--passphrase-stdin'], { input: 'short\n' })
  expect(short.code).toBe(5)
  for (const name of ['none', 'both', 'missing', 'short']) expect(existsSync(at(name)), name).toBe(false)
})

test('a file that is there is replaced only by word', async () => {
  const before = readFileSync(at('bare'))
  expect((await cli([at('bare'), '--without-key'])).code).toBe(2)
  expect(readFileSync(at('bare')).equals(before)).toBe(true)
  expect((await cli([at('bare'), '--without-key', '--force'])).code).toBe(0)
  expect(readFileSync(at('bare')).equals(before)).toBe(false)
})

test('a disk that takes a write only in part leaves no file that passes for whole', async () => {
  const probe = await open(at('probe'), 'w')
  const prototype = Object.getPrototypeOf(probe) as object
  await probe.close()
  const kept = Object.getOwnPropertyDescriptor(prototype, 'write')!
  const write = kept.value as (this: FileHandle, piece: Uint8Array, from: number, length: number) => Promise<unknown>
  // What write(2) does at the edge of a full disk: it takes less, and that is no error.
  Object.defineProperty(prototype, 'write', {
    ...kept,
    value(this: FileHandle, piece: Uint8Array) {
      return write.call(this, piece, 0, piece.length - 1)
    },
  })
  try {
    const saved = await cli([at('partly'), '--without-key', '--json'])
    expect(saved.code, saved.stderr).toBe(0)
    expect(statSync(at('partly')).size).toBe(saved.json.bytes)
    expect((await cli([at('partly'), '--verify'])).code).toBe(0)
  } finally {
    Object.defineProperty(prototype, 'write', kept)
  }
})

test('damage is told, wherever it is; what is no file is a usage error', async () => {
  const bytes = readFileSync(at('bare'))
  bytes[bytes.length - 40]! ^= 1
  writeFileSync(at('flipped'), bytes)
  expect(await cli([at('flipped'), '--verify'])).toMatchObject({ code: 5, stderr: expect.stringContaining('BACKUP_DAMAGED') })
  writeFileSync(at('cut'), bytes.subarray(0, 100))
  expect(await cli([at('cut'), '--verify'])).toMatchObject({ code: 5, stderr: expect.stringContaining('cut short') })
  expect((await cli([at('nothing'), '--verify'])).code).toBe(2)
  expect((await cli(['--verify'])).code).toBe(2)
})

test('a dry run writes no file and asks for no passphrase', async () => {
  const dry = await cli([at('dry'), '--dry-run', '--json'])
  expect(dry.json, dry.stderr).toMatchObject({ dryRun: true })
  expect(existsSync(at('dry'))).toBe(false)
})
