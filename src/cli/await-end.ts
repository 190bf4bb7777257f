// Waiting until what was asked for has happened: an operation's end, a VM's phase. Progress goes to standard error.
import { setTimeout as delay } from 'node:timers/promises'
import { exitCodes, Failure } from './io.ts'
import { escapeText, renderBytes, textAt, valueAt } from './output.ts'
import { nouns, listAt, pathOf } from './nouns.ts'
import { dryRunResult, isDryRun, type Result } from './results.ts'
import type { Shell } from './shell.ts'

/** How long one request waits; also what a write sends in its Prefer header. */
export const waitSeconds = 30
/** Nobody is kept for longer: the operation goes on without us. */
const waitMsMax = 30 * 60_000
/** How long a server that broke off is asked again. */
const outageMsMax = 20_000
const pollMs = 200
/** How long one request waits where there is progress to tell. */
const progressSeconds = 1

/** What an answer that holds an operation comes to; with `wait`, once it has ended. */
export async function operationResult(shell: Shell, subject: string, verb: string, answer: unknown, wait: boolean): Promise<Result> {
  if (isDryRun(answer)) return dryRunResult(`${verb} ${subject}`, answer)
  const operation = wait ? await awaitOperation(shell, answer, subject) : answer
  return endOf(operation, subject, verb)
}

function endOf(operation: unknown, subject: string, verb: string): Result {
  const state = textAt(operation, 'status', 'state')
  const name = escapeText(subject)
  if (state === 'done') return { value: operation, line: `${name}: ${verb} done` }
  if (!hasEnded(operation)) return { value: operation, line: `${name}: ${verb} ${escapeText(state)}, operation ${escapeText(textAt(operation, 'id'))}` }
  const reason = textAt(operation, 'status', 'error', 'message')
  const code = textAt(operation, 'status', 'error', 'code')
  return { value: operation, line: `${name}: ${verb} ${escapeText(state)}${reason === '' ? '' : `: ${escapeText(reason)}`}${code === '' ? '' : ` (${escapeText(code)})`}`, exitCode: exitCodes.failed }
}

function hasEnded(operation: unknown): boolean {
  return typeof valueAt(operation, 'status', 'endedAt') === 'string'
}

/** Asks for an operation until it has ended. @throws Failure where it cannot be asked for, or takes too long */
export async function awaitOperation(shell: Shell, begun: unknown, subject: string): Promise<unknown> {
  const path = pathOf(nouns.operation, textAt(begun, 'id'))
  return await pollUntil(shell, {
    begun,
    ask: () => {
      const seconds = tellsProgress(begun) ? progressSeconds : waitSeconds
      return shell.client().get(path, { wait: String(seconds) }, seconds)
    },
    isOver: hasEnded,
    describe: (operation) => `${subject}: ${textAt(operation, 'spec', 'operation')} ${stepOf(operation)}`,
  })
}

function stepOf(operation: unknown): string {
  const running = listAt(operation, 'status', 'steps').find((step) => textAt(step, 'state') === 'running')
  const state = textAt(operation, 'status', 'state')
  if (running === undefined) return state
  if (textAt(operation, 'status', 'direction') === 'back') return `going back: ${textAt(operation, 'status', 'error', 'message')}`
  const phase = textAt(operation, 'status', 'progress', 'phase')
  return `${state}: ${textAt(running, 'name')}${phase === '' ? '' : `, ${phase} ${progressOf(operation)}`}`
}

/** "152 of 640 MiB, 48 MiB/s"; of a drain "1 of 4". */
function progressOf(operation: unknown): string {
  const figure = (name: string): number => {
    const value = valueAt(operation, 'status', 'progress', name)
    return typeof value === 'number' ? value : 0
  }
  const [done, total, rate] = [figure('processedBytes'), figure('totalBytes'), figure('bytesPerSecond')]
  if (textAt(operation, 'spec', 'operation') === 'node-drain') return `${done} of ${total}`
  return `${renderBytes(done)}${total === 0 ? '' : ` of ${renderBytes(total)}`}${rate === 0 ? '' : `, ${renderBytes(rate)}/s`}`
}

/** Migrations, drains and imports take long and say how far they are. */
function tellsProgress(operation: unknown): boolean {
  return ['vm-migrate', 'vm-move', 'node-drain', 'image-import'].includes(textAt(operation, 'spec', 'operation'))
}

/** Asks for a VM until it is what its owner wants, or has failed at that. */
export async function awaitVm(shell: Shell, begun: unknown): Promise<unknown> {
  const path = pathOf(nouns.vm, textAt(begun, 'id'))
  return await pollUntil(shell, {
    begun,
    ask: async () => {
      await delay(pollMs)
      return await shell.client().get(path)
    },
    isOver: (vm) => [textAt(vm, 'spec', 'runState'), 'failed'].includes(textAt(vm, 'status', 'phase')),
    describe: (vm) => `${textAt(vm, 'name')}: ${textAt(vm, 'status', 'phase')}${textAt(vm, 'status', 'message') === '' ? '' : `: ${textAt(vm, 'status', 'message')}`}`,
  })
}

type Poll = { readonly begun: unknown; readonly ask: () => Promise<unknown>; readonly isOver: (value: unknown) => boolean; readonly describe: (value: unknown) => string }

async function pollUntil(shell: Shell, { begun, ask, isOver, describe }: Poll): Promise<unknown> {
  const startedMs = performance.now()
  let heardMs = startedMs
  let told = ''
  for (let value = begun; ; ) {
    const text = escapeText(describe(value))
    if (text !== told) shell.progress((told = text))
    if (isOver(value)) return value
    if (performance.now() - startedMs > waitMsMax) throw new Failure(exitCodes.failed, 'FAILED', `It has not ended within ${waitMsMax / 60_000} minutes; it goes on.`)
    try {
      value = await ask()
      heardMs = performance.now()
    } catch (error) {
      // A server that restarts, or a leader that changes, is no end of the wait.
      if (!(error instanceof Failure && error.exitCode === exitCodes.unreachable) || performance.now() - heardMs > outageMsMax) throw error
      await delay(pollMs * 2)
    }
  }
}
