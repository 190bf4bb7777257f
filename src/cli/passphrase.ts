// The passphrase of a backup: from a file, from a pipe, or from a person; never from the arguments.
import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { usageFailure } from './io.ts'
import { askPassword, readInputLines } from './prompt.ts'
import type { Shell } from './shell.ts'

export type PassphraseOptions = { readonly passphraseFile?: string; readonly passphraseStdin?: true }

export function withPassphrase(command: Command): Command {
  return command.option('--passphrase-file <path>', 'the passphrase is the first line of this file').option('--passphrase-stdin', 'read the passphrase from standard input')
}

/** Null where none was given and `ask` is null. @throws a usage Failure */
export async function passphraseOf(shell: Shell, options: PassphraseOptions, ask: 'new' | 'known' | null): Promise<string | null> {
  if (options.passphraseFile !== undefined && options.passphraseStdin === true) throw usageFailure('--passphrase-file and --passphrase-stdin exclude each other.')
  if (options.passphraseFile !== undefined) return firstLine(await readLines(options.passphraseFile), options.passphraseFile)
  if (options.passphraseStdin === true) return firstLine(await readInputLines(shell), 'Standard input')
  if (ask === null) return null
  if (shell.io.stdin.isTTY !== true) throw usageFailure(`Nobody can be asked for the passphrase here: say --passphrase-file or --passphrase-stdin${ask === 'new' ? ', or --without-key' : ''}.`)
  const first = await askPassword(shell, ask === 'new' ? 'New passphrase of the backup:' : 'Passphrase of the backup:')
  if (ask === 'new' && (await askPassword(shell, 'Again:')) !== first) throw usageFailure('Both differ. Nothing was done.')
  return first
}

async function readLines(path: string): Promise<readonly string[]> {
  try {
    return (await readFile(path, 'utf8')).split(/\r?\n/)
  } catch (cause) {
    throw usageFailure(`${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}.`)
  }
}

function firstLine([first]: readonly string[], from: string): string {
  if (first === undefined || first === '') throw usageFailure(`${from} holds no passphrase.`)
  return first
}
