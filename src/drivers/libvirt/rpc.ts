// One connection to libvirt's RPC over its unix socket: framing, serials, time-outs, keepalive, streams; rejects everything when it closes.
import { createConnection, type Socket } from 'node:net'
import { OperationalError } from '../../model/error.ts'
import type { Cancel, Clock } from '../../ports/clock.ts'
import { readLibvirtError } from './errors.ts'
import { XdrReader, XdrWriter } from './xdr.ts'

export const remoteProgram = 0x2000_8086
const keepaliveProgram = 0x6b65_6570
const version = 1
const headerBytes = 28
/** VIR_NET_MESSAGE_MAX. */
const messageBytesMax = 32 * 1024 * 1024 + 4
/** Calls without an answer yet; more than that is a caller that does not wait. */
const pendingMax = 512
const keepalivePing = 1
const keepalivePong = 2
const keepaliveMissesMax = 3

const messageType = { call: 0, reply: 1, event: 2, stream: 3 } as const
export const messageStatus = { ok: 0, error: 1, continue: 2 } as const

/** One procedure of the protocol: its number, how long it may take, and how both sides are written. */
export type Call<Args, Result> = {
  readonly name: string
  readonly procedure: number
  readonly timeoutMs: number
  encode(writer: XdrWriter, args: Args): void
  decode(reader: XdrReader): Result
}

export type StreamListener = (status: number, body: Buffer) => void
type Pending = { readonly name: string; readonly cancel: Cancel; resolve(reader: XdrReader): void; reject(error: Error): void }

export type RpcOptions = {
  readonly socketPath: string
  readonly clock: Clock
  /** How often an idle connection is asked whether it still lives. */
  readonly keepaliveMs: number
  readonly connectTimeoutMs: number
  /** Upper bound on every call's own time-out. */
  readonly callTimeoutMsMax: number
  onEvent(procedure: number, body: XdrReader): void
}

/** @throws OperationalError HYPERVISOR_UNREACHABLE */
export async function openRpc(options: RpcOptions, signal: AbortSignal): Promise<RpcConnection> {
  const socket = createConnection({ path: options.socketPath })
  await new Promise<void>((resolve, reject) => {
    const fail = (cause: Error): void => {
      settle()
      socket.destroy()
      reject(new OperationalError('HYPERVISOR_UNREACHABLE', `libvirt cannot be reached at ${options.socketPath}: ${cause.message}`, { cause }))
    }
    const aborted = (): void => fail(new Error('given up'))
    const cancel = options.clock.after(options.connectTimeoutMs, () => fail(new Error('no connection in time')))
    const settle = (): void => {
      cancel()
      socket.removeListener('error', fail)
      signal.removeEventListener('abort', aborted)
    }
    socket.once('error', fail)
    socket.once('connect', () => {
      settle()
      resolve()
    })
    signal.addEventListener('abort', aborted)
    if (signal.aborted) aborted()
  })
  return new RpcConnection(socket, options)
}

export class RpcConnection {
  readonly #socket: Socket
  readonly #options: RpcOptions
  readonly #pending = new Map<number, Pending>()
  readonly #streams = new Map<number, StreamListener>()
  readonly #closeListeners: ((error: OperationalError) => void)[] = []
  readonly #input = new FrameBuffer()
  #serial = 0
  #closed: OperationalError | null = null
  #stopKeepalive: Cancel = () => {}
  #misses = 0

