// Starts the real HTTPS server around a small app, and speaks to it over the network.
import { once } from 'node:events'
import { request as httpsRequest } from 'node:https'
import type { IncomingHttpHeaders } from 'node:http'
import { connect, type TLSSocket } from 'node:tls'
import { selfSigned } from '../../../src/drivers/crypto/authority.ts'
import { loadAssets } from '../../../src/http/assets.ts'
import { startHttp, type Http, type HttpOptions } from '../../../src/http/server.ts'
import type { Clock } from '../../../src/ports/clock.ts'
import type { Log } from '../../../src/ports/log.ts'
import { createSmallApp, smallControl, token, type SmallApp } from './small-app.ts'

export const clock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs)
    return () => clearTimeout(timer)
  },
  every(periodMs, action) {
    const timer = setInterval(action, periodMs)
    return () => clearInterval(timer)
  },
}

export type LogLine = { readonly level: string; readonly message: string; readonly fields: unknown }
export function recordingLog(lines: LogLine[]): Log {
  const at = (level: string) => (message: string, fields: unknown = {}) => void lines.push({ level, message, fields })
  const log: Log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error'), child: () => log }
  return log
}

/** Parsed JSON: tests look into it freely. */
// oxlint-disable-next-line typescript/no-explicit-any
export type Json = any

export type Answer = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly text: string; readonly json: Json }
export type Ask = { readonly method?: string; readonly headers?: Record<string, string>; readonly body?: string | Uint8Array; readonly json?: unknown; readonly token?: string | null }
export type Served = {
  readonly app: SmallApp
  readonly http: Http
  readonly certPem: string
  readonly lines: LogLine[]
  readonly origin: string
  ask(path: string, options?: Ask): Promise<Answer>
  /** A bare TLS connection. */
  socket(): Promise<TLSSocket>
}

export async function serve(options: Partial<HttpOptions> & { readonly assetsDirectory?: string } = {}): Promise<Served> {
  const { certificatePem: certPem, keyPem } = await selfSigned({ commonName: 'n1', names: ['localhost'], addresses: ['127.0.0.1'], days: 1, nowMs: Date.now() })
  const app = createSmallApp()
  const lines: LogLine[] = []
  const { assetsDirectory, ...rest } = options
  const http = await startHttp({
    app, control: smallControl, host: '127.0.0.1', port: 0, tls: { certPem, keyPem }, clock, log: recordingLog(lines), version: '0.1.0',
    assets: assetsDirectory === undefined ? null : loadAssets(assetsDirectory), pages: null, ...rest,
  })
  return {
    app, http, certPem, lines, origin: `https://localhost:${http.port}`,
    ask: (path, asked = {}) => ask(http.port, certPem, path, asked),
    async socket() {
      const socket = connect({ host: '127.0.0.1', port: http.port, servername: 'localhost', ca: certPem })
      await once(socket, 'secureConnect')
      return socket
    },
  }
}

function ask(port: number, ca: string, path: string, { method = 'GET', headers = {}, body, json, token: bearer = token }: Ask): Promise<Answer> {
  const bytes = json === undefined ? body : JSON.stringify(json)
  return new Promise((resolve, reject) => {
    const request = httpsRequest({
      host: 'localhost', port, path, method, ca, agent: false,
      headers: {
        ...(bearer === null ? {} : { Authorization: `Bearer ${bearer}` }),
        ...(json === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...(bytes === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(bytes)) }), ...headers,
      },
    }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json: /json/.test(response.headers['content-type'] ?? '') && text !== '' && response.headers['content-encoding'] === undefined ? JSON.parse(text) : null })
      })
      response.on('error', reject)
    })
    request.on('error', reject)
    request.end(bytes)
  })
}
