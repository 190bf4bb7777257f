// A real HTTPS server that answers as it is told to, and remembers what it was asked: for the faults that a healthy cluster does not show.
import { createServer, type Server } from 'node:https'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import { selfSigned } from '../../../src/drivers/crypto/authority.ts'
import type { Json } from '../http/harness.ts'

export type Asked = { readonly method: string; readonly path: string; readonly query: URLSearchParams; readonly headers: IncomingHttpHeaders; readonly body: Json }
export type Reply = { readonly status: number; readonly body?: unknown; readonly headers?: Readonly<Record<string, string | string[]>> }
/** Undefined cuts the connection. A function takes the response into its own hands. */
export type Script = (asked: Asked) => Reply | undefined | ((response: ServerResponse) => void)

export type Scripted = { readonly env: Readonly<Record<string, string>>; readonly caFile: string; readonly origin: string; readonly asked: Asked[]; script: Script; close(): Promise<void> }

export async function serveScript(script: Script): Promise<Scripted> {
  const { certificatePem, keyPem } = await selfSigned({ commonName: 'n1', names: ['localhost'], addresses: ['127.0.0.1'], days: 1, nowMs: Date.now() })
  const directory = mkdtempSync(join(tmpdir(), 'nc-ca-'))
  const caFile = join(directory, 'ca.pem')
  writeFileSync(caFile, certificatePem)
  const asked: Asked[] = []
  const server: Server = createServer({ cert: certificatePem, key: keyPem }, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const url = new URL(request.url ?? '', 'https://localhost')
      const text = Buffer.concat(chunks).toString()
      const one: Asked = { method: request.method ?? '', path: url.pathname, query: url.searchParams, headers: request.headers, body: /json/.test(request.headers['content-type'] ?? '') ? JSON.parse(text) : text }
      asked.push(one)
      const reply = scripted.script(one)
      if (reply === undefined) return void request.socket.destroy()
      if (typeof reply === 'function') return reply(response)
      response.writeHead(reply.status, { 'Content-Type': reply.status >= 400 ? 'application/problem+json' : 'application/json', ...reply.headers })
      response.end(reply.body === undefined ? undefined : JSON.stringify(reply.body))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const origin = `https://localhost:${(server.address() as AddressInfo).port}`
  const scripted: Scripted = {
    env: { HOME: directory, NOVACRON_URL: origin, NOVACRON_TOKEN: 'nct_test', NOVACRON_CA: caFile }, caFile, origin, asked, script,
    close: async () => {
      rmSync(directory, { recursive: true, force: true })
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
  return scripted
}

/** A problem document as the API's. */
export function problem(status: number, code: string, detail = 'It is so.', fields?: readonly { readonly path: string; readonly message: string }[]): Reply {
  return { status, body: { type: `/api/docs#${code}`, title: code, status, detail, code, ...(fields === undefined ? {} : { fields }) } }
}

const at = '2026-11-20T10:00:00.000Z'

export function vmOf(name: string, phase: string, message = ''): Json {
  return {
    id: '01890a5d-ac96-774b-bcce-0000000000aa', kind: 'vm', name, project: 'default', labels: {}, revision: 7, generation: 1,
    spec: { cpus: 1, memoryMiB: 512, disks: [], nics: [], runState: 'running' },
    status: { phase, node: 'node1', nodeId: 'n', epoch: 1, observedGeneration: 1, addresses: [], message, operation: null, createdAt: at, conditions: [] },
  }
}

export function operationOf(state: string, error: { readonly code: string; readonly message: string } | null = null): Json {
  const ended = state !== 'running' && state !== 'queued'
  return {
    id: '01890a5d-ac96-774b-bcce-0000000000bb', kind: 'operation', name: 'vm-start', project: 'default', labels: {}, revision: 7, generation: 1,
    spec: { operation: 'vm-start', target: { kind: 'vm', id: 'x', name: 'web' }, force: false, timeoutSeconds: 60 },
    status: { state, step: 0, steps: [{ name: 'boot', state: 'running', startedAt: at, endedAt: null }], node: 'node1', actor: 'admin', startedAt: at, endedAt: ended ? at : null, error, cancellable: !ended },
  }
}
