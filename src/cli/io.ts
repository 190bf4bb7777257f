// What a command has of the world around it, and how it fails: streams, environment, exit codes.
import type { Readable, Writable } from 'node:stream'
import { errorTable, isErrorCode, type FieldError } from '../model/error.ts'
import { endOnce } from '../model/sentence.ts'

export type Output = Writable & { readonly isTTY?: boolean | undefined; readonly columns?: number | undefined }
export type Input = Readable & { readonly isTTY?: boolean | undefined; setRawMode?(on: boolean): unknown }
export type Io = {
  readonly stdout: Output
  readonly stderr: Output
  readonly stdin: Input
  readonly env: Readonly<Record<string, string | undefined>>
}

/** Exit codes of every command; people and checks rely on them. */
export const exitCodes = { done: 0, failed: 1, usage: 2, notFound: 3, denied: 4, conflict: 5, unreachable: 6 } as const
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** The exit code of an answer that is an error. */
export function exitCodeOfStatus(status: number): ExitCode {
  switch (status) {
    case 401:
    case 403:
      return exitCodes.denied
    case 404:
      return exitCodes.notFound
    case 409:
    case 412:
    case 422:
      return exitCodes.conflict
    case 502:
    case 503:
    case 504:
      return exitCodes.unreachable
    default:
      return exitCodes.failed
  }
}

/** Why a command did not do what was asked for. `code` is the API's, or USAGE, UNREACHABLE, FAILED of the command line itself. */
export class Failure extends Error {
  readonly exitCode: ExitCode
  readonly code: string
  /** HTTP status; 0 where there was no answer. */
  readonly status: number
  readonly fields: readonly FieldError[]
  constructor(exitCode: ExitCode, code: string, message: string, options: { readonly status?: number; readonly fields?: readonly FieldError[]; readonly cause?: unknown } = {}) {
    super(endOnce(message), options.cause === undefined ? {} : { cause: options.cause })
    this.name = 'Failure'
    this.exitCode = exitCode
    this.code = code
    this.status = options.status ?? 0
    this.fields = options.fields ?? []
  }
}

export function usageFailure(message: string): Failure {
  return new Failure(exitCodes.usage, 'USAGE', message)
}

export function unreachableFailure(message: string, cause?: unknown): Failure {
  return new Failure(exitCodes.unreachable, 'UNREACHABLE', message, { cause })
}

/** A problem document (RFC 9457) as a Failure; an answer that is none is told by its status. */
export function failureOfAnswer(status: number, body: unknown): Failure {
  const problem = typeof body === 'object' && body !== null ? (body as Readonly<Record<string, unknown>>) : {}
  const code = typeof problem['code'] === 'string' ? problem['code'] : 'FAILED'
  const title = isErrorCode(code) ? errorTable[code].title : `The server answered ${status}`
  const message = typeof problem['detail'] === 'string' && problem['detail'] !== '' ? problem['detail'] : title
  const fields = Array.isArray(problem['fields']) ? problem['fields'].filter(isFieldError) : []
  return new Failure(exitCodeOfStatus(status), code, message, { status, fields })
}

function isFieldError(value: unknown): value is FieldError {
  return typeof value === 'object' && value !== null && 'path' in value && typeof value.path === 'string' && 'message' in value && typeof value.message === 'string'
}
