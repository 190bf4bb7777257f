// Asks the daemon on this host over its control socket; only root may open it.
import { createReadStream } from 'node:fs'
import { request, type ClientRequest, type IncomingMessage } from 'node:http'
import type { Command } from 'commander'
import { failureOfAnswer, Failure, unreachableFailure } from './io.ts'

export const controlSocketDefault = '/var/lib/novacron/control.sock'

export type SocketOptions = { readonly socket: string }

export function withSocket(command: Command): Command {
  return command.option('--socket <path>', "the daemon's control socket", controlSocketDefault)
}

/** Joining waits until the node has caught up. */
const timeoutMs = 120_000

/** @throws Failure for an answer that is an error, and where the daemon does not answer */
export async function askControl(socketPath: string, method: 'GET' | 'POST', path: string, body?: unknown): Promise<unknown> {
  const text = body === undefined ? undefined : JSON.stringify(body)
  return exchange({ socketPath, method, path, headers: text === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) } }, (outgoing) => outgoing.end(text))
}

/** Sends a file, with options of a kind that no other process may see. @throws Failure as `askControl` */
export async function sendControl(socketPath: string, path: string, file: { readonly path: string; readonly options: unknown }): Promise<unknown> {
  const headers = { 'Content-Type': 'application/octet-stream', 'Novacron-Options': Buffer.from(JSON.stringify(file.options)).toString('base64url') }
  return exchange({ socketPath, method: 'POST', path, headers }, (outgoing) => {
    const source = createReadStream(file.path)
    source.on('error', (cause) => outgoing.destroy(cause))
    outgoing.on('close', () => source.destroy())
    source.pipe(outgoing)
  })
}

async function exchange(call: { readonly socketPath: string; readonly method: 'GET' | 'POST'; readonly path: string; readonly headers: Readonly<Record<string, string | number>> }, send: (outgoing: ClientRequest) => void): Promise<unknown> {
  const { socketPath } = call
  const { promise, resolve, reject } = Promise.withResolvers<{ readonly status: number; readonly text: string }>()
  const outgoing = request(
    { ...call, agent: false },
    (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }))
      response.on('error', reject)
    },
  )
  outgoing.setTimeout(timeoutMs, () => outgoing.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)))
  outgoing.on('error', reject)
  send(outgoing)
  try {
    const answer = await promise
    const parsed: unknown = answer.text === '' ? null : JSON.parse(answer.text)
    if (answer.status !== 200) throw failureOfAnswer(answer.status, parsed)
    return parsed
  } catch (error) {
    throw error instanceof Failure ? error : unreachable(socketPath, error)
  }
}

/** The head of an answer that is a file; with a body it is a POST. @throws Failure */
export async function openControl(socketPath: string, path: string, body?: unknown): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const text = body === undefined ? '' : JSON.stringify(body)
  const headers = body === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }
  const outgoing = request({ socketPath, method: body === undefined ? 'GET' : 'POST', path, agent: false, headers }, resolve)
  outgoing.setTimeout(timeoutMs, () => outgoing.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)))
  outgoing.on('error', reject)
  outgoing.end(text)
  let response: IncomingMessage
  try {
    response = await promise
  } catch (error) {
    throw unreachable(socketPath, error)
  }
  if (response.statusCode === 200 || response.statusCode === 201) return response
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  throw failureOfAnswer(response.statusCode ?? 0, JSON.parse(Buffer.concat(chunks).toString()))
}

function unreachable(socketPath: string, error: unknown): Failure {
  const code = error instanceof Error && 'code' in error ? error.code : ''
  if (code === 'EACCES') return new Failure(4, 'FORBIDDEN', `${socketPath} may be opened by root only.`, { cause: error })
  const advice = code === 'ENOENT' || code === 'ECONNREFUSED' ? 'Does the daemon run (systemctl status novacron), and is this its socket (--socket)?' : ''
  return unreachableFailure(`The daemon does not answer at ${socketPath}: ${error instanceof Error ? error.message : String(error)}. ${advice}`.trim(), error)
}
