// The least that Node can do for a replicated write: HTTPS in, two peers over TLS, one synced append on each, HTTPS out. No consensus, no rights, no state.
import { open, readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { connect, createServer as createPeerServer, type TLSSocket } from 'node:tls'

export type FloorStart = { readonly httpPort: number; readonly peerPort: number; readonly peerPorts: readonly number[]; readonly journal: string; readonly certFile: string; readonly keyFile: string; readonly caFile: string }

const [append, confirm] = [1, 2] as const
const headBytes = 5
const start = JSON.parse(process.argv[2] ?? '') as FloorStart
const [cert, key, ca] = await Promise.all([start.certFile, start.keyFile, start.caFile].map((file) => readFile(file)))
const tls = { cert, key, ca, requestCert: true, rejectUnauthorized: true }

/** Appends what came meanwhile in one write and one sync. */
async function openJournal(): Promise<(bytes: Buffer) => Promise<void>> {
  const file = await open(start.journal, 'a')
  let waiting: { readonly bytes: Buffer; readonly done: () => void }[] = []
  let writing = false
  const work = async (): Promise<void> => {
    writing = true
    while (waiting.length > 0) {
      const batch = waiting
      waiting = []
      await file.write(Buffer.concat(batch.map((one) => one.bytes)))
      await file.datasync()
      for (const one of batch) one.done()
    }
    writing = false
  }
  return (bytes) => new Promise((done) => {
    waiting.push({ bytes, done })
    if (!writing) void work()
  })
}

/** Calls back for each frame: kind, length, bytes. */
function readFrames(socket: TLSSocket, onFrame: (kind: number, bytes: Buffer) => void): void {
  let rest: Buffer = Buffer.alloc(0)
  socket.setNoDelay(true).on('data', (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    while (rest.length >= headBytes && rest.length >= headBytes + rest.readUInt32BE(1)) {
      const end = headBytes + rest.readUInt32BE(1)
      onFrame(rest[0]!, rest.subarray(headBytes, end))
      rest = rest.subarray(end)
    }
  })
}

function frameOf(kind: number, bytes: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(headBytes + bytes.length)
  frame[0] = kind
  frame.writeUInt32BE(bytes.length, 1)
  bytes.copy(frame, headBytes)
  return frame
}

/** Asks a peer; answers come in the order of the questions of a kind. */
async function openPeer(port: number): Promise<(kind: number, bytes: Buffer) => Promise<void>> {
  const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ...tls })
  await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
  const asked = new Map<number, (() => void)[]>([[append, []], [confirm, []]])
  readFrames(socket, (kind) => asked.get(kind)?.shift()?.())
  return (kind, bytes) => new Promise((done) => {
    asked.get(kind)?.push(done)
    socket.write(frameOf(kind, bytes))
  })
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

const journal = await openJournal()
const peerServer = createPeerServer(tls, (socket) => {
  readFrames(socket, (kind, bytes) => void (kind === append ? journal(Buffer.from(bytes)) : Promise.resolve()).then(() => socket.write(frameOf(kind, Buffer.alloc(0)))))
  socket.on('error', () => socket.destroy())
})
await new Promise<void>((resolve) => peerServer.listen(start.peerPort, '127.0.0.1', resolve))
process.send?.({})
// The others listen by now.
await new Promise((resolve) => process.once('message', resolve))
const peers = await Promise.all(start.peerPorts.map(openPeer))
const server: Server = createServer({ cert, key }, (request, response) => {
  void (async () => {
    const given = JSON.parse((await bodyOf(request)).toString() || '{}') as { readonly value?: string }
    const value = Buffer.from(given.value ?? '', 'base64')
    // One of two peers and this process are the majority.
    if (request.url === '/put') await Promise.all([journal(value), Promise.any(peers.map((peer) => peer(append, value)))])
    if (request.url === '/confirmed') await Promise.any(peers.map((peer) => peer(confirm, Buffer.alloc(0))))
    const answer = JSON.stringify({ value: value.toString('base64') })
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(answer) }).end(answer)
  })()
})
await new Promise<void>((resolve) => server.listen(start.httpPort, '127.0.0.1', resolve))
process.send?.({})
