// `novacron event`: what happened, listed and watched.
import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from 'commander'
import { exitCodes, Failure, unreachableFailure } from './io.ts'
import { integerBetween, nouns, registerList } from './nouns.ts'
import { escapeText, textAt } from './output.ts'
import { parseSentEvents } from './server-sent-events.ts'
import { withExample, type Shell } from './shell.ts'

export function registerEvent(program: Command, shell: Shell): void {
  const event = program.command('event').description('What happened in the cluster')
  registerList(event, nouns.event, shell)
  registerWatch(event, shell)
}

type WatchOptions = { readonly after?: string; readonly kind?: string; readonly name?: string; readonly count?: number }

function registerWatch(event: Command, shell: Shell): void {
  const watch = event.command('watch').description('Show events as they come, until Ctrl-C; goes on where it was when the connection breaks')
    .option('--after <id>', 'begin after this event; else now')
    .option('--kind <kind>', 'only of this kind, as vm')
    .option('--name <name>', 'only of things of this name')
    .option('--count <n>', 'end after so many', integerBetween(1, 1_000_000))
    .option('--json', 'a JSON document for each event, one on a line')
    .action(async (options: WatchOptions) => watchEvents(shell, options))
  withExample(watch, 'novacron event watch --kind vm')
}

/** Longer than three of the server's heartbeats without a sign of life is a broken connection. */
const silenceMsMax = 50_000
const outageMsMax = 120_000
const pauseMs = 500

async function watchEvents(shell: Shell, options: WatchOptions): Promise<void> {
  const state = { after: options.after ?? null, left: options.count ?? Number.POSITIVE_INFINITY, heardMs: Number.NEGATIVE_INFINITY }
  while (state.left > 0 && !shell.abandoned.aborted) {
    try {
      await follow(shell, options, state)
      if (state.left > 0) await delay(pauseMs)
    } catch (error) {
      if (shell.abandoned.aborted) return
      if (!(error instanceof Failure)) throw error
      if (error.code === 'EVENTS_GONE') {
        shell.progress('events in between are no longer kept; going on from now')
        state.after = null
      } else if (error.exitCode !== exitCodes.unreachable || performance.now() - state.heardMs > outageMsMax) throw error
      else shell.progress(`${escapeText(error.message)} Trying again.`)
      await delay(pauseMs)
    }
  }
}

type WatchState = { after: string | null; left: number; heardMs: number }

async function follow(shell: Shell, options: WatchOptions, state: WatchState): Promise<void> {
  const client = shell.client()
  const done = new AbortController()
  const signal = AbortSignal.any([shell.abandoned, done.signal])
  const headers = { Accept: 'text/event-stream', ...(state.after === null ? {} : { 'Last-Event-ID': state.after }) }
  const response = await client.open(nouns.event.path, {}, headers, signal)
  response.setTimeout(silenceMsMax, () => response.destroy(new Error(`nothing came for ${silenceMsMax / 1000} s`)))
  if (state.heardMs === Number.NEGATIVE_INFINITY) shell.progress('watching; Ctrl-C ends')
  state.heardMs = performance.now()
  try {
    for await (const sent of parseSentEvents(response)) {
      state.heardMs = performance.now()
      if (sent.event === 'reset') {
        shell.progress('this node lost its place in the events; going on from now')
        state.after = null
        return
      }
      if (sent.id !== null) state.after = sent.id
      if (sent.event !== 'message' || !tell(shell, options, sent.data)) continue
      if (--state.left <= 0) return
    }
  } catch (error) {
    throw error instanceof Failure ? error : unreachableFailure(`${client.connection.url.origin} broke off: ${error instanceof Error ? error.message : String(error)}.`, error)
  } finally {
    done.abort()
  }
}

/** @returns whether it was shown */
function tell(shell: Shell, options: WatchOptions, data: string): boolean {
  const event: unknown = JSON.parse(data)
  if (options.kind !== undefined && textAt(event, 'kind') !== options.kind) return false
  if (options.name !== undefined && textAt(event, 'name') !== options.name) return false
  const line = `${textAt(event, 'at')}  ${textAt(event, 'kind')} ${textAt(event, 'name')}  ${textAt(event, 'reason')}  ${textAt(event, 'message')}`
  shell.stream(event, escapeText(line))
  return true
}
