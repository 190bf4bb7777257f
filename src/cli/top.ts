// `novacron node top` and `vm top`: who uses how much now, the most first, once or again and again.
import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from 'commander'
import { InvalidArgumentError, Option } from 'commander'
import { exitCodes, Failure } from './io.ts'
import { integerBetween, listAt } from './nouns.ts'
import { escapeText, renderBytes, renderTable, textAt, valueAt, type Cell } from './output.ts'
import { withExample, type Shell } from './shell.ts'
import type { UsageSort } from '../model/metrics.ts'

/** Known here for the help, without loading the schemas; the server has the last word. */
const usageSorts: readonly UsageSort[] = ['cpu', 'memory', 'read', 'write', 'receive', 'transmit', 'name']

const watchSecondsDefault = 5
const clearScreen = '\u001b[H\u001b[2J'
const highRatio = 0.85
const criticalRatio = 0.95

type TopOptions = { readonly sort: string; readonly filter?: string; readonly limit: number; readonly watch?: number | true; readonly count?: number }
type Top = { readonly noun: 'node' | 'vm'; readonly plural: string; readonly path: string; readonly sorts: readonly string[]; readonly filter: string }

const tops = {
  node: { noun: 'node', plural: 'nodes', path: '/api/v1/cluster/usage/nodes', sorts: usageSorts, filter: 'label:rack=b3' },
  vm: { noun: 'vm', plural: 'VMs', path: '/api/v1/cluster/usage/vms', sorts: [...usageSorts, 'node', 'project'], filter: 'node:node1' },
} as const satisfies Readonly<Record<string, Top>>

/** Adds `top` to the command of nodes or VMs. */
export function registerTop(parent: Command, noun: keyof typeof tops, shell: Shell): void {
  const top: Top = tops[noun]
  const command = parent.command('top').description(`Show how much ${top.plural} use now, the most first`)
    .addOption(new Option('--sort <what>', 'what comes first').choices(top.sorts).default('cpu'))
    .option('--filter <words>', `as '${top.filter}'`)
    .option('--limit <n>', 'so many lines', integerBetween(1, 1000), 100)
    .option('--watch [seconds]', `again every so many seconds (${watchSecondsDefault}), until Ctrl-C`, watchSeconds)
    .option('--count <n>', 'with --watch: end after so many looks', integerBetween(1, 1_000_000))
    .option('--json', 'one JSON document on standard output; with --watch one a look, each on a line')
    .action(async (options: TopOptions) => (options.watch === undefined ? showOnce(shell, top, options) : watch(shell, top, options)))
  withExample(command, `novacron ${noun} top`, `novacron ${noun} top --sort memory --watch`)
}

function watchSeconds(text: string): number {
  const seconds = Number(text)
  if (!(seconds >= 1 && seconds <= 3600)) throw new InvalidArgumentError('It takes 1 to 3600 seconds.')
  return seconds
}

async function showOnce(shell: Shell, top: Top, options: TopOptions): Promise<void> {
  const page = await look(shell, top, options)
  shell.answer(page, () => render(shell, top, page))
}

async function watch(shell: Shell, top: Top, options: TopOptions): Promise<void> {
  const seconds = typeof options.watch === 'number' ? options.watch : watchSecondsDefault
  const looks = options.count ?? Number.POSITIVE_INFINITY
  for (let count = 1; !shell.abandoned.aborted; count++) {
    try {
      const page = await look(shell, top, options)
      const head = shell.io.stdout.isTTY === true ? clearScreen : ''
      shell.stream(page, `${head}${render(shell, top, page).trimEnd()}${head === '' ? '\n' : ''}`)
    } catch (error) {
      // A node that restarts is waited for, once something was seen.
      if (count === 1 || !(error instanceof Failure) || error.exitCode !== exitCodes.unreachable) throw error
      shell.progress(`${escapeText(error.message)} Trying again.`)
    }
    if (count >= looks) return
    await delay(seconds * 1000, undefined, { signal: shell.abandoned }).catch(() => undefined)
  }
}

/** Names go up, figures down. */
function look(shell: Shell, top: Top, options: TopOptions): Promise<unknown> {
  const isText = ['name', 'node', 'project'].includes(options.sort)
  return shell.client().get(top.path, { sort: isText ? options.sort : `-${options.sort}`, limit: String(options.limit), ...(options.filter === undefined ? {} : { filter: options.filter }) })
}

function render(shell: Shell, top: Top, page: unknown): string {
  const items = listAt(page, 'items')
  if (items.length === 0) return `There are no ${top.plural} to show.\n`
  const vm = top.noun === 'vm'
  const heading = ['NAME', ...(vm ? ['NODE'] : []), 'CPU', 'MEMORY', 'MEM%', 'READ/S', 'WRITE/S', 'RECEIVE/S', 'TRANSMIT/S', 'HEARD']
  const rows = items.map((item): Cell[] => [
    { text: textAt(item, 'name') }, ...(vm ? [{ text: textAt(item, 'node') }] : []),
    ratio(valueAt(item, 'cpuRatio')), { text: bytes(valueAt(item, 'memoryBytes')) }, ratio(valueAt(item, 'memoryRatio')),
    ...['readBytesPerSecond', 'writeBytesPerSecond', 'receiveBytesPerSecond', 'transmitBytesPerSecond'].map((key): Cell => ({ text: bytes(valueAt(item, key)) })),
    valueAt(item, 'stale') === true ? { text: `not since ${textAt(item, 'heardAt') || 'the start'}`, style: 'bad' } : { text: 'now' },
  ])
  return renderTable(heading, rows, shell.colours)
}

function ratio(value: unknown): Cell {
  if (typeof value !== 'number') return { text: '' }
  return { text: `${(value * 100).toFixed(value < 0.1 ? 1 : 0)} %`, style: value > criticalRatio ? 'bad' : value > highRatio ? 'warning' : 'plain' }
}

function bytes(value: unknown): string {
  return typeof value === 'number' ? renderBytes(value) : ''
}
