// What every measurement says beside its figures: commit, runtime, machine, load.
import { execFileSync } from 'node:child_process'
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')

/** What the `novacron` launcher sets, for processes that a bench starts itself. */
export const launcherFlags = ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=4', '--no-parallel-scavenge', '--expose-gc'] as const
export const launcherEnvironment = { MALLOC_ARENA_MAX: '1', NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? join(root, 'build', 'compile-cache') } as const

/** Prints the head of a bench: its name, the machine, and the configuration of both sides. */
export function printHead(name: string, configuration: readonly string[]): void {
  console.log(`# ${name}`)
  console.log(`at ${new Date().toISOString()}, commit ${commit()}, node ${process.version}`)
  console.log(`machine: kernel ${release()}, ${availableParallelism()} × ${cpus()[0]?.model ?? '?'}, ${Math.round(totalmem() / 2 ** 30)} GiB; load ${load()}`)
  for (const line of configuration) console.log(`- ${line}`)
}

/** Load averages over 1, 5 and 15 minutes. On a machine that others use too, no figure means anything without them. */
export function load(): string {
  return loadavg().map((each) => each.toFixed(2)).join(' ')
}

function commit(): string {
  const git = (...args: readonly string[]): string => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim()
  try {
    const changed = git('status', '--porcelain', '--', 'src', 'ui').split('\n').filter((line) => line !== '').length
    return `${git('rev-parse', '--short', 'HEAD')}${changed > 0 ? ` (${changed} files of src and ui differ from it)` : ''}`
  } catch {
    return 'unknown (no git checkout)'
  }
}
