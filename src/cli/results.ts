// Doing the same to several things: one line for each, one JSON document for all, the exit code of the worst; and dry runs.
import { createInterface } from 'node:readline/promises'
import { exitCodes, Failure, usageFailure, type ExitCode } from './io.ts'
import { escapeText, textAt, textOf, valueAt } from './output.ts'
import { listAt } from './nouns.ts'
import { problemOf, type Shell } from './shell.ts'

export type Result = { readonly value: unknown; readonly line: string; readonly exitCode?: ExitCode }

const togetherMax = 8

/** Acts on each of the names, some at a time; results are told in the order of the names. */
export async function actOnEach(shell: Shell, refs: readonly string[], act: (ref: string) => Promise<Result>): Promise<void> {
  const names = [...new Set(refs)]
  const results: Result[] = []
  let next = 0
  const work = async (): Promise<void> => {
    for (let at = next++; at < names.length; at = next++) results[at] = await attempt(shell, names[at]!, names.length > 1, act)
  }
  await Promise.all(Array.from({ length: Math.min(togetherMax, names.length) }, work))
  for (const result of results) shell.endWith(result.exitCode ?? exitCodes.done)
  if (names.length === 0) return shell.answer({ items: [] }, () => 'nothing to do\n')
  shell.answer(names.length === 1 ? results[0]!.value : { items: results.map((result) => result.value) }, () => results.map((result) => result.line === '' ? '' : `${result.line}\n`).join(''))
}

async function attempt(shell: Shell, ref: string, several: boolean, act: (ref: string) => Promise<Result>): Promise<Result> {
  try {
    return await act(ref)
  } catch (error) {
    if (!(error instanceof Failure) || error.exitCode === exitCodes.usage) throw error
    shell.complain(error, several ? ref : '')
    return { value: problemOf(error), line: '', exitCode: error.exitCode }
  }
}

export function isDryRun(body: unknown): boolean {
  return valueAt(body, 'dryRun') === true
}

/** The answer of a dry run: what would change, a line for each place. */
export function dryRunResult(subject: string, body: unknown): Result {
  const differences = listAt(body, 'differences')
  const lines = differences.map((difference) => {
    const path = textAt(difference, 'path')
    return `  ${escapeText(path === '' ? 'all of it' : path)}: ${renderValue(valueAt(difference, 'before'))} -> ${renderValue(valueAt(difference, 'after'))}`
  })
  return { value: body, line: [`${escapeText(subject)}: ${differences.length === 0 ? 'nothing would change' : 'would change'}`, ...lines, ...placementLines(valueAt(body, 'placement')), ...listAt(body, 'notes').map((note) => `  ${escapeText(textOf(note))}`)].join('\n') }
}

/** Where it would go, and what was thought of each node. */
function placementLines(placement: unknown): readonly string[] {
  if (placement === undefined) return []
  const node = textAt(placement, 'node')
  const considered = listAt(placement, 'considered').map((each) => `    ${valueAt(each, 'fits') === true ? '+' : '-'} ${escapeText(textAt(each, 'node'))}: ${escapeText(textAt(each, 'reason'))}`)
  return [`  place: ${node === '' ? 'none' : escapeText(node)}, ${escapeText(textAt(placement, 'reason'))}`, ...considered]
}

function renderValue(value: unknown): string {
  if (value === null || value === undefined) return 'none'
  return escapeText(typeof value === 'object' ? JSON.stringify(value) : textOf(value))
}

/** Asks before something is lost. @throws a usage Failure where nobody can be asked, or the answer is no */
export async function confirmLoss(shell: Shell, question: string, yes: boolean): Promise<void> {
  if (yes) return
  const { stdin, stderr } = shell.io
  if (stdin.isTTY !== true || stderr.isTTY !== true) throw usageFailure(`${question} Nobody can be asked here: say --yes.`)
  const lines = createInterface({ input: stdin, output: stderr })
  try {
    const answer = await lines.question(`${escapeText(question)} [y/N] `)
    if (!/^y(?:es)?$/i.test(answer.trim())) throw usageFailure('Nothing was done.')
  } finally {
    lines.close()
  }
}
