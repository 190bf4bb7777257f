// Talks to the nodes of a lab over HTTPS as any program would: verified by the lab's CA.
import { readFileSync } from 'node:fs'
import { Agent, request, type RequestOptions } from 'node:https'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { clusterViewSchema, type ClusterView } from '../../src/model/cluster.ts'
import { operationSchema, type Operation } from '../../src/model/operation.ts'
import { vmSchema, type Vm } from '../../src/model/vm.ts'
import type { Lab } from './lab-runner.ts'

/** Status 0: no answer, `text` says why. */
export type Answer = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly text: string; readonly body: unknown; readonly ms: number }

export type CallOptions = {
  /** Sent as JSON; bytes are sent as they are. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** Null sends no credential; default is the lab's administrator. */
  readonly token?: string | null | undefined
  readonly timeoutMs?: number
  /** Over a connection that an earlier read left. Not where the node may have been restarted since. */
  readonly keep?: boolean
}

type StreamOptions = {
  readonly headers?: Readonly<Record<string, string>>
  readonly token?: string | undefined
  readonly signal: AbortSignal
  readonly onText: (text: string) => void
  readonly onEnd?: () => void
}

const problemSchema = z.object({
  type: z.string(), title: z.string().min(1), status: z.number(), detail: z.string().min(1), code: z.string(),
  fields: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
})
export type Problem = z.infer<typeof problemSchema>

/** The node's answer as a problem document. @throws where it is none */
export function problemOf(answer: Answer): Problem {
  if (!(answer.headers['content-type'] ?? '').startsWith('application/problem+json')) throw new Error(`no problem document: ${answer.status} ${answer.text.slice(0, 300)}`)
  const problem = problemSchema.parse(answer.body)
  if (problem.status !== answer.status) throw new Error(`the document says ${problem.status}, the status line ${answer.status}`)
  return problem
}

export class Api {
  readonly #lab: Lab
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 4 })

  constructor(lab: Lab) {
    this.#lab = lab
  }

  async call(node: string, method: string, path: string, options: CallOptions = {}): Promise<Answer> {
    const startedMs = performance.now()
    const { promise, resolve } = Promise.withResolvers<Answer>()
    const fail = (error: Error) => resolve({ status: 0, headers: {}, text: error.message, body: undefined, ms: performance.now() - startedMs })
    const call = request(`${this.#lab.node(node).url}${path}`, this.#requestOptions(method, options), (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', fail)
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, body: parseJson(text), ms: performance.now() - startedMs })
      })
    })
    const timer = setTimeout(() => call.destroy(new Error('no answer in time')), options.timeoutMs ?? 10_000)
    call.on('error', fail)
    const { body } = options
    if (body === undefined) call.end()
    else call.end(body instanceof Uint8Array ? body : JSON.stringify(body))
    try {
      return await promise
    } finally {
      clearTimeout(timer)
    }
  }

  /** Like `call`, but anything else than `status` is a fault of the test. */
  async expect(status: number, node: string, method: string, path: string, options: CallOptions = {}): Promise<Answer> {
    const answer = await this.call(node, method, path, options)
    if (answer.status !== status) throw new Error(`${method} ${path} at ${node}: ${answer.status}, not ${status}: ${answer.text.slice(0, 500)}`)
    return answer
  }

  async vm(node: string, ref: string): Promise<Vm> {
    return vmSchema.parse((await this.expect(200, node, 'GET', `/api/v1/vms/${ref}`)).body)
  }

  /** Creates a VM from `tiny` in 128 MiB. @param options.wait seconds to wait for its phase */
  async createVm(node: string, name: string, options: { readonly on?: string; readonly wait?: number; readonly spec?: object; readonly headers?: Readonly<Record<string, string>> } = {}): Promise<Vm> {
    const placement = options.on === undefined ? {} : { placement: { node: options.on } }
    const body = { name, spec: { ...tinySpec, runState: 'running', ...placement, ...options.spec } }
    const headers = { prefer: `wait=${options.wait ?? 30}`, ...options.headers }
    return vmSchema.parse((await this.expect(201, node, 'POST', '/api/v1/vms', { body, headers, timeoutMs: 60_000 })).body)
  }

  /** Runs an action to its end, which must be `done`. */
  async act(node: string, ref: string, action: string, body?: object): Promise<Operation> {
    const answer = await this.expect(202, node, 'POST', `/api/v1/vms/${ref}/${action}`, { headers: { prefer: 'wait=60' }, body, timeoutMs: 70_000 })
    const operation = operationSchema.parse(answer.body)
    if (operation.status.state !== 'done') throw new Error(`${action} of ${ref} is ${operation.status.state}: ${JSON.stringify(operation.status.error)}`)
    return operation
  }

  async deleteVm(node: string, ref: string): Promise<void> {
    await this.expect(202, node, 'DELETE', `/api/v1/vms/${ref}`, { headers: { prefer: 'wait=60' }, body: { force: true }, timeoutMs: 70_000 })
  }

  async cluster(node: string): Promise<ClusterView> {
    return clusterViewSchema.parse((await this.expect(200, node, 'GET', '/api/v1/cluster')).body)
  }

  /** The name of the leader, asked of `node` until it knows one. */
  async leader(node: string): Promise<string> {
    for (let tries = 0; tries < 100; tries++) {
      const { leader } = await this.cluster(node)
      if (leader !== null) return leader
      await delay(100)
    }
    throw new Error(`${node} knows no leader`)
  }

  /** Everything of a list; page by page. */
  async all(node: string, noun: string, options: Pick<CallOptions, 'keep'> = {}): Promise<readonly Record<string, unknown>[]> {
    const items: Record<string, unknown>[] = []
    for (let after = ''; ; ) {
      const { body } = await this.expect(200, node, 'GET', `/api/v1/${noun}?limit=1000${after === '' ? '' : `&after=${encodeURIComponent(after)}`}`, options)
      const page = z.object({ items: z.array(z.record(z.string(), z.unknown())), next: z.string().nullable() }).parse(body)
      items.push(...page.items)
      if (page.next === null) return items
      after = page.next
    }
  }

  /** Opens a stream that stays open; aborting ends it. Calls back for each piece of text. */
  async stream(node: string, path: string, options: StreamOptions): Promise<{ readonly status: number }> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const call = request(`${this.#lab.node(node).url}${path}`, { ...this.#requestOptions('GET', { token: options.token, headers: { accept: 'text/event-stream', ...options.headers } }), signal: options.signal }, resolve)
    call.on('error', reject)
    call.end()
    const response = await promise
    response.setEncoding('utf8').on('data', options.onText).on('error', () => {}).on('close', () => options.onEnd?.())
    return { status: response.statusCode ?? 0 }
  }

  #requestOptions(method: string, options: CallOptions): RequestOptions {
    const { body, token = this.#lab.report?.token ?? '' } = options
    const length = body === undefined ? 0 : body instanceof Uint8Array ? body.length : Buffer.byteLength(JSON.stringify(body))
    return {
      method, agent: options.keep === true ? this.#agent : false, ca: readFileSync(this.#lab.report?.caFile ?? ''),
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(body === undefined || options.headers?.['transfer-encoding'] !== undefined ? {} : { 'content-length': String(length) }),
        accept: 'application/json',
        ...options.headers,
      },
    }
  }
}

export const tinySpec = { cpus: 1, memoryMiB: 128, disks: [{ name: 'root', image: 'tiny' }], nics: [{ network: 'nat' }] }

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
