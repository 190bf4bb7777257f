// `cluster backup` on a whole node: the file and its checks, passphrases from where nobody else sees them, what is refused.
import { existsSync, lstatSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { rootOnHost } from '../../../src/app/authorize.ts'
import type { BackupFile } from '../../../src/app/face.ts'
import { startControl } from '../../../src/http/control.ts'
import { clock, recordingLog, serve, type Served } from '../http/harness.ts'
import { startRealNode, type RealNode } from '../http/real-node.ts'
import { smallControl } from '../http/small-app.ts'
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

test('a link stays one, a device or a folder is not replaced, whatever the word', async () => {
  symlinkSync(at('bare'), at('link'))
  const before = readFileSync(at('bare'))
  expect((await cli([at('link'), '--without-key', '--force'])).code).toBe(0)
  expect(lstatSync(at('link')).isSymbolicLink()).toBe(true)
  expect(readFileSync(at('bare')).equals(before)).toBe(false)
  const folder = await cli([directory, '--without-key', '--force'])
  expect([folder.code, folder.stderr]).toEqual([2, expect.stringContaining('is no file that a backup could replace')])
})

test('what would be passed over in silence is refused', async () => {
  expect((await cli([at('one'), '--verify', '--passphrase-file', at('passphrase')])).code).toBe(2)
  expect((await cli(['--last', '--verify', at('one')])).code).toBe(2)
  expect((await cli(['--last', at('one')])).code).toBe(2)
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

test('- is standard output, and nothing of that name; standard input where one is checked', async () => {
  const sent = await cli(['-', '--without-key'])
  expect(sent).toMatchObject({ code: 0, stderr: expect.stringMatching(/^standard output: .*, everything up to index \d+\nIt is not encrypted/) })
  expect(existsSync('-')).toBe(false)
  expect(sent.bytes.subarray(0, 16).toString()).toBe('novacron-backup\n')
  expect(await cli(['-', '--verify', '--json'], { input: sent.bytes })).toMatchObject({ code: 0, json: { file: '-', intact: true, bytes: sent.bytes.length } })
  expect(await cli(['-', '--verify'], { input: sent.bytes.subarray(0, 500) })).toMatchObject({ code: 5, stderr: expect.stringContaining('cut short') })
})

test('- is refused where a person would get it on the screen, or nothing comes', async () => {
  expect(await cli(['-', '--without-key'], { terminal: true })).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('standard output is a terminal') })
  expect(await cli(['-', '--without-key', '--json'])).toMatchObject({ code: 2 })
  expect(await cli(['-', '--verify'], { terminal: true })).toMatchObject({ code: 2, stderr: expect.stringContaining('that is a terminal') })
})

test('a local one says that it may be behind, also when it is checked', async () => {
  const saved = await cli([at('local'), '--local', '--without-key', '--json'])
  expect(saved.json, saved.stderr).toMatchObject({ local: true, term: 2, node: 'n1' })
  expect((await cli([at('local-too'), '--local', '--without-key'])).stderr).toMatch(/It is what n1 alone had applied, up to index \d+ of term 2, and may be behind/)
  expect(await cli([at('local'), '--verify'])).toMatchObject({ code: 0, stderr: expect.stringContaining('may be behind') })
  expect((await cli(['--local', '--dry-run'])).stdout).toContain('other members may have acknowledged more')
})

test('on the host itself, by its socket, as root', async () => {
  const socket = at('control.sock')
  const server = await startControl({
    path: socket, clock, log: recordingLog([]),
    control: { ...smallControl, backup: async (body) => (await real.node.app.clusterBackup.backup(rootOnHost('n1'), body, { idempotencyKey: null, bodyHash: '', ifMatch: null, dryRun: false, waitSeconds: 0, signal: new AbortController().signal })) as BackupFile },
  })
  const lone = emptyHome()
  const saved = await cli([at('by-socket'), '--local', '--socket', socket, '--passphrase-file', at('passphrase'), '--json'], { env: lone })
  expect(saved.json, saved.stderr).toMatchObject({ local: true, sealed: true, file: at('by-socket') })
  expect((await cli(['--verify', at('by-socket')], { env: lone })).code).toBe(0)
  expect(await cli([at('short-one'), '--local', '--socket', socket, '--passphrase-stdin'], { env: lone, input: 'short\n' })).toMatchObject({ code: 5, stderr: expect.stringContaining('12 characters') })
  await server.stop()
})
