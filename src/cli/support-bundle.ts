// `novacron support-bundle`: saves what a node knows of itself, without secrets; by its control socket, or over the API.
import { open, rm } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { basename } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Command } from 'commander'
import { openControl, withSocket, type SocketOptions } from './control-client.ts'
import { exitCodes, Failure, unreachableFailure, usageFailure } from './io.ts'
import { escapeText } from './output.ts'
import { withExample, withJson, type Shell } from './shell.ts'

const path = '/api/v1/cluster/support-bundle'

export function registerSupportBundle(program: Command, shell: Shell): void {
  const bundle = withSocket(program.command('support-bundle').description("Save this host's support bundle: log since its base, state, configuration, figures, last log lines; secrets are taken out"))
    .argument('[file]', 'where to; by default a name with node and time, here')
    .option('--api', 'of the node that the profile names, by its API, as an administrator')
    .action((file: string | undefined, options: SocketOptions & { readonly api?: true }) => save(shell, file, options))
  withExample(withJson(bundle), 'novacron support-bundle', 'novacron support-bundle /root/node1.bundle.gz', 'novacron support-bundle --api')
}

async function save(shell: Shell, file: string | undefined, options: SocketOptions & { readonly api?: true }): Promise<void> {
  const response = options.api === true ? await shell.client().open(path, {}, {}, shell.abandoned) : await openControl(options.socket, '/support-bundle')
  const target = file ?? nameOf(response)
  await write(response, target)
  // Its words are parsed, which other commands need not load.
  const { readBundle } = await import('./bundle-file.ts')
  let entries = 0
  let lines = 0
  const omitted: string[] = []
  try {
    for await (const line of readBundle(target)) {
      lines += 1
      if (line.kind === 'entry') entries += 1
      if (line.kind === 'omitted') omitted.push(line.why)
    }
  } catch (error) {
    await rm(target, { force: true })
    throw new Failure(exitCodes.failed, 'FAILED', `The bundle did not come whole; nothing was kept. ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
  for (const why of omitted) shell.progress(why)
  shell.answer({ file: target, lines, entries, omitted }, () => `${escapeText(target)}: ${lines} lines, ${entries} entries of the log; secrets are taken out\n`)
}

/** Readable by its owner alone: names and addresses are nobody else's business. */
async function write(response: IncomingMessage, target: string): Promise<void> {
  const file = await open(target, 'wx', 0o600).catch((error: unknown) => {
    response.destroy()
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') throw usageFailure(`${target} is there already. Nothing was written; name another file.`)
    throw usageFailure(`${target} cannot be written: ${error instanceof Error ? error.message : String(error)}.`)
  })
  try {
    await pipeline(response, file.createWriteStream({ flush: true }))
  } catch (error) {
    await rm(target, { force: true })
    const code = error instanceof Error && 'code' in error ? error.code : ''
    if (code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE') throw unreachableFailure('The daemon broke off: the bundle is not whole and was not kept.', error)
    throw new Failure(exitCodes.failed, 'FAILED', `${target} cannot be written; nothing was kept: ${error instanceof Error ? error.message : String(error)}.`, { cause: error })
  }
}

function nameOf(response: IncomingMessage): string {
  const name = /filename="([^"]+)"/.exec(response.headers['content-disposition'] ?? '')?.[1] ?? 'novacron.bundle.gz'
  return basename(name)
}
