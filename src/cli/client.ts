// The HTTP client of the command line: TLS by the cluster's CA, retries that cannot do a thing twice, server-sent events.
import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { Agent, request, type RequestOptions } from 'node:https'
import { setTimeout as delay } from 'node:timers/promises'
import { failureOfAnswer, Failure, unreachableFailure } from './io.ts'

export type Connection = {
  readonly url: URL
  /** API token; null where none is known. */
  readonly token: string | null
  /** PEM; null leaves it to the system's authorities and NODE_EXTRA_CA_CERTS. */
  readonly ca: string | null
}

export type Answer = { readonly status: number; readonly headers: IncomingMessage['headers']; readonly body: unknown }

/** One write. `wait` is the Prefer header's, in seconds. */
export type Write = {
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly body?: unknown
  /** `sizeBytes` of it from `startBytes` on; by default all. */
  readonly file?: { readonly path: string; readonly startBytes?: number; readonly sizeBytes: number; readonly onBytes: (sentBytes: number) => void }
  /** The answer may take as long as the check of a large file. */
  readonly slow?: true
  readonly waitSeconds?: number
  readonly dryRun?: boolean
  readonly headers?: Readonly<Record<string, string>>
}

/** A host that is off does not even refuse. */
const connectTimeoutMs = 5_000
/** Beyond what the server was asked to wait: it knows the outcome of a write, or that it is unknown, within 5 s. */
const answerTimeoutMs = 20_000
/** An import's answer comes after the whole image was checked. */
const importTimeoutMs = 900_000
/** How long an unknown outcome is asked for again by the same key. */
const retryMs = 15_000
const retryPauseMs = 300
/** While the cluster elects a leader a write is surely not done: it is sent again for a moment, in which most elections end; a cut-off node is told of soon. */
const electionMs = 1_500
const continueTimeoutMs = 5_000
const answerBytesMax = 64 * 1024 * 1024

type Call = {
  readonly method: string
  readonly target: string
  readonly headers: Readonly<Record<string, string | number>>
  readonly body?: string
  readonly file?: Write['file']
  readonly timeoutMs: number
}

export class Client {
  readonly connection: Connection
  readonly #agent: Agent
  /** Says to the person what the answer alone does not. */
  readonly #tell: (text: string) => void
  readonly #told = new Set<string>()

  constructor(connection: Connection, tell: (text: string) => void = () => undefined) {
    this.connection = connection
    this.#tell = tell
    this.#agent = new Agent({ keepAlive: true, maxSockets: 4, ...(connection.ca === null ? {} : { ca: connection.ca }) })
  }

  close(): void {
    this.#agent.destroy()
  }

  /** @throws Failure for any answer that is an error, and where no answer comes */
  async get(path: string, query: Readonly<Record<string, string>> = {}, waitSeconds = 0): Promise<unknown> {
    const target = targetOf(path, query)
    const answer = await this.#call({ method: 'GET', target, headers: this.#headers({ Accept: 'application/json' }), timeoutMs: answerTimeoutMs + waitSeconds * 1000 })
    return requireGood(answer).body
  }

