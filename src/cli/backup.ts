// `novacron cluster backup`: the whole replicated state into a file, checked as it comes; and a check of one that lies here.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Command } from 'commander'
import type { BackupDecoder, BackupHeader } from '../model/backup.ts'
import { errorTable, OperationalError } from '../model/error.ts'
import { exitCodeOfStatus, Failure, unreachableFailure, usageFailure } from './io.ts'
import { escapeText, renderBytes, renderDetails } from './output.ts'
import { passphraseOf, withPassphrase, type PassphraseOptions } from './passphrase.ts'
import { dryRunResult } from './results.ts'
import { withExample, withJson, type Shell } from './shell.ts'

const path = '/api/v1/cluster/backup'
const sha256Hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

type BackupOptions = PassphraseOptions & { readonly withoutKey?: true; readonly force?: true; readonly verify?: true; readonly last?: true; readonly dryRun?: true }

export function registerBackup(cluster: Command, shell: Shell): void {
  const backup = withPassphrase(cluster.command('backup [file]').description("Back up the whole replicated state into a file; not the VMs' disks"))
    .option('--without-key', "not encrypted, without the cluster's key: a restore makes new secrets")
    .option('--force', 'replace the file where there is one')
    .option('--verify', 'only check the file that lies here')
    .option('--last', 'only show what is known of the last backup')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (file: string | undefined, options: BackupOptions) => {
      if (options.last === true) {
        const answer = await shell.client().get(path)
        return shell.answer(answer, () => renderDetails(answer))
      }
      if (options.verify === true) return verify(shell, file)
      await save(shell, file, options)
    })
  withExample(withJson(backup), 'novacron cluster backup monday.novabackup', 'novacron cluster backup --passphrase-file /root/passphrase', 'novacron cluster backup --verify monday.novabackup')
}

async function verify(shell: Shell, file: string | undefined): Promise<void> {
  if (file === undefined) throw usageFailure('Name the file that is to be checked.')
  const { header, bytes, checksum } = await checkBackup(file)
  const facts = { file, intact: true, bytes, checksum, ...header, passphrase: undefined, sealed: header.passphrase !== null }
  shell.answer(facts, () => renderDetails(facts))
  if (!shell.json && header.passphrase !== null) shell.progress('That the passphrase opens it is told by "novacron cluster restore --dry-run" on a host that is in no cluster.')
}

/** Reads a whole file and its checks. @throws Failure BACKUP_DAMAGED, BACKUP_NEWER; a usage Failure where it cannot be read */
export async function checkBackup(file: string): Promise<{ readonly header: BackupHeader; readonly bytes: number; readonly checksum: string }> {
  try {
    await stat(file)
  } catch (cause) {
    throw usageFailure(`${file} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}.`)
  }
  const check = await openCheck()
  for await (const piece of createReadStream(file, { highWaterMark: 256 * 1024 })) check.push(piece as Buffer)
  return check.end()
}

async function save(shell: Shell, named: string | undefined, options: BackupOptions): Promise<void> {
  if (options.withoutKey === true && (options.passphraseFile !== undefined || options.passphraseStdin === true)) throw usageFailure('--without-key and a passphrase exclude each other.')
  const passphrase = await passphraseOf(shell, options, options.withoutKey === true || options.dryRun === true ? null : 'new')
  const client = shell.client()
  if (options.dryRun === true) {
    const { body } = await client.write({ method: 'POST', path, body: { passphrase }, dryRun: true })
    const shown = dryRunResult('back up the cluster', body)
    return shell.answer(shown.value, () => `${shown.line}\n`)
  }
  if (named !== undefined) await requireFree(named, options.force === true)
  const response = await client.openPost(path, { passphrase })
  const file = named ?? /filename="([\w.-]+)"/.exec(response.headers['content-disposition'] ?? '')?.[1] ?? 'cluster.novabackup'
  if (named === undefined) await requireFree(file, options.force === true)
  const { header, bytes, checksum } = await writeChecked(file, response, client.connection.url.origin)
  const facts = { file, bytes, checksum, index: header.index, clusterName: header.clusterName, node: header.node, createdAt: header.createdAt, sealed: header.passphrase !== null }
  shell.answer(facts, () => `${escapeText(file)}: ${renderBytes(bytes)}, everything up to index ${header.index}\n`)
  if (!shell.json && header.passphrase === null) shell.progress("It is not encrypted, and the cluster's key is not in it: a restore makes a new authority. Keep it as safe as a host's disk.")
}

async function requireFree(file: string, force: boolean): Promise<void> {
  if (!force && (await stat(file).catch(() => null)) !== null) throw usageFailure(`${file} is there already; name another, or say --force.`)
}

/** Under its name only once it is whole, checked and on the disk. */
async function writeChecked(file: string, source: AsyncIterable<unknown>, origin: string): Promise<ReturnType<Check['end']>> {
  const draft = `${file}.part`
  await rm(draft, { force: true })
  const handle = await open(draft, 'wx', 0o600).catch((cause: unknown) => {
    throw usageFailure(`${file} cannot be written: ${cause instanceof Error ? cause.message : String(cause)}.`)
  })
  try {
    const check = await openCheck()
    await pour(source, origin, async (piece) => {
      check.push(piece)
      // All of it or a fault: `write` alone may take a part where the disk is nearly full.
      await handle.writeFile(piece)
    })
    const facts = check.end()
    await handle.sync()
    await rename(draft, file)
    await syncDirectory(dirname(file))
    return facts
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  } finally {
    await handle.close()
  }
}

/** The new name outlives a power cut, too; but for a directory that may not be read, or whose file system cannot sync one. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r').catch(() => null)
  try {
    await directory?.sync()
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EINVAL')) throw error
  } finally {
    await directory?.close()
  }
}

async function pour(source: AsyncIterable<unknown>, origin: string, take: (piece: Buffer) => Promise<void>): Promise<void> {
  const pieces = source[Symbol.asyncIterator]()
  for (;;) {
    const result = await pieces.next().catch((cause: unknown) => {
      throw unreachableFailure(`${origin} broke off: there is no backup. Ask again, or another node.`, cause)
    })
    if (result.done === true) return
    await take(result.value as Buffer)
  }
}

/** The checks of a file as its bytes come, in the words of the command line. */
class Check {
  readonly #decoder: BackupDecoder
  readonly #parseHeader: (text: string) => BackupHeader
  #header: BackupHeader | null = null

  constructor(decoder: BackupDecoder, parseHeader: (text: string) => BackupHeader) {
    this.#decoder = decoder
    this.#parseHeader = parseHeader
  }

  push(piece: Uint8Array): void {
    told(() => {
      for (const frame of this.#decoder.push(piece)) if (frame.kind === 'header') this.#header = this.#parseHeader(Buffer.from(frame.payload).toString())
    })
  }

  end(): { readonly header: BackupHeader; readonly bytes: number; readonly checksum: string } {
    const checksum = told(() => this.#decoder.end())
    if (this.#header === null) throw new Error('assertion: a backup ended without a header')
    return { header: this.#header, bytes: this.#decoder.bytes, checksum }
  }
}

/** Loaded here, as other commands need no parser. */
async function openCheck(): Promise<Check> {
  const format = await import('../model/backup.ts')
  return new Check(new format.BackupDecoder(sha256Hex), format.parseBackupHeader)
}

function told<T>(check: () => T): T {
  try {
    return check()
  } catch (error) {
    if (error instanceof OperationalError) throw new Failure(exitCodeOfStatus(errorTable[error.code].status), error.code, error.message, { cause: error })
    throw error
  }
}
