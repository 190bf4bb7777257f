// Runs the benches in turn, each bounded in time, and ends with one line for each.
//
//   node bench/run.ts [NAME]... [--short]     without names: all; --short: seconds instead of minutes, figures to be taken as a sign of life
//
// Exit 1 where a figure was missed, a rival is missing or a bench did not end.
import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

type Bench = { readonly file: string; readonly args: readonly string[]; readonly shortArgs: readonly string[]; readonly secondsMax: number }

const root = join(import.meta.dirname, '..')
const build = join(root, 'build')
/** A bench that is told to end takes its lab and its processes off the machine first. */
const graceMs = 60_000
/** Together they have ten minutes on a machine of their own; each alone may take longer where others work too. */
const benches: Readonly<Record<string, Bench>> = {
  'formation': { file: 'formation.ts', args: [], shortArgs: ['--short'], secondsMax: 180 },
  'vm-create': { file: 'vm-create.ts', args: [], shortArgs: ['--short'], secondsMax: 300 },
  'migrate': { file: 'migrate.ts', args: [], shortArgs: ['--short'], secondsMax: 420 },
  'image': { file: 'image.ts', args: [], shortArgs: ['--short'], secondsMax: 300 },
  'idle': { file: 'idle.ts', args: [], shortArgs: ['--short'], secondsMax: 240 },
  'api-list': { file: 'api-list.ts', args: [], shortArgs: ['--short'], secondsMax: 300 },
  'scrape': { file: 'scrape.ts', args: [], shortArgs: ['--short'], secondsMax: 300 },
  'commit': { file: 'commit.ts', args: ['--directory', build], shortArgs: ['--directory', build, '--short'], secondsMax: 240 },
  'failover': { file: 'failover.ts', args: ['--directory', build], shortArgs: ['--directory', build, '--short'], secondsMax: 420 },
  'api-write': { file: 'api-write.ts', args: ['--directory', build], shortArgs: ['--directory', build, '--short'], secondsMax: 180 },
  'api-load': { file: 'api-load.ts', args: ['--directory', build], shortArgs: ['--directory', build, '--short'], secondsMax: 240 },
  'restart': { file: 'restart.ts', args: ['--directory', build], shortArgs: ['--directory', build, '--short'], secondsMax: 600 },
  'growth': { file: 'growth.ts', args: ['--directory', build], shortArgs: ['--directory', build, '--short'], secondsMax: 900 },
  'events': { file: 'events.ts', args: ['--directory', build], shortArgs: ['--directory', build, '--short'], secondsMax: 180 },
  'page-load': { file: 'page-load.ts', args: [], shortArgs: ['--short'], secondsMax: 240 },
  'raft-core': { file: 'raft-core.ts', args: [], shortArgs: ['--short'], secondsMax: 60 },
  'log-store': { file: 'log-store.ts', args: ['--directory', build, '--samples', '200', '--no-raw'], shortArgs: ['--directory', build, '--samples', '40', '--no-raw'], secondsMax: 120 },
}

async function runBench(bench: Bench, short: boolean): Promise<{ readonly outcome: string; readonly seconds: number; readonly failed: boolean }> {
  const startedMs = performance.now()
  const child = spawn(process.execPath, [join(import.meta.dirname, bench.file), ...(short ? bench.shortArgs : bench.args)], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  const { promise, resolve } = Promise.withResolvers<number | null>()
  child.on('exit', resolve).on('error', () => resolve(1))
  let late = false
  const timers = [
    setTimeout(() => {
      late = true
      child.kill('SIGTERM')
    }, bench.secondsMax * 1000),
    setTimeout(() => child.kill('SIGKILL'), bench.secondsMax * 1000 + graceMs),
  ]
  const pass = (signal: NodeJS.Signals): void => void child.kill(signal)
  process.on('SIGINT', pass).on('SIGTERM', pass)
  const code = await promise
  process.off('SIGINT', pass).off('SIGTERM', pass)
  for (const timer of timers) clearTimeout(timer)
  const outcome = late ? `did not end within ${bench.secondsMax} s` : code === 0 ? 'ok' : 'FAILED'
  return { outcome, seconds: (performance.now() - startedMs) / 1000, failed: late || code !== 0 }
}

const { values, positionals } = parseArgs({ options: { short: { type: 'boolean', default: false } }, allowPositionals: true })
const names = positionals.length > 0 ? positionals : Object.keys(benches)
const unknown = names.filter((name) => !Object.hasOwn(benches, name))
if (unknown.length > 0) {
  console.error(`There is no bench ${unknown.join(', ')}; there are ${Object.keys(benches).join(', ')}.`)
  process.exit(2)
}
mkdirSync(build, { recursive: true })
const results: string[] = []
for (const name of names) {
  const { outcome, seconds, failed } = await runBench(benches[name]!, values.short)
  results.push(`${name.padEnd(12)} ${outcome} (${seconds.toFixed(0)} s)`)
  if (failed) process.exitCode = 1
  console.log('')
}
for (const line of results) console.log(line)