  constructor(socket: Socket, options: RpcOptions) {
    this.#socket = socket
    this.#options = options
    socket.on('data', (chunk: Buffer) => this.#received(chunk))
    socket.on('error', (cause) => this.close(`the connection to libvirt broke: ${cause.message}`))
    socket.on('close', () => this.close('libvirt closed the connection'))
  }

  get closed(): boolean {
    return this.#closed !== null
  }

  onClose(listener: (error: OperationalError) => void): void {
    if (this.#closed) listener(this.#closed)
    else this.#closeListeners.push(listener)
  }

  /** From now on pings; a server that answers nothing for `keepaliveMissesMax` periods is given up. */
  startKeepalive(): void {
    this.#stopKeepalive()
    this.#stopKeepalive = this.#options.clock.every(this.#options.keepaliveMs, () => {
      if (this.#misses++ >= keepaliveMissesMax) this.close('libvirt stopped answering')
      else this.#send(keepaliveProgram, keepalivePing, messageType.event, 0, messageStatus.ok, empty)
    })
  }

  /** @throws OperationalError HYPERVISOR_TIMEOUT, HYPERVISOR_UNREACHABLE, OVERLOADED, or what libvirt's error maps to. */
  async call<Args, Result>(call: Call<Args, Result>, args: Args): Promise<Result> {
    const { reply } = this.#start(call, args)
    return call.decode(await reply)
  }

  /** Makes a call that opens a stream; `listener` gets every stream packet, also those on the heels of the reply. */
  async openStream<Args>(call: Call<Args, void>, args: Args, listener: StreamListener): Promise<StreamHandle> {
    const { serial, reply } = this.#start(call, args)
    this.#streams.set(serial, listener)
    try {
      await reply
    } catch (error) {
      this.#streams.delete(serial)
      throw error
    }
    return {
      send: (status, body) => this.#send(remoteProgram, call.procedure, messageType.stream, serial, status, body),
    }
  }

  /** Back-pressure for streams: stops and goes on reading from the socket. */
  pauseReading(): void {
    this.#socket.pause()
  }

  resumeReading(): void {
    this.#socket.resume()
  }

  /** Resolves when what was sent has left this process far enough; at once on a closed connection. */
  async drained(): Promise<void> {
    if (this.#closed || !this.#socket.writableNeedDrain) return
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#socket.removeListener('drain', done)
        this.#socket.removeListener('close', done)
        resolve()
      }
      this.#socket.once('drain', done)
      this.#socket.once('close', done)
    })
  }

  close(reason: string): void {
    if (this.#closed) return
    const error = new OperationalError('HYPERVISOR_UNREACHABLE', reason)
    this.#closed = error
    this.#stopKeepalive()
    this.#socket.destroy()
    for (const pending of this.#pending.values()) {
      pending.cancel()
      pending.reject(new OperationalError('HYPERVISOR_UNREACHABLE', `${pending.name} has no answer: ${reason}`))
    }
    this.#pending.clear()
    this.#streams.clear()
    for (const listener of this.#closeListeners.splice(0)) listener(error)
  }

  #start<Args>(call: Call<Args, unknown>, args: Args): { serial: number; reply: Promise<XdrReader> } {
    if (this.#closed) throw this.#closed
    if (this.#pending.size >= pendingMax) throw new OperationalError('OVERLOADED', `too many calls wait for libvirt, ${call.name} was not made`)
    const timeoutMs = Math.min(call.timeoutMs, this.#options.callTimeoutMsMax)
    const writer = new XdrWriter()
    call.encode(writer, args)
    this.#serial = this.#serial === 0xffff_ffff ? 1 : this.#serial + 1
    const serial = this.#serial
    const reply = new Promise<XdrReader>((resolve, reject) => {
      const cancel = this.#options.clock.after(timeoutMs, () => {
        this.#pending.delete(serial)
        reject(new OperationalError('HYPERVISOR_TIMEOUT', `libvirt did not answer ${call.name} within ${timeoutMs} ms; whether it was done is not known`))
      })
      this.#pending.set(serial, { name: call.name, cancel, resolve, reject })
    })
    this.#send(remoteProgram, call.procedure, messageType.call, serial, messageStatus.ok, writer.finish())
    return { serial, reply }
  }

  #send(program: number, procedure: number, type: number, serial: number, status: number, body: Uint8Array): void {
    if (this.#closed) throw this.#closed
    const message = Buffer.allocUnsafe(headerBytes + body.length)
    const words = [message.length, program, version, procedure, type, serial, status]
    words.forEach((word, index) => message.writeUInt32BE(word, index * 4))
    message.set(body, headerBytes)
    this.#socket.write(message)
  }

  #received(chunk: Buffer): void {
    this.#misses = 0
    try {
      this.#input.push(chunk)
      for (let message = this.#input.next(); message !== null && !this.#closed; message = this.#input.next()) this.#dispatch(message)
    } catch (error) {
      this.close(`libvirt sent what cannot be read: ${(error as Error).message}`)
    }
  }

  #dispatch(message: Buffer): void {
    const program = message.readUInt32BE(4)
    const procedure = message.readUInt32BE(12)
    const type = message.readUInt32BE(16)
    const serial = message.readUInt32BE(20)
    const status = message.readUInt32BE(24)
    const body = message.subarray(headerBytes)
    if (program === keepaliveProgram) {
      if (procedure === keepalivePing) this.#send(keepaliveProgram, keepalivePong, messageType.event, 0, messageStatus.ok, empty)
    } else if (type === messageType.reply) {
      const pending = this.#pending.get(serial)
      // An answer that comes after its time-out has no one waiting for it.
      if (pending === undefined) return
      this.#pending.delete(serial)
      pending.cancel()
      const reader = new XdrReader(body)
      if (status === messageStatus.error) pending.reject(readLibvirtError(reader, pending.name))
      else pending.resolve(reader)
    } else if (type === messageType.stream) {
      this.#streams.get(serial)?.(status, body)
    } else if (type === messageType.event && program === remoteProgram) {
      this.#options.onEvent(procedure, new XdrReader(body))
    }
  }
}

export type StreamHandle = {
  /** One packet of the stream. @throws OperationalError HYPERVISOR_UNREACHABLE on a closed connection */
  send(status: number, body: Uint8Array): void
}

const empty = new Uint8Array(0)

/** Cuts a byte stream into length-prefixed messages without copying a long one more than once. */
class FrameBuffer {
  #chunks: Buffer[] = []
  #length = 0

  push(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#length += chunk.length
  }

  next(): Buffer | null {
    if (this.#length < 4) return null
    if (this.#chunks[0]!.length < 4) this.#chunks = [Buffer.concat(this.#chunks)]
    const length = this.#chunks[0]!.readUInt32BE(0)
    if (length < headerBytes || length > messageBytesMax) throw new Error(`a message of ${length} bytes`)
    if (this.#length < length) return null
    const whole = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks)
    const rest = whole.subarray(length)
    this.#chunks = rest.length > 0 ? [rest] : []
    this.#length = rest.length
    return whole.subarray(0, length)
  }
}
