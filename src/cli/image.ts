// `novacron image`: images that disks begin as.
import { statSync } from 'node:fs'
import type { Command } from 'commander'
import { usageFailure } from './io.ts'
import { nouns, pathOf, registerList, registerShow } from './nouns.ts'
import { escapeText, renderBytes, textAt, textOf, valueAt } from './output.ts'
import { actOnEach, confirmLoss, dryRunResult, isDryRun } from './results.ts'
import { withExample, withJson, type Shell } from './shell.ts'

const noun = nouns.image
const progressEveryMs = 500

export function registerImage(program: Command, shell: Shell): void {
  const image = program.command('image').description('Images that disks begin as')
  registerList(image, noun, shell)
  registerShow(image, noun, shell)
  registerImport(image, shell)
  registerDelete(image, shell)
}

type ImportOptions = { readonly sha256?: string; readonly os?: string }

function registerImport(image: Command, shell: Shell): void {
  const command = image.command('import <name> <file>').description('Import a qcow2 or raw file; it stays on the node that answers')
    .option('--sha256 <digest>', "refuse the file if its checksum is another")
    .option('--os <text>', 'what is on it, for people')
    .action(async (name: string, path: string, options: ImportOptions) => {
      const sizeBytes = sizeOf(path)
      const meter = createMeter(shell, name, sizeBytes)
      const query = { name, ...(options.sha256 === undefined ? {} : { sha256: options.sha256.toLowerCase() }), ...(options.os === undefined ? {} : { os: options.os }) }
      const { body } = await shell.client().write({ method: 'POST', path: noun.path, query, file: { path, sizeBytes, onBytes: meter.onBytes } }).finally(meter.end)
      const size = valueAt(body, 'spec', 'virtualSizeBytes')
      shell.answer(body, () => `${escapeText(textAt(body, 'name'))} imported: ${escapeText(textAt(body, 'spec', 'format'))}, ${typeof size === 'number' ? renderBytes(size) : ''}, on ${escapeText(textOf(valueAt(body, 'status', 'nodes')))}\n`)
    })
  withExample(withJson(command), 'novacron image import tiny build/tiny.qcow2')
}

function sizeOf(path: string): number {
  try {
    const stat = statSync(path)
    if (stat.isFile()) return stat.size
  } catch (cause) {
    throw usageFailure(`${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}.`)
  }
  throw usageFailure(`${path} is no file.`)
}

/** A line that counts on a terminal; one line elsewhere. */
function createMeter(shell: Shell, name: string, sizeBytes: number): { readonly onBytes: (sentBytes: number) => void; readonly end: () => void } {
  const live = shell.io.stderr.isTTY === true
  let toldMs = 0
  if (!live) shell.progress(`${escapeText(name)}: sending ${renderBytes(sizeBytes)}`)
  return {
    onBytes(sentBytes) {
      const nowMs = performance.now()
      if (!live || (nowMs - toldMs < progressEveryMs && sentBytes < sizeBytes)) return
      toldMs = nowMs
      shell.io.stderr.write(`\r\u001b[K${escapeText(name)}: ${renderBytes(sentBytes)} of ${renderBytes(sizeBytes)}${sentBytes >= sizeBytes ? ', being checked' : ''}`)
    },
    end() {
      if (live) shell.io.stderr.write('\r\u001b[K')
    },
  }
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
