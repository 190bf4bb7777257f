// Three real processes: one is stopped, resumed, killed and started again while the others go on, with bounded memory and no unhandled fault.
import { fork, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { peerIdOfPrivateKey } from '../../src/p2p/peer-id.ts'
import type { PeerCommand, PeerReport } from './transport-peer.ts'

const ids = ['a', 'b', 'c']
type Status = Extract<PeerReport, { kind: 'status' }>
type Peer = { readonly nodeId: string; readonly seedHex: string; port: number; child: ChildProcess | null; status: Status | null }

const peers = new Map<string, Peer>(ids.map((nodeId) => [nodeId, { nodeId, seedHex: randomBytes(32).toString('hex'), port: 0, child: null, status: null }]))
const peer = (nodeId: string) => peers.get(nodeId)!

afterEach(() => {
  for (const { child } of peers.values()) child?.kill('SIGKILL')
})

function tell(to: Peer, command: PeerCommand): void {
  to.child?.send(command)
}

async function until(condition: () => boolean, what: string, timeoutMs = 30_000): Promise<void> {
  const endMs = performance.now() + timeoutMs
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function spawn(one: Peer): Promise<void> {
  const child = fork(fileURLToPath(new URL('transport-peer.ts', import.meta.url)), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], execArgv: [] })
  one.child = child
  one.status = null
  let listening = false
  child.on('message', (raw) => {
    const report = raw as PeerReport
    if (report.kind === 'status') one.status = report
    else {
      one.port = report.port
      listening = true
    }
  })
  tell(one, { kind: 'start', nodeId: one.nodeId, seedHex: one.seedHex, port: one.port })
  await until(() => listening, `${one.nodeId} listens`)
}

function introduce(one: Peer): void {
  const members = [...peers.values()].map(({ nodeId, seedHex, port }) => ({ nodeId, name: nodeId, peerId: peerIdOfPrivateKey(new Uint8Array(Buffer.from(seedHex, 'hex'))), address: `127.0.0.1:${port}` }))
  tell(one, { kind: 'members', members })
}

const connectedTo = (nodeId: string) => peer(nodeId).status?.connected.join('') ?? ''
const received = (at: string, from: string) => peer(at).status?.receivedFrom[from] ?? 0

async function goesOn(at: string, from: string): Promise<void> {
  const before = received(at, from)
  await until(() => received(at, from) > before + 50, `${at} hears ${from}`, 10_000)
}

test('stop, resume, kill and restart of one process leave the others at work', { timeout: 120_000 }, async () => {
  for (const one of peers.values()) await spawn(one)
  for (const one of peers.values()) introduce(one)
  await until(() => connectedTo('a') === 'bc' && connectedTo('b') === 'ac' && connectedTo('c') === 'ab', 'everybody is connected')
  await goesOn('c', 'a')
  const memoryBefore = peer('a').status?.memoryMiB ?? 0

  peer('c').child!.kill('SIGSTOP')
  await until(() => connectedTo('a') === 'b' && connectedTo('b') === 'a', 'the stopped one is given up')
  await goesOn('b', 'a')
  await goesOn('a', 'b')
  // It stays stopped for longer than any time-out of ours while a floods it.
  await new Promise((resolve) => setTimeout(resolve, 8000))
  await goesOn('b', 'a')
  expect((peer('a').status?.memoryMiB ?? 0) - memoryBefore).toBeLessThan(150)

  peer('c').child!.kill('SIGCONT')
  await until(() => connectedTo('a') === 'bc' && connectedTo('b') === 'ac' && connectedTo('c') === 'ab', 'the resumed one is back')
  await goesOn('c', 'a')
  await goesOn('a', 'c')

  peer('c').child!.kill('SIGKILL')
  await until(() => connectedTo('a') === 'b' && connectedTo('b') === 'a', 'the killed one is known to be gone')
  await goesOn('b', 'a')
  await spawn(peer('c'))
  introduce(peer('c'))
  const restartedMs = performance.now()
  await until(() => connectedTo('a') === 'bc' && connectedTo('b') === 'ac' && connectedTo('c') === 'ab', 'the restarted one is adopted')
  expect(performance.now() - restartedMs).toBeLessThan(10_000)
  await goesOn('c', 'a')
  await goesOn('c', 'b')
  for (const nodeId of ids) expect(peer(nodeId).status?.faults).toEqual([])
})
