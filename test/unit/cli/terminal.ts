// Runs the command line in this process, between streams that remember: what a person would see, type and get as exit code.
import { randomUUID } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { runCli } from '../../../src/cli/program.ts'
import type { Json } from '../http/harness.ts'

export type Ran = { readonly code: number; readonly stdout: string; /** Standard output as it came. */ readonly bytes: Buffer; readonly stderr: string; readonly json: Json }
export type Surroundings = { readonly env?: Readonly<Record<string, string>>; readonly input?: string | Buffer; readonly terminal?: boolean; readonly onOutput?: (text: string, stdin: PassThrough) => void }

class Sink extends Writable {
  text = ''
  readonly pieces: Buffer[] = []
  readonly isTTY: boolean
  readonly #onText: (text: string) => void
  constructor(isTTY: boolean, onText: (text: string) => void) {
    super()
    this.isTTY = isTTY
    this.#onText = onText
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString()
    this.pieces.push(chunk)
    this.#onText(this.text)
    done()
  }
}

/** A home directory that is not there, so that nobody's profiles are read; whoever signs in with it removes it. */
export function emptyHome(): Readonly<Record<'HOME', string>> {
  return { HOME: join(tmpdir(), `nc-home-${randomUUID()}`) }
}

/** Runs `novacron …`. With `terminal`, all three streams are one. */
export async function run(argv: readonly string[], { env = emptyHome(), input, terminal = false, onOutput }: Surroundings = {}): Promise<Ran> {
  const stdin = Object.assign(new PassThrough(), { isTTY: terminal, setRawMode: () => undefined })
  const told = (text: string) => onOutput?.(text, stdin)
  const stdout = new Sink(terminal, told)
  const stderr = new Sink(terminal, told)
  if (input !== undefined) stdin.end(input)
  const code = await runCli([...argv], { stdout, stderr, stdin, env })
  let json: unknown
  try {
    json = JSON.parse(stdout.text)
  } catch {
    json = undefined
  }
  return { code, stdout: stdout.text, bytes: Buffer.concat(stdout.pieces), stderr: stderr.text, json }
}
