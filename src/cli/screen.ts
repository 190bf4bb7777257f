// A VM's screen for a VNC viewer: a port on this machine's loopback, each of whose connections is a console of its own.
import { createServer, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import type { RawData, WebSocket } from 'ws'
import { connect, failureOfClose } from './console.ts'
import { exitCodes, Failure } from './io.ts'
import { escapeText } from './output.ts'
import type { Shell } from './shell.ts'

const host = '127.0.0.1'
const viewersMax = 8
const frameBytesMax = 32 * 1024
const waitingBytesMax = 256 * 1024

/**
 * Serves until the process is told to end, or nobody reads its output any more.
 * @param port 0 lets the system choose
 * @throws Failure where the screen cannot be opened now, or the port not be listened on
 */
export async function serveScreen(shell: Shell, path: string, port: number): Promise<void> {
  // Says at once what stands against it, and not only to a viewer that cannot show it.
  const probe = await connect(shell, path, 'screen')
  await firstBytes(probe)
  probe.terminate()
  const server = createServer((socket) => void serveViewer(shell, path, socket))
  server.maxConnections = viewersMax
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', (cause) => reject(new Failure(exitCodes.failed, 'FAILED', `Port ${port} of ${host} cannot be listened on: ${cause.message}.`, { cause })))
  server.listen({ host, port }, resolve)
  await promise
  const { port: bound } = server.address() as AddressInfo
  shell.answer({ host, port: bound, url: `vnc://${host}:${bound}` }, () => `vnc://${host}:${bound}\n`)
  shell.progress('Everybody on this machine can connect there. Ctrl-C ends it.')
  await ended(shell)
  server.close()
}

async function firstBytes(socket: WebSocket): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.once('message', () => resolve())
  socket.once('close', (code, reason) => reject(failureOfClose({ code, reason: reason.toString() })))
  socket.resume()
  await promise
}

async function ended(shell: Shell): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const signals = ['SIGINT', 'SIGTERM'] as const
  for (const signal of signals) process.once(signal, resolve)
  shell.abandoned.addEventListener('abort', () => resolve(), { once: true })
  await promise
  for (const signal of signals) process.off(signal, resolve)
}

async function serveViewer(shell: Shell, path: string, viewer: Socket): Promise<void> {
  viewer.on('error', () => viewer.destroy())
  viewer.setNoDelay(true)
  viewer.pause()
  let socket: WebSocket
  try {
    socket = await connect(shell, path, 'screen')
  } catch (error) {
    shell.progress(error instanceof Failure ? escapeText(error.message) : String(error))
    viewer.destroy()
    return
  }
  viewer.on('data', (chunk: Buffer) => {
    for (let from = 0; from < chunk.length; from += frameBytesMax) {
      socket.send(chunk.subarray(from, from + frameBytesMax), () => socket.bufferedAmount <= waitingBytesMax && viewer.resume())
    }
    if (socket.bufferedAmount > waitingBytesMax) viewer.pause()
  })
  viewer.on('close', () => socket.terminate())
  socket.on('message', (data: RawData) => {
    if (viewer.write(data as Buffer)) return
    socket.pause()
    viewer.once('drain', () => socket.resume())
  })
  socket.on('error', () => viewer.destroy())
  socket.on('close', (code, reason) => {
    if (!viewer.destroyed) shell.progress(escapeText(failureOfClose({ code, reason: reason.toString() }).message))
    viewer.destroy()
  })
  socket.resume()
  viewer.resume()
}
