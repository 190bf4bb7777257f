// A client of a node's API: keep-alive TLS, JSON, and how long each answer took.
import { Agent, request } from 'node:https'

export type Answer = { readonly status: number; readonly body: unknown; readonly bytes: number; readonly ms: number }
export type Ask = { readonly method?: string; readonly json?: unknown; readonly headers?: Readonly<Record<string, string>> }
export type Client = { ask(path: string, options?: Ask): Promise<Answer>; close(): void }

const timeoutMs = 90_000

/** @param options.url origin, like https://10.64.0.11:8443; an empty token sends none */
export function createClient(options: { readonly url: string; readonly ca: string; readonly token: string; readonly socketsMax?: number }): Client {
  const agent = new Agent({ keepAlive: true, maxSockets: options.socketsMax ?? 64, ca: options.ca })
  return {
    ask: (path, { method = 'GET', json, headers = {} } = {}) => new Promise((resolve, reject) => {
      const startedMs = performance.now()
      const bytes = json === undefined ? null : Buffer.from(JSON.stringify(json))
      const contentHeaders = bytes === null ? {} : { 'content-type': 'application/json', 'content-length': String(bytes.length) }
      const call = request(`${options.url}${path}`, { method, agent, timeout: timeoutMs, headers: { ...(options.token === '' ? {} : { authorization: `Bearer ${options.token}` }), accept: 'application/json', ...contentHeaders, ...headers } }, (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () => {
          const whole = Buffer.concat(chunks)
          resolve({ status: response.statusCode ?? 0, body: parse(whole.toString()), bytes: whole.length, ms: performance.now() - startedMs })
        })
        response.on('error', reject)
      })
      call.on('timeout', () => call.destroy(new Error(`${path}: no answer within ${timeoutMs} ms`)))
      call.on('error', reject)
      call.end(bytes ?? undefined)
    }),
    close: () => agent.destroy(),
  }
}

/** As `ask`, and anything but success is an error that quotes the answer. */
export async function require2xx(answer: Promise<Answer>, what: string): Promise<Answer> {
  const given = await answer
  if (given.status >= 300) throw new Error(`${what}: ${given.status} ${JSON.stringify(given.body).slice(0, 500)}`)
  return given
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
