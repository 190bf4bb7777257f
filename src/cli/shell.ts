// One run of the command line: its streams, its client, what it has printed and how it will end.
import type { Command } from 'commander'
import { Client } from './client.ts'
import { exitCodes, Failure, type ExitCode, type Io } from './io.ts'
import { escapeText, renderJson, renderJsonLine } from './output.ts'
import { resolveConnection } from './settings.ts'

export class Shell {
  readonly io: Io
  /** Exactly one JSON document goes to standard output. */
  readonly json: boolean
  readonly #clients: Client[] = []
  readonly #abandoned = new AbortController()
  #exitCode: ExitCode = exitCodes.done
  #documents = 0

  constructor(io: Io, json: boolean) {
    this.io = io
    this.json = json
  }

  get exitCode(): ExitCode {
    return this.#exitCode
  }

  /** Fires when whoever read standard output has stopped, as `head` does: then there is nobody to go on for. */
  get abandoned(): AbortSignal {
    return this.#abandoned.signal
  }

  abandon(): void {
    this.#abandoned.abort()
  }

  /** Colours only where a person looks, and has not asked for none (no-color.org). */
  get colours(): boolean {
    return this.io.stdout.isTTY === true && (this.io.env['NO_COLOR'] ?? '') === '' && this.io.env['TERM'] !== 'dumb'
  }

  /** The client of the server that the environment or the profile names; one per run. */
  client(): Client {
    return this.#clients[0] ?? this.keep(new Client(resolveConnection(this.io.env), (text) => this.progress(escapeText(text))))
  }

  /** A client that is closed with the run. */
  keep(client: Client): Client {
    this.#clients.push(client)
    return client
  }

  close(): void {
    for (const client of this.#clients) client.close()
  }

  /** The answer: as JSON where that is asked for, else what `render` makes of it. */
  answer(value: unknown, render: () => string): void {
    this.#documents++
    this.io.stdout.write(this.json ? renderJson(value) : render())
  }

  /** One of many: a line for people, or a JSON document of one line. */
  stream(value: unknown, line: string): void {
    this.#documents++
    this.io.stdout.write(this.json ? renderJsonLine(value) : `${line}\n`)
  }

  /** What is going on, on standard error. */
  progress(text: string): void {
    this.io.stderr.write(`${text}\n`)
  }

  /** The worst of several results is how the run ends. */
  endWith(code: ExitCode): void {
    if (code > this.#exitCode) this.#exitCode = code
  }

  /** Tells a failure on standard error and, for `--json`, as the one document. */
  fail(error: unknown): void {
    const failure = error instanceof Failure ? error : new Failure(exitCodes.failed, 'FAILED', error instanceof Error ? error.message : String(error), { cause: error })
    this.endWith(failure.exitCode)
    this.complain(failure)
    if (this.json && this.#documents === 0) this.answer(problemOf(failure), () => '')
  }

  complain(failure: Failure, subject = ''): void {
    const head = subject === '' ? 'novacron: ' : `novacron: ${escapeText(subject)}: `
    this.io.stderr.write(`${head}${escapeText(failure.message)} (${escapeText(failure.code)})\n`)
    for (const field of failure.fields) this.io.stderr.write(`  ${escapeText(field.path === '' ? 'input' : field.path)}: ${escapeText(field.message)}\n`)
  }
}

/** A failure as JSON: the fields of the API's problem documents. */
export function problemOf(failure: Failure): Readonly<Record<string, unknown>> {
  return { code: failure.code, status: failure.status, detail: failure.message, ...(failure.fields.length === 0 ? {} : { fields: failure.fields }) }
}

/** Adds an example to a command's help. */
export function withExample(command: Command, ...examples: readonly string[]): Command {
  return command.addHelpText('after', `\nExample:\n${examples.map((example) => `  ${example}`).join('\n')}`)
}

/** The flag of every command that answers. */
export function withJson(command: Command): Command {
  return command.option('--json', 'one JSON document on standard output')
}
