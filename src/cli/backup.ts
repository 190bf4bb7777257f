// `novacron cluster backup`: the whole replicated state into a file, checked as it comes; and a check of one that lies here.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtemp, open, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Option, type Command } from 'commander'
import type { BackupDecoder, BackupHeader } from '../model/backup.ts'
import { errorTable, OperationalError } from '../model/error.ts'
import { controlSocketDefault, openControl } from './control-client.ts'
import { exitCodeOfStatus, exitCodes, Failure, unreachableFailure, usageFailure } from './io.ts'
import { escapeText, renderBytes, renderDetails } from './output.ts'
import { passphraseOf, withPassphrase, type PassphraseOptions } from './passphrase.ts'
import { dryRunResult } from './results.ts'
import { isServerKnown } from './settings.ts'
import { withExample, withJson, type Shell } from './shell.ts'

const path = '/api/v1/cluster/backup'
const sha256Hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Standard output where a file is written, standard input where one is read; a file of that name is `./-`. */
const standardStream = '-'

type BackupOptions = PassphraseOptions & { readonly local?: true; readonly socket?: string; readonly withoutKey?: true; readonly force?: true; readonly verify?: true; readonly last?: true; readonly dryRun?: true }

export function registerBackup(cluster: Command, shell: Shell): void {
  const backup = withPassphrase(cluster.command('backup [file]').description("Back up the whole replicated state into a file, or with - to standard output; not the VMs' disks"))
    .option('--local', 'only what the asked node has, without asking the others: also without a quorum. It may be behind, and says so')
    .addOption(new Option('--socket <path>', `by this host's daemon, as root (${controlSocketDefault}); so does --local where no server is known`))
    .option('--without-key', "not encrypted, without the cluster's key: a restore makes new secrets")
    .option('--force', 'replace the file where there is one')
    .option('--verify', 'only check the file that lies here')
    .option('--last', 'only show what is known of the last backup')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (file: string | undefined, options: BackupOptions) => {
      refuseUnheeded(file, options)
      if (options.last === true) {
        const answer = await shell.client().get(path)
        return shell.answer(answer, () => renderDetails(answer))
      }
      if (options.verify === true) return verify(shell, file)
      await save(shell, file, options)
    })
  withExample(withJson(backup), 'novacron cluster backup monday.novabackup', 'novacron cluster backup --passphrase-file /root/passphrase', 'novacron cluster backup --verify monday.novabackup', 'novacron cluster backup --local --socket /var/lib/novacron/control.sock rescue.novabackup', 'novacron cluster backup - --passphrase-file /root/passphrase | ssh far "cat > monday.novabackup"')
}

/** What would be passed over in silence is refused: somebody means something by it. */
function refuseUnheeded(file: string | undefined, { last, verify: verifies, passphraseFile, passphraseStdin }: BackupOptions): void {
  if (last === true && (verifies === true || file !== undefined)) throw usageFailure('--last only shows what is known of the last backup: it takes no file, and checks none.')
  if (verifies === true && (passphraseFile !== undefined || passphraseStdin === true)) throw usageFailure('--verify opens nothing, so it tries no passphrase. "novacron cluster restore --dry-run" does, on a host that is in no cluster.')
}

async function verify(shell: Shell, file: string | undefined): Promise<void> {
  if (file === undefined) throw usageFailure('Name the file that is to be checked.')
  const { header, bytes, checksum } = file === standardStream ? await checkPieces(inputOf(shell)) : await checkBackup(file)
  const facts = { file, intact: true, bytes, checksum, ...header, passphrase: undefined, sealed: header.passphrase !== null }
  shell.answer(facts, () => renderDetails(facts))
  if (shell.json) return
  if (header.local !== undefined) shell.progress(behindNote(header))
  if (header.passphrase !== null) shell.progress('That the passphrase opens it is told by "novacron cluster restore --dry-run" on a host that is in no cluster.')
}

/** Reads a whole file and its checks. @throws Failure BACKUP_DAMAGED, BACKUP_NEWER; a usage Failure where it cannot be read */
export async function checkBackup(file: string): Promise<Checked> {
  try {
    await stat(file)
  } catch (cause) {
    throw usageFailure(`${file} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}.`)
  }
  return checkPieces(createReadStream(file, { highWaterMark: 256 * 1024 }))
}

async function checkPieces(pieces: AsyncIterable<unknown>): Promise<Checked> {
  const check = await openCheck()
  for await (const piece of pieces) check.push(piece as Buffer)
  return check.end()
}

