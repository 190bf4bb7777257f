// Runs one stage of the tests as a process of its own, bounded in time, with its output shown and kept.
import { spawn } from 'node:child_process'
import { once } from 'node:events'

export type StageResult = { readonly code: number; readonly output: string; readonly seconds: number }

/** Groups of processes that run now: several stages may at once. */
const running = new Set<number>()

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // Already gone.
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    for (const pid of running) killGroup(pid)
    process.exit(130)
  })
}

/**
 * Runs a command to its end; after `timeoutMs` it and everything it started is killed. Its output goes to ours as it comes,
 * unless `quiet`.
 */
export async function runStage(command: readonly string[], options: { readonly timeoutMs: number; readonly quiet?: boolean; readonly env?: NodeJS.ProcessEnv }): Promise<StageResult> {
  const startedMs = performance.now()
  const [program = '', ...args] = command
  // A group of its own, so that a time-out reaches browsers and workers as well.
  const child = spawn(program, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...options.env } })
  const { pid } = child
  if (pid !== undefined) running.add(pid)
  let output = ''
  const show = (chunk: string): void => {
    output += chunk
    if (options.quiet !== true) process.stdout.write(chunk)
  }
  child.stdout.setEncoding('utf8').on('data', show)
  child.stderr.setEncoding('utf8').on('data', show)
  const timer = setTimeout(() => {
    show(`\n${command.join(' ')}: not done within ${options.timeoutMs / 1000} s\n`)
    if (pid !== undefined) killGroup(pid)
  }, options.timeoutMs)
  try {
    const [code] = (await once(child, 'close')) as [number | null]
    return { code: code ?? 137, output, seconds: (performance.now() - startedMs) / 1000 }
  } finally {
    clearTimeout(timer)
    if (pid !== undefined) running.delete(pid)
  }
}
