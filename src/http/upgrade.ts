// What every WebSocket's handshake needs before there is a WebSocket: the request's headers, and an answer where it is refused.
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { problemHeaders, problemOf, problemType } from './problem.ts'
import { securityHeaders } from './security.ts'

export function headersOf(request: IncomingMessage): Headers {
  const headers = new Headers()
  for (const [name, value] of Object.entries(request.headers)) if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(', ') : value)
  return headers
}

/** Answers the request as any other that fails, and closes. */
export function refuseUpgrade(socket: Duplex, error: unknown): void {
  if (socket.destroyed) return
  const problem = problemOf(error)
  const body = JSON.stringify(problem)
  const headers = { ...securityHeaders, ...problemHeaders(error), 'Content-Type': problemType, 'Content-Length': String(Buffer.byteLength(body)), Connection: 'close' }
  socket.end(`HTTP/1.1 ${problem.status} ${problem.code}\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`)
}
