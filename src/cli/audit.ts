// `novacron audit`: what was commanded, by whom, and what came of it; as a list and as a file.
import { Option, type Command } from 'commander'
import { unreachableFailure } from './io.ts'
import { nouns, registerList } from './nouns.ts'
import { withExample, withJson, type Shell } from './shell.ts'

type ExportOptions = { readonly format: 'csv' | 'jsonl'; readonly filter?: string; readonly since?: string; readonly until?: string }

export function registerAudit(program: Command, shell: Shell): void {
  const audit = program.command('audit').description('What was commanded, by whom, and what came of it')
  registerList(audit, nouns.audit, shell)
  const save = audit.command('export').description('Write all that match to standard output, the newest first')
    .addOption(new Option('--format <form>', 'csv, or jsonl: a JSON document on each line').choices(['csv', 'jsonl']).default('csv'))
    .option('--filter <words>', `as '${nouns.audit.hints.filter} noun:vm -actor:admin'`)
    .option('--since <time>', 'from then on: 90m, 24h, 7d ago, or 2026-11-20T10:00:00Z')
    .option('--until <time>', 'until then')
    .action((options: ExportOptions) => exportAudit(shell, options))
  withExample(withJson(save), 'novacron audit export --since 7d > audit.csv', "novacron audit export --format jsonl --filter 'outcome:refused'")
}

async function exportAudit(shell: Shell, options: ExportOptions): Promise<void> {
  const words = [options.filter, options.since === undefined ? undefined : `since:${options.since}`, options.until === undefined ? undefined : `until:${options.until}`]
  const filter = words.filter((word) => word !== undefined).join(' ')
  const client = shell.client()
  const response = await client.open(`${nouns.audit.path}/export`, { format: shell.json ? 'jsonl' : options.format, ...(filter === '' ? {} : { filter }) }, {}, shell.abandoned)
  const pieces: string[] = []
  try {
    response.setEncoding('utf8')
    for await (const piece of response) {
      if (shell.json) pieces.push(String(piece))
      else if (!shell.io.stdout.write(String(piece))) await new Promise((resolve) => shell.io.stdout.once('drain', resolve))
    }
  } catch (error) {
    if (shell.abandoned.aborted) return
    throw unreachableFailure(`${client.connection.url.origin} broke off: the file is not whole.`, error)
  }
  if (shell.json) shell.answer({ items: pieces.join('').split('\n').filter((line) => line !== '').map((line): unknown => JSON.parse(line)) }, () => '')
}
