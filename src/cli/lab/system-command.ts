// Runs the machine's own programs (ip, nft, nsenter, npm's node) with a bound on time and output.
import { spawn } from 'node:child_process'
import { LabError } from './lab-error.ts'

export type CommandResult = { readonly code: number; readonly stdout: string; readonly stderr: string }

export type CommandOptions = {
  readonly input?: string
  readonly timeoutMs?: number
  readonly env?: NodeJS.ProcessEnv
  readonly signal?: AbortSignal | undefined
}

const outputBytesMax = 8 * 1024 * 1024

/**
 * Runs a program to its end. `code` is its exit code, 128 + n for a signal n we cannot name better (137).
 * @throws LabError if it cannot be started, does not end in time or is aborted.
 */
export async function tryCommand(program: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const timeoutMs = options.timeoutMs ?? 20_000
  const { promise, resolve, reject } = Promise.withResolvers<CommandResult>()
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], env: options.env ?? process.env })
  const timer = setTimeout(() => fail(`${program} ${args.join(' ')} did not end within ${timeoutMs} ms`), timeoutMs)
  const onAbort = (): void => fail(`${program} was interrupted`)
  options.signal?.addEventListener('abort', onAbort, { once: true })
  let [stdout, stderr] = ['', '']
  function fail(message: string): void {
    child.kill('SIGKILL')
    reject(new LabError('failed', message))
  }
  function collect(text: string, chunk: string): string {
    if (text.length + chunk.length > outputBytesMax) fail(`${program} said too much`)
    return text + chunk
  }
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout = collect(stdout, chunk)))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr = collect(stderr, chunk)))
  child.on('error', (cause) => reject(new LabError('failed', `cannot run ${program}: ${cause.message}`, cause)))
  child.on('close', (code) => resolve({ code: code ?? 137, stdout, stderr }))
  // A program that ends without reading its input is judged by its exit code.
  child.stdin.on('error', () => {})
  child.stdin.end(options.input ?? '')
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    options.signal?.removeEventListener('abort', onAbort)
  }
}

/** As `tryCommand`, and a failure is an error. @returns standard output. */
export async function runCommand(program: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const result = await tryCommand(program, args, options)
  if (result.code !== 0) throw new LabError('failed', `${program} ${args.join(' ')}: exit ${result.code}: ${(result.stderr || result.stdout).trim()}`)
  return result.stdout
}
