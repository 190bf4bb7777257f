// Asks a person: a line, or a password that is not shown; or reads it from a pipe. Never from the arguments, which others see.
import { createInterface } from 'node:readline/promises'
import { usageFailure } from './io.ts'
import { escapeText } from './output.ts'
import type { Shell } from './shell.ts'

const enter = new Set(['\r', '\n', '\u0004'])
const erase = new Set(['\u007f', '\b'])
const interrupt = '\u0003'

/** @throws a usage Failure where nobody can be asked */
export async function askLine(shell: Shell, question: string, hint: string): Promise<string> {
  const { stdin, stderr } = shell.io
  if (stdin.isTTY !== true) throw usageFailure(`Nobody can be asked here: say ${hint}.`)
  const lines = createInterface({ input: stdin, output: stderr })
  try {
    return (await lines.question(`${escapeText(question)} `)).trim()
  } finally {
    lines.close()
  }
}

/** Reads a password from the terminal without showing it. @throws a usage Failure without a terminal, or on Ctrl-C */
export async function askPassword(shell: Shell, question: string): Promise<string> {
  const { stdin, stderr } = shell.io
  if (stdin.isTTY !== true || stdin.setRawMode === undefined) throw usageFailure('Nobody can be asked here: send the password by --password-stdin.')
  stderr.write(`${escapeText(question)} `)
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  let typed: string[] = []
  const onData = (chunk: Buffer | string) => {
    for (const character of chunk.toString()) {
      if (enter.has(character)) return resolve(typed.join(''))
      if (character === interrupt) return reject(usageFailure('Nothing was done.'))
      if (erase.has(character)) typed = typed.slice(0, -1)
      else typed.push(character)
    }
  }
  stdin.setRawMode(true)
  stdin.on('data', onData).resume()
  try {
    return await promise
  } finally {
    stdin.off('data', onData).pause()
    stdin.setRawMode(false)
    stderr.write('\n')
  }
}

/** A new password, typed twice. @throws a usage Failure where both differ */
export async function askNewPassword(shell: Shell): Promise<string> {
  const first = await askPassword(shell, 'New password:')
  if ((await askPassword(shell, 'Again:')) !== first) throw usageFailure('Both differ. Nothing was done.')
  return first
}

const inputCharactersMax = 4096

/** The lines of standard input, for passwords from a pipe. @throws a usage Failure for too much of it */
export async function readInputLines(shell: Shell): Promise<readonly string[]> {
  let text = ''
  for await (const chunk of shell.io.stdin) {
    text += String(chunk)
    if (text.length > inputCharactersMax) throw usageFailure('Standard input is too long for a password.')
  }
  const lines = text.split('\n').map((line) => line.replace(/\r$/, ''))
  return lines.at(-1) === '' ? lines.slice(0, -1) : lines
}
