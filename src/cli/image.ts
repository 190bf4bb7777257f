// `novacron image`: images that disks begin as.
import type { Command } from 'commander'
import { operationResult } from './await-end.ts'
import { exitCodes, usageFailure } from './io.ts'
import { collectLabel, integerBetween, nouns, pathOf, registerList, registerShow } from './nouns.ts'
import { escapeText, renderBytes, textAt, textOf, valueAt } from './output.ts'
import { actOnEach, confirmLoss, dryRunResult, isDryRun, type Result } from './results.ts'
import { withExample, withJson, type Shell } from './shell.ts'
import { lookAtFile, uploadFile } from './upload.ts'

const noun = nouns.image
/** As the server says it; its own schema would cost every run the time to load. */
const copiesMax = 64

export function registerImage(program: Command, shell: Shell): void {
  const image = program.command('image').description('Images that disks begin as')
  registerList(image, noun, shell)
  registerShow(image, noun, shell)
  registerImport(image, shell)
  registerSet(image, shell)
  registerDelete(image, shell)
}

type ImportOptions = {
  readonly sha256?: string
  readonly os?: string
  readonly copies?: number | 'all'
  readonly label?: Readonly<Record<string, string | null>>
  readonly wait?: boolean
  readonly dryRun?: true
}

function registerImport(image: Command, shell: Shell): void {
  const command = image.command('import <name> <source>').description('Import a qcow2 or raw image: a file, or a http(s) address that the node fetches. A broken upload goes on by itself')
    .option('--sha256 <digest>', 'refuse the file if its checksum is another')
    .option('--os <text>', 'what is on it, for people')
    .option('--copies <n>', 'how many nodes keep it: a number or all (2)', parseCopies)
    .option('--label <key=value>', 'again for more', collectLabel)
    .option('--wait', 'wait until an address was fetched')
    .option('--no-wait', 'do not wait for an address')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (name: string, source: string, options: ImportOptions) => {
      const spec = { ...(options.os === undefined ? {} : { os: options.os }), ...(options.copies === undefined ? {} : { copies: options.copies }) }
      const wish = { name, ...(options.label === undefined ? {} : { labels: options.label }), spec }
      const sha256 = options.sha256?.toLowerCase()
      if (/^[a-z][a-z0-9+.-]*:\/\//i.test(source)) return importUrl(shell, { ...wish, spec: { ...spec, source: { url: source, ...(sha256 === undefined ? {} : { sha256 }) } } }, options)
      const file = await lookAtFile(source)
      const whole = { ...wish, spec: { ...spec, ...(sha256 === undefined ? {} : { sha256 }) } }
      if (options.dryRun !== true) return tellImported(shell, await uploadFile(shell, file, whole))
      const { body } = await shell.client().write({ method: 'POST', path: '/api/v1/uploads', dryRun: true, body: { ...whole, spec: { ...whole.spec, sizeBytes: file.sizeBytes } } })
      tellResult(shell, dryRunResult(`import ${name}`, body))
    })
  withExample(withJson(command), 'novacron image import tiny build/tiny.qcow2 --copies all', 'novacron image import debian https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2')
}

async function importUrl(shell: Shell, body: { readonly name: string; readonly spec: object }, options: ImportOptions): Promise<void> {
  const { body: begun } = await shell.client().write({ method: 'POST', path: noun.path, body, dryRun: options.dryRun === true })
  if (isDryRun(begun)) return tellResult(shell, dryRunResult(`import ${body.name}`, begun))
  const result = await operationResult(shell, body.name, 'import', begun, options.wait !== false)
  if (textAt(result.value, 'status', 'state') !== 'done') return tellResult(shell, result)
  tellImported(shell, await shell.client().get(pathOf(noun, textAt(result.value, 'spec', 'target', 'name'))))
}

function tellResult(shell: Shell, result: Result): void {
  shell.endWith(result.exitCode ?? exitCodes.done)
  shell.answer(result.value, () => `${result.line}\n`)
}

function tellImported(shell: Shell, image: unknown): void {
  const size = valueAt(image, 'spec', 'virtualSizeBytes')
  const wanted = valueAt(image, 'status', 'copiesWanted')
  const copies = typeof wanted === 'number' && wanted > 1 ? `; ${wanted} copies are kept` : ''
  shell.answer(image, () => `${escapeText(textAt(image, 'name'))} imported: ${escapeText(textAt(image, 'spec', 'format'))}, ${typeof size === 'number' ? renderBytes(size) : ''}, on ${escapeText(textOf(valueAt(image, 'status', 'nodes')))}${copies}\n`)
}

function parseCopies(text: string): number | 'all' {
  return text === 'all' ? text : integerBetween(1, copiesMax)(text)
}

type SetOptions = { readonly copies?: number | 'all'; readonly os?: string; readonly label?: Readonly<Record<string, string | null>>; readonly dryRun?: true }

function registerSet(image: Command, shell: Shell): void {
  const set = image.command('set <names...>').description('Change the number of copies, labels or os of images')
    .option('--copies <n>', 'how many nodes keep it: a number or all', parseCopies)
    .option('--os <text>', 'what is on it, for people')
    .option('--label <key=value>', 'key- takes it away; again for more', collectLabel)
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (names: readonly string[], options: SetOptions) => {
      const spec = { ...(options.copies === undefined ? {} : { copies: options.copies }), ...(options.os === undefined ? {} : { os: options.os }) }
      if (Object.keys(spec).length === 0 && options.label === undefined) throw usageFailure('Nothing to change: give --copies, --os or --label.')
      await actOnEach(shell, names, (name) => patch(shell, name, { ...(options.label === undefined ? {} : { labels: options.label }), spec }, options.dryRun === true))
    })
  withExample(withJson(set), 'novacron image set tiny --copies all')
  const rename = image.command('rename <name> <new-name>').description('Give an image another name; its disks stay what they are')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (name: string, next: string, options: { readonly dryRun?: true }) => {
      await actOnEach(shell, [name], (each) => patch(shell, each, { name: next }, options.dryRun === true))
    })
  withExample(withJson(rename), 'novacron image rename tiny small')
}

async function patch(shell: Shell, name: string, body: object, dryRun: boolean): Promise<Result> {
  const { body: changed } = await shell.client().write({ method: 'PATCH', path: pathOf(noun, name), body, dryRun })
  return isDryRun(changed) ? dryRunResult(`set ${name}`, changed) : { value: changed, line: `${escapeText(textAt(changed, 'name'))}: ${textAt(changed, 'status', 'copiesWanted') || 'no set number of'} copies wanted, on ${escapeText(textOf(valueAt(changed, 'status', 'nodes')))}` }
}

function registerDelete(image: Command, shell: Shell): void {
  const command = image.command('delete <names...>').alias('rm').description('Delete images from every node')
    .option('--yes', 'do not ask')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (names: readonly string[], options: { readonly yes?: true; readonly dryRun?: true }) => {
      await confirmLoss(shell, `Delete ${names.length === 1 ? 'image' : 'images'} ${names.join(', ')}?`, options.yes === true || options.dryRun === true)
      await actOnEach(shell, names, async (name) => {
        const { body } = await shell.client().write({ method: 'DELETE', path: pathOf(noun, name), dryRun: options.dryRun === true })
        return isDryRun(body) ? dryRunResult(`delete ${name}`, body) : { value: { name, deleted: true }, line: `${escapeText(name)} deleted` }
      })
    })
  withExample(withJson(command), 'novacron image delete tiny --yes')
}
