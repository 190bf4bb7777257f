// Three bare Node processes that replicate as little as can be, on the same machine and TLS as the rivals: what no product on this runtime goes below.
import { join } from 'node:path'
import { startChild, type Child } from './child.ts'
import { freePorts } from './etcd.ts'
import type { makeTls } from './etcd-tls.ts'
import type { FloorStart } from './floor-node.ts'
import { createClient, require2xx } from './https-client.ts'

const answerLimitMs = 30_000

export type Floor = { readonly pids: readonly number[]; put(at: number, value: string): Promise<unknown>; confirmed(at: number): Promise<unknown>; local(at: number): Promise<unknown> }

export const floorText = 'bare Node: three processes, HTTPS by node:https, each write sent to the two others over mutual TLS and appended with one fdatasync on each, answered after two of three; a confirmed read is one round to the others; no consensus, rights, state or audit'

export async function startFloor(options: { readonly directory: string; readonly tls: Awaited<ReturnType<typeof makeTls>>; readonly socketsMax: number }, defer: (undo: () => Promise<void> | void) => void): Promise<Floor> {
  const { certFile, keyFile, caFile, ca } = options.tls
  const ports = await freePorts(6)
  const peerPorts = ports.slice(3)
  const nodes: Child[] = []
  for (const [at, httpPort] of ports.slice(0, 3).entries()) {
    const start: FloorStart = { httpPort, peerPort: peerPorts[at]!, peerPorts: peerPorts.filter((_, other) => other !== at), journal: join(options.directory, `floor-${at}`), certFile, keyFile, caFile }
    const node = startChild({ file: 'floor-node.ts', args: [JSON.stringify(start)], logPath: `${start.journal}.log` })
    defer(() => node.stop())
    await node.next(answerLimitMs)
    nodes.push(node)
  }
  for (const node of nodes) await node.ask({}, answerLimitMs)
  const clients = ports.slice(0, 3).map((port) => createClient({ url: `https://127.0.0.1:${port}`, ca, token: '', socketsMax: options.socketsMax }))
  defer(() => clients.forEach((client) => client.close()))
  const ask = (at: number, path: string, json: object) => require2xx(clients[at % clients.length]!.ask(path, { method: 'POST', json }), 'asking bare Node')
  return {
    pids: nodes.map((node) => node.pid),
    put: (at, value) => ask(at, '/put', { value: Buffer.from(value).toString('base64') }),
    confirmed: (at) => ask(at, '/confirmed', {}),
    local: (at) => ask(at, '/local', {}),
  }
}