/** What comes on standard input, as a file for its owner alone while `use` works with it: it is read more than once. @throws a usage Failure on a terminal */
export async function withInputFile<T>(shell: Shell, file: string, use: (path: string) => Promise<T>): Promise<T> {
  if (file !== standardStream) return use(file)
  const directory = await mkdtemp(join(tmpdir(), 'novacron-backup-'))
  try {
    const path = join(directory, 'input.novabackup')
    await writeFile(path, inputOf(shell), { mode: 0o600 })
    return await use(path)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

function inputOf(shell: Shell): Shell['io']['stdin'] {
  if (shell.io.stdin.isTTY === true) throw usageFailure('A backup is to come on standard input, and that is a terminal. Name a file, or send one: novacron … - < FILE.')
  return shell.io.stdin
}

async function save(shell: Shell, named: string | undefined, options: BackupOptions): Promise<void> {
  if (options.withoutKey === true && (options.passphraseFile !== undefined || options.passphraseStdin === true)) throw usageFailure('--without-key and a passphrase exclude each other.')
  if (named === standardStream && shell.io.stdout.isTTY === true) throw usageFailure('A backup is no text: standard output is a terminal. Name a file, or send it on: novacron cluster backup - > FILE.')
  if (named === standardStream && shell.json) throw usageFailure('Standard output is the backup itself: --json cannot be there, too.')
  const local = options.local === true ? { local: true } : {}
  const socket = options.socket ?? (options.local === true && !isServerKnown(shell.io.env) ? controlSocketDefault : null)
  if (socket !== null && options.dryRun === true) throw usageFailure('--dry-run goes by the API, not by the control socket.')
  const passphrase = await passphraseOf(shell, options, options.withoutKey === true || options.dryRun === true ? null : 'new')
  if (options.dryRun === true) {
    const { body } = await shell.client().write({ method: 'POST', path, body: { passphrase, ...local }, dryRun: true })
    const shown = dryRunResult('back up the cluster', body)
    return shell.answer(shown.value, () => `${shown.line}\n`)
  }
  if (named !== undefined && named !== standardStream) await requireFree(named, options.force === true)
  const { response, origin } = await openBackup(shell, { passphrase, ...local }, socket)
  if (named === standardStream) return tell(shell, await sendOn(shell, response, origin), named)
  const file = named ?? /filename="([\w.-]+)"/.exec(response.headers['content-disposition'] ?? '')?.[1] ?? 'cluster.novabackup'
  if (named === undefined) await requireFree(file, options.force === true)
  tell(shell, await writeChecked(file, response, origin), file)
}

async function openBackup(shell: Shell, body: unknown, socket: string | null): Promise<{ readonly response: IncomingMessage; readonly origin: string }> {
  if (socket !== null) return { response: await openControl(socket, '/backup', body), origin: socket }
  const client = shell.client()
  return { response: await client.openPost(path, body), origin: client.connection.url.origin }
}

function tell(shell: Shell, { header, bytes, checksum }: Checked, file: string): void {
  const { index, term, clusterName, node, createdAt, local } = header
  const facts = { file, bytes, checksum, index, term, clusterName, node, createdAt, sealed: header.passphrase !== null, local: local !== undefined }
  const line = `${file === standardStream ? 'standard output' : escapeText(file)}: ${renderBytes(bytes)}, everything up to index ${index}`
  if (file === standardStream) shell.progress(line)
  else shell.answer(facts, () => `${line}\n`)
  if (shell.json) return
  if (local !== undefined) shell.progress(behindNote(header))
  if (header.passphrase === null) shell.progress("It is not encrypted, and the cluster's key is not in it: a restore makes a new authority. Keep it as safe as a host's disk.")
}

function behindNote({ node, index, term }: BackupHeader): string {
  return `It is what ${escapeText(node)} alone had applied, up to index ${index} of term ${term}, and may be behind: what the cluster acknowledged after that is not in it.`
}

async function requireFree(file: string, force: boolean): Promise<void> {
  const there = await stat(file).catch(() => null)
  if (there === null) return
  // A device or a folder would be replaced, not written.
  if (!there.isFile()) throw usageFailure(`${file} is no file that a backup could replace; name another.`)
  if (!force) throw usageFailure(`${file} is there already; name another, or say --force.`)
}

/** Under its name only once it is whole, checked and on the disk. */
async function writeChecked(named: string, source: AsyncIterable<unknown>, origin: string): Promise<Checked> {
  // A link stays one: what it names is replaced.
  const file = await realpath(named).catch(() => named)
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

/** Whoever reads it has it whole only where this command ends with 0. */
async function sendOn(shell: Shell, source: AsyncIterable<unknown>, origin: string): Promise<Checked> {
  const { stdout } = shell.io
  const check = await openCheck()
  await pour(source, origin, async (piece) => {
    check.push(piece)
    await new Promise<void>((resolve, reject) => {
      stdout.write(piece, (error) => (error === null || error === undefined ? resolve() : reject(new Failure(exitCodes.failed, 'FAILED', `Standard output takes no more: ${error.message}. There is no backup.`, { cause: error }))))
    })
  })
  return check.end()
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

type Checked = { readonly header: BackupHeader; readonly bytes: number; readonly checksum: string }

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

  end(): Checked {
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
