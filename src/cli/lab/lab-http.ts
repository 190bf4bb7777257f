// Asks the nodes of a lab over HTTPS, by the lab's own CA file.
import { request } from 'node:https'
import { LabError } from './lab-error.ts'

export type LabAnswer = { readonly status: number; readonly body: unknown }

export type LabRequest = {
  readonly url: string
  readonly token?: string
  /** PEM; without it the certificate is not checked, as nobody knows the CA before the cluster is formed. */
  readonly ca?: string | undefined
  readonly timeoutMs?: number
}

const bodyBytesMax = 16 * 1024 * 1024

/** GETs JSON (or text). @throws LabError `unreachable` if no answer comes in time. */
export async function getFromNode(options: LabRequest): Promise<LabAnswer> {
  const timeoutMs = options.timeoutMs ?? 3000
  const { promise, resolve, reject } = Promise.withResolvers<LabAnswer>()
  const fail = (message: string): void => reject(new LabError('unreachable', `${options.url}: ${message}`))
  const call = request(
    options.url,
    {
      method: 'GET',
      agent: false,
      headers: { accept: 'application/json', ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }) },
      ...(options.ca === undefined ? { rejectUnauthorized: false } : { ca: options.ca }),
    },
    (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        text += chunk
        if (text.length > bodyBytesMax) call.destroy(new Error('the answer is too long'))
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: parseBody(text) }))
      response.on('error', (error) => fail(error.message))
    },
  )
  const timer = setTimeout(() => call.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
  call.on('error', (error) => fail(error.message))
  call.end()
  try {
    return await promise
  } finally {
    clearTimeout(timer)
  }
}

function parseBody(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
