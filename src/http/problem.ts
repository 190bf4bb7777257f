// Errors as RFC 9457 problem documents.
import { errorTable, OperationalError, type ErrorCode, type FieldError } from '../model/error.ts'

export const problemType = 'application/problem+json'

export type Problem = {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: ErrorCode
  readonly fields?: readonly FieldError[]
}

/** Anything thrown, as a problem. What is no operating fault is a bug, whose text stays in the log. */
export function problemOf(error: unknown): Problem {
  const fault = error instanceof OperationalError ? error : new OperationalError('INTERNAL', 'NovaCron failed to do this; its log says why. Whether it was done is unknown.')
  const { status, title } = errorTable[fault.code]
  return {
    type: `/api/docs#${fault.code}`, title, status, detail: fault.message, code: fault.code,
    ...(fault.data.fields === undefined ? {} : { fields: fault.data.fields }),
  }
}

/** Headers that a code asks for besides the content type. */
export function problemHeaders(error: unknown): Readonly<Record<string, string>> {
  const headers: Record<string, string> = { 'Cache-Control': 'no-store' }
  if (!(error instanceof OperationalError)) return headers
  const { status } = errorTable[error.code]
  const retryAfter = error.data.retryAfterSeconds ?? (status === 503 ? 1 : undefined)
  if (retryAfter !== undefined) headers['Retry-After'] = String(Math.max(1, Math.ceil(retryAfter)))
  if (status === 401) headers['WWW-Authenticate'] = 'Bearer realm="novacron"'
  // What is left of such a body is not read: the connection cannot serve another request.
  if (error.code === 'BODY_TOO_LARGE' || error.code === 'REQUEST_TIMEOUT') headers['Connection'] = 'close'
  const { allow } = error.data
  if (typeof allow === 'string') headers['Allow'] = allow
  return headers
}

export function problemResponse(error: unknown): Response {
  const problem = problemOf(error)
  return new Response(JSON.stringify(problem), { status: problem.status, headers: { 'Content-Type': problemType, ...problemHeaders(error) } })
}
