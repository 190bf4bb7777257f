// A VM's serial console on this terminal, over a WebSocket; also between pipes.
import type { IncomingMessage } from 'node:http'
import { WebSocket, type RawData } from 'ws'
import { exitCodes, failureOfAnswer, Failure, unreachableFailure } from './io.ts'
import { escapeText } from './output.ts'
import type { Shell } from './shell.ts'

/** Ctrl-], as telnet has it. */
const leaveByte = 0x1d
const handshakeTimeoutMs = 15_000
const frameBytesMax = 32 * 1024
/** Output that was under way when a piped input ended is still shown. */
const lingerMs = 1_500
/** Beyond this the keyboard, or a pipe, waits for the network. */
const waitingBytesMax = 256 * 1024

/**
 * Joins the terminal with the console until Ctrl-] is typed, the input ends, or the console does.
 * @throws Failure where it cannot be opened, or breaks off
 */
export async function openConsole(shell: Shell, path: string): Promise<void> {
  const { url, token, ca } = shell.client().connection
  const socket = new WebSocket(`wss://${url.host}${path}`, {
    ...(ca === null ? {} : { ca }), handshakeTimeout: handshakeTimeoutMs, perMessageDeflate: false,
    ...(token === null ? {} : { headers: { Authorization: `Bearer ${token}` } }),
  })
  socket.binaryType = 'nodebuffer'
  await opened(socket, url.origin)
  await joined(socket, shell)
}

async function opened(socket: WebSocket, origin: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.once('open', () => resolve())
  socket.once('unexpected-response', (request, response: IncomingMessage) => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => chunks.push(chunk))
    response.on('close', () => {
      request.destroy()
      reject(failureOfAnswer(response.statusCode ?? 0, parse(Buffer.concat(chunks).toString())))
    })
  })
  socket.on('error', (cause) => reject(unreachableFailure(`${origin} cannot be reached: ${cause.message}.`, cause)))
  await promise
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

async function joined(socket: WebSocket, shell: Shell): Promise<void> {
  const { stdin, stdout, stderr } = shell.io
  const terminal = stdin.isTTY === true && stdin.setRawMode !== undefined
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let left = false
  const leave = () => {
    left = true
    socket.close(1000)
  }
  const onInput = (chunk: Buffer | string) => {
    const bytes = Buffer.from(chunk)
    const at = terminal ? bytes.indexOf(leaveByte) : -1
    const typed = at === -1 ? bytes : bytes.subarray(0, at)
    for (let from = 0; from < typed.length; from += frameBytesMax) socket.send(typed.subarray(from, from + frameBytesMax), onSent)
    if (at !== -1) leave()
    else if (socket.bufferedAmount > waitingBytesMax) stdin.pause()
  }
  const onSent = () => {
    if (socket.bufferedAmount <= waitingBytesMax && !left) stdin.resume()
  }
  let linger: NodeJS.Timeout | undefined
  const onInputEnd = () => (linger = setTimeout(leave, lingerMs))
  socket.on('message', (data: RawData) => {
    if (stdout.write(data as Buffer)) return
    socket.pause()
    stdout.once('drain', () => socket.resume())
  })
  socket.once('close', (code, reason) => {
    if (left || code === 1000) resolve()
    else reject(new Failure(exitCodes.failed, 'FAILED', `The console ended: ${reason.toString() === '' ? `code ${code}` : reason.toString()}.`))
  })
  if (terminal) stderr.write('Ctrl-] leaves.\r\n')
  try {
    if (terminal) stdin.setRawMode?.(true)
    stdin.on('data', onInput)
    stdin.once('end', onInputEnd)
    stdout.once('error', leave)
    await promise
  } finally {
    clearTimeout(linger)
    stdin.off('data', onInput).off('end', onInputEnd).pause()
    stdout.off('error', leave)
    if (terminal) {
      stdin.setRawMode?.(false)
      stderr.write(`\r\n${escapeText('left the console')}\n`)
    }
  }
}
