// A VM's serial console on this terminal, over a WebSocket that a ticket opens; also between pipes. On a terminal it comes back by itself.
import type { IncomingMessage } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket, type RawData } from 'ws'
import { consoleCloseCodes, type ConsoleType } from '../model/console.ts'
import { errorTable, isErrorCode } from '../model/error.ts'
import { exitCodeOfStatus, exitCodes, failureOfAnswer, Failure, unreachableFailure } from './io.ts'
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
/** How long a console that broke off is asked for again: a migration, a restart of the guest, an election. */
const returnMsMax = 60_000
const returnPauseMs = 500
/** Closed for good: to come back at once would be against whoever closed it. */
const finalCodes: ReadonlySet<number> = new Set([consoleCloseCodes.revoked, consoleCloseCodes.idle, consoleCloseCodes.overlong])

type Close = { readonly code: number; readonly reason: string }

/**
 * Joins the terminal with the console until Ctrl-] is typed, the input ends, or the console does. On a terminal a console that breaks off is
 * opened again, wherever the VM is by then.
 * @throws Failure where it cannot be opened, or breaks off for good
 */
export async function openConsole(shell: Shell, path: string): Promise<void> {
  const comesBack = shell.io.stdin.isTTY === true
  let close = await joined(await connect(shell, path, 'serial'), shell)
  while (close !== null) {
    if (!comesBack || finalCodes.has(close.code)) {
      if (close.code === consoleCloseCodes.ended) return
      throw failureOfClose(close)
    }
    shell.progress(`The console broke off (${escapeText(close.reason) || `code ${close.code}`}); it is opened again.`)
    const socket = await reconnect(shell, path)
    if (socket === null) return
    close = await joined(socket, shell)
  }
}

/** Null where there is nothing to come back to. @throws Failure after a minute in vain, or at once where one may not */
async function reconnect(shell: Shell, path: string): Promise<WebSocket | null> {
  for (const beginMs = performance.now(); ; ) {
    await delay(returnPauseMs)
    try {
      return await connect(shell, path, 'serial')
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      if (error.code === 'STATE_CONFLICT') {
        shell.progress(escapeText(error.message))
        return null
      }
      const mayPass = error.exitCode === exitCodes.unreachable || error.exitCode === exitCodes.conflict
      if (!mayPass || performance.now() - beginMs > returnMsMax) throw error
    }
  }
}

/** Takes a ticket and spends it. The socket is paused. @throws Failure */
export async function connect(shell: Shell, path: string, type: ConsoleType): Promise<WebSocket> {
  const client = shell.client()
  const { body } = await client.write({ method: 'POST', path: `${path}/console`, body: { type } })
  const target = typeof body === 'object' && body !== null && 'url' in body && typeof body.url === 'string' ? body.url : ''
  const { url, ca } = client.connection
  const socket = new WebSocket(`wss://${url.host}${target}`, { ...(ca === null ? {} : { ca }), handshakeTimeout: handshakeTimeoutMs, perMessageDeflate: false })
  socket.binaryType = 'nodebuffer'
  await opened(socket, url.origin)
  return socket
}

/** The close's reason is `CODE: sentence` where the server could not reach the guest. */
export function failureOfClose(close: Close): Failure {
  const [, code = '', sentence = ''] = /^([A-Z_]+): (.*)$/s.exec(close.reason) ?? []
  if (isErrorCode(code)) return new Failure(exitCodeOfStatus(errorTable[code].status), code, sentence)
  return new Failure(exitCodes.failed, 'FAILED', `The console ended: ${close.reason === '' ? `code ${close.code}` : close.reason}.`)
}

async function opened(socket: WebSocket, origin: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  // What comes before somebody listens must wait.
  socket.once('open', () => {
    socket.pause()
    resolve()
  })
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

/** Null where the person, or the input's end, closed it. */
async function joined(socket: WebSocket, shell: Shell): Promise<Close | null> {
  const { stdin, stdout, stderr } = shell.io
  const terminal = stdin.isTTY === true && stdin.setRawMode !== undefined
  const { promise, resolve } = Promise.withResolvers<Close | null>()
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
  socket.once('close', (code, reason) => resolve(left ? null : { code, reason: reason.toString() }))
  socket.resume()
  if (terminal) stderr.write('Ctrl-] leaves.\r\n')
  try {
    if (terminal) stdin.setRawMode?.(true)
    // Where an earlier console was left paused, a listener alone does not make it flow again.
    stdin.on('data', onInput).once('end', onInputEnd).resume()
    stdout.once('error', leave)
    return await promise
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