  /**
   * Sends a write under one Idempotency-Key. Where its outcome is unknown, or no leader was there, it is sent again with the same key for some
   * seconds, so that it is done once.
   * @throws Failure as `get`
   */
  async write(write: Write): Promise<Answer> {
    const target = targetOf(write.path, { ...write.query, ...(write.dryRun === true ? { dryRun: 'true' } : {}) })
    const body = write.body === undefined ? undefined : JSON.stringify(write.body)
    const headers = this.#headers({
      Accept: 'application/json', 'Idempotency-Key': randomUUID(),
      ...(write.waitSeconds === undefined || write.waitSeconds === 0 ? {} : { Prefer: `wait=${write.waitSeconds}` }),
      ...(body === undefined ? {} : { 'Content-Type': write.method === 'PATCH' ? 'application/merge-patch+json' : 'application/json', 'Content-Length': Buffer.byteLength(body) }),
      ...(write.file === undefined ? {} : { 'Content-Type': 'application/octet-stream', 'Content-Length': write.file.sizeBytes, Expect: '100-continue' }),
      ...write.headers,
    })
    const timeoutMs = (write.file === undefined && write.slow !== true ? answerTimeoutMs : importTimeoutMs) + (write.waitSeconds ?? 0) * 1000
    const call: Call = { method: write.method, target, headers, timeoutMs, ...(body === undefined ? {} : { body }), ...(write.file === undefined ? {} : { file: write.file }) }
    const beginMs = performance.now()
    for (;;) {
      try {
        return requireGood(await this.#call(call))
      } catch (error) {
        if (performance.now() - beginMs > patienceMs(error, call)) throw error
        this.#tellOnce('No leader answers yet; trying again.')
        await delay(retryPauseMs)
      }
    }
  }

  /** Opens a GET whose body is read as it comes. @throws Failure as `get` */
  async open(path: string, query: Readonly<Record<string, string>>, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<IncomingMessage> {
    const response = await this.#begin({ method: 'GET', target: targetOf(path, query), headers: this.#headers(headers), timeoutMs: answerTimeoutMs }, signal)
    const status = response.statusCode ?? 0
    if (status >= 400) throw failureOfAnswer(status, parseBody(await readAll(response)))
    return response
  }

  /** Sends JSON and opens the answer, a file, whose body is read as it comes. Not sent again: a file begun is a file. @throws Failure as `get` */
  async openPost(path: string, body: unknown): Promise<IncomingMessage> {
    const text = JSON.stringify(body)
    const headers = this.#headers({ 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) })
    const response = await this.#begin({ method: 'POST', target: path, headers, body: text, timeoutMs: answerTimeoutMs })
    const status = response.statusCode ?? 0
    if (status >= 400) throw failureOfAnswer(status, parseBody(await readAll(response)))
    return response
  }

  #headers(own: Readonly<Record<string, string | number>>): Readonly<Record<string, string | number>> {
    return this.connection.token === null ? own : { Authorization: `Bearer ${this.connection.token}`, ...own }
  }

  async #call(call: Call): Promise<Answer> {
    const response = await this.#begin(call)
    try {
      const since = response.headers['novacron-stale-since']
      if (typeof since === 'string') this.#tellOnce(`${this.connection.url.host} has no contact with its cluster since ${since}: what it shows may be old.`)
      return { status: response.statusCode ?? 0, headers: response.headers, body: parseBody(await readAll(response)) }
    } catch (error) {
      throw this.#unreachable(error, true)
    }
  }

  /** Resolves with the head of the answer. */
  async #begin(call: Call, signal?: AbortSignal): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const options: RequestOptions = { method: call.method, path: call.target, host: this.connection.url.hostname.replaceAll(/[[\]]/g, ''), port: this.connection.url.port || 443, agent: this.#agent, headers: call.headers, ...(signal === undefined ? {} : { signal }) }
    const outgoing = request(options, (response) => {
      outgoing.setTimeout(0)
      resolve(response)
    })
    let connected = false
    const patience = setTimeout(() => outgoing.destroy(new Error(`no connection within ${connectTimeoutMs / 1000} s`)), connectTimeoutMs)
    const onConnected = () => {
      connected = true
      clearTimeout(patience)
    }
    outgoing.on('socket', (socket) => {
      if (socket.connecting) socket.once('secureConnect', onConnected)
      else onConnected()
    })
    // Counts from when the socket is connected.
    outgoing.setTimeout(call.timeoutMs, () => outgoing.destroy(new Error(`no answer within ${call.timeoutMs / 1000} s`)))
    outgoing.on('close', () => clearTimeout(patience))
    outgoing.on('error', (error) => reject(this.#unreachable(error, connected && call.method !== 'GET')))
    if (call.file === undefined) outgoing.end(call.body)
    else sendFile(outgoing, call.file, reject)
    return promise
  }

  #tellOnce(text: string): void {
    if (this.#told.has(text)) return
    this.#told.add(text)
    this.#tell(text)
  }

  #unreachable(error: unknown, sent: boolean): Failure {
    const reason = error instanceof Error ? (isCoded(error) && error.message === '' ? error.code : error.message) : String(error)
    const { origin } = this.connection.url
    if (isCoded(error) && /CERT|SIGNATURE|ALTNAME|ISSUER/.test(error.code)) return unreachableFailure(`The certificate of ${origin} does not verify: ${reason}. Give the cluster's CA by NOVACRON_CA or "novacron login --ca".`, error)
    return new Failure(6, sent ? 'OUTCOME_UNKNOWN' : 'UNREACHABLE', sent ? `${origin} broke off before it answered: ${reason}. Whether it was done is unknown.` : `${origin} cannot be reached: ${reason}.`, { cause: error })
  }
}

function sendFile(outgoing: ReturnType<typeof request>, file: NonNullable<Write['file']>, reject: (error: unknown) => void): void {
  const source = createReadStream(file.path, { highWaterMark: 1024 * 1024, start: file.startBytes ?? 0, end: (file.startBytes ?? 0) + file.sizeBytes - 1 })
  let sentBytes = 0
  source.on('error', (cause) => {
    outgoing.destroy()
    reject(new Failure(1, 'FAILED', `${file.path} cannot be read: ${cause.message}.`, { cause }))
  })
  source.on('data', (chunk) => file.onBytes((sentBytes += chunk.length))).pause()
  // Nothing is sent before the server wants it: a refusal then needs no upload. Who never says so gets it anyway (RFC 9110 §10.1.1).
  const begin = () => {
    clearTimeout(impatience)
    if (!outgoing.destroyed) source.pipe(outgoing)
  }
  const impatience = setTimeout(begin, continueTimeoutMs)
  outgoing.once('continue', begin)
  outgoing.once('response', () => clearTimeout(impatience))
  outgoing.on('close', () => {
    clearTimeout(impatience)
    source.destroy()
  })
  outgoing.flushHeaders()
}

function requireGood(answer: Answer): Answer {
  if (answer.status >= 400 || answer.status < 200) throw failureOfAnswer(answer.status, answer.body)
  return answer
}

/** For how long a write that failed so is sent again. */
function patienceMs(error: unknown, call: Call): number {
  if (!(error instanceof Failure)) return 0
  if (error.code === 'OUTCOME_UNKNOWN') return retryMs
  return error.code === 'NO_QUORUM' && call.file === undefined ? electionMs : 0
}

function targetOf(path: string, query: Readonly<Record<string, string>>): string {
  const search = new URLSearchParams(query).toString()
  return search === '' ? path : `${path}?${search}`
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response) {
    bytes += (chunk as Buffer).length
    if (bytes > answerBytesMax) throw new Error('the answer is too long')
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks).toString()
}

function parseBody(text: string): unknown {
  if (text === '') return null
  try {
    return JSON.parse(text)
  } catch {
    // A proxy's page, say: its status tells all that is known.
    return null
  }
}

function isCoded(error: unknown): error is Error & { readonly code: string } {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
}
