// Runs QEMU's image tool and other programs with time-outs and bounded output.
import { execFile } from 'node:child_process'
import { OperationalError } from '../../model/error.ts'
import { Gate } from '../gate.ts'

const outputBytesMax = 1024 * 1024
/** Files from outside are read by a process that cannot take the host's memory or time. */
const untrustedLimits = ['--as=1073741824', '--cpu=60'] as const

export type Outcome = { readonly status: number; readonly stdout: string; readonly stderr: string }
export type RunOptions = { readonly timeoutMs: number; readonly untrusted?: boolean; readonly cwd?: string }

export class ImageTool {
  readonly #gate = new Gate({ purpose: 'storage jobs', width: 4, waitingMax: 1024 })

  /**
   * The exit status is the caller's to judge.
   * @throws OperationalError STORAGE_FAILED where the program is missing or takes too long
   */
  async run(program: string, words: readonly string[], options: RunOptions): Promise<Outcome> {
    const [command, all] = options.untrusted === true ? ['prlimit', [...untrustedLimits, program, ...words]] : [program, [...words]]
    return this.#gate.pass(
      () =>
        new Promise<Outcome>((resolve, reject) => {
          execFile(command, all, { timeout: options.timeoutMs, killSignal: 'SIGKILL', maxBuffer: outputBytesMax, cwd: options.cwd }, (error, stdout, stderr) => {
            if (error === null) resolve({ status: 0, stdout, stderr })
            else if (typeof error.code === 'number') resolve({ status: error.code, stdout, stderr })
            else reject(new OperationalError('STORAGE_FAILED', `${program} ${words[0] ?? ''} did not end well: ${error.killed === true ? `no end within ${options.timeoutMs} ms` : error.message.slice(0, 500)}`, { cause: error }))
          })
        }),
    )
  }

  /** @throws OperationalError STORAGE_FULL, IN_USE, STORAGE_FAILED for an exit status other than 0 */
  async runOrThrow(program: string, words: readonly string[], options: RunOptions): Promise<string> {
    const outcome = await this.run(program, words, options)
    if (outcome.status !== 0) throw programError(program, words[0] ?? '', outcome)
    return outcome.stdout
  }
}

function programError(program: string, verb: string, outcome: Outcome): OperationalError {
  const said = outcome.stderr.trim().slice(0, 500)
  if (/No space left on device|Disk quota exceeded/i.test(said)) return new OperationalError('STORAGE_FULL', `The storage is full: ${said}`)
  if (/Failed to get (?:"\w+"|shared "\w+") lock|Failed to lock/i.test(said)) return new OperationalError('IN_USE', `The disk is in use: ${said}`)
  return new OperationalError('STORAGE_FAILED', `${program} ${verb} failed with status ${outcome.status}: ${said}`)
}
