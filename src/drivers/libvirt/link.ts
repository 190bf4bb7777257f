// A connection to libvirt that is opened, signed in and registered for events, and opened again for ever when it is lost.
import { OperationalError } from '../../model/error.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Log } from '../../ports/log.ts'
import { authList, authNone, authPolkit, authWithPolkit, connectGetType, connectOpen, connectSupportsFeature, eventRegister, featureKeepalive } from './calls.ts'
import { isLibvirtError, libvirtErrors } from './errors.ts'
import { eventKinds } from './events.ts'
import { openRpc, type RpcConnection } from './rpc.ts'
import type { XdrReader } from './xdr.ts'

const backoffMsMin = 100
const backoffMsMax = 5_000
const connectTimeoutMs = 5_000
/** A daemon does not wait longer for a libvirtd that hangs. */
const startWaitMs = 3_000

export type Endpoint = {
  /** As libvirtd is asked for it, like qemu:///system. */
  readonly uri: string
  /** Tried in this order. */
  readonly socketPaths: readonly string[]
  readonly clock: Clock
  readonly keepaliveMs: number
  /** Upper bound on every call's own time-out. */
  readonly callTimeoutMsMax: number
}

export type LinkOptions = Endpoint & {
  readonly purpose: string
  readonly log: Log
  readonly events: boolean
  onEvent(procedure: number, body: XdrReader): void
  onConnected(): void
  onDisconnected(detail: string): void
}

/** 'QEMU' or 'TEST', as libvirt calls its drivers. */
export type Session = { readonly connection: RpcConnection; readonly driver: string }

export class LibvirtLink {
  readonly #options: LinkOptions
  #session: Session | null = null
  #lastError = 'not connected yet'
  #abort: AbortController | null = null
  #loop: Promise<void> = Promise.resolve()

  constructor(options: LinkOptions) {
    this.#options = options
  }

  /** Begins to connect; resolves after the first attempt, whatever became of it, or when that takes long. */
  async start(signal: AbortSignal): Promise<void> {
    const abort = new AbortController()
    this.#abort = abort
    signal.addEventListener('abort', () => abort.abort(), { once: true })
    if (signal.aborted) abort.abort()
    await new Promise<void>((resolve) => {
      const cancel = this.#options.clock.after(startWaitMs, resolve)
      const attempted = (): void => {
        cancel()
        resolve()
      }
      this.#loop = this.#run(abort.signal, attempted).finally(attempted)
    })
  }

  async stop(): Promise<void> {
    this.#abort?.abort()
    this.#session?.connection.close('stopping')
    await this.#loop
  }

  /** @throws OperationalError HYPERVISOR_UNREACHABLE while libvirt is away */
  session(): Session {
    if (this.#session === null || this.#session.connection.closed) {
      throw new OperationalError('HYPERVISOR_UNREACHABLE', `libvirt cannot be reached (${this.#lastError}); it is tried again and again`)
    }
    return this.#session
  }

  async #run(signal: AbortSignal, attempted: () => void): Promise<void> {
    const { clock, log, purpose } = this.#options
    let backoffMs = backoffMsMin
    let reported = false
    while (!signal.aborted) {
      try {
        const session = await this.#connect(signal)
        const lost = new Promise<string>((resolve) => session.connection.onClose((error) => resolve(error.message)))
        this.#session = session
        backoffMs = backoffMsMin
        reported = false
        log.info('libvirt connected', { purpose, driver: session.driver })
        attempted()
        this.#options.onConnected()
        this.#lastError = await lost
        this.#session = null
        if (!signal.aborted) log.warn('libvirt connection lost', { purpose, reason: this.#lastError })
        this.#options.onDisconnected(this.#lastError)
      } catch (error) {
        this.#lastError = (error as Error).message
        if (!reported && !signal.aborted) log.warn('libvirt cannot be reached', { purpose, reason: this.#lastError })
        reported = true
        attempted()
      }
      await pause(clock, backoffMs, signal)
      backoffMs = Math.min(backoffMs * 2, backoffMsMax)
    }
  }

  async #connect(signal: AbortSignal): Promise<Session> {
    const session = await openSession(this.#options, { keepalive: true, onEvent: (procedure, body) => this.#options.onEvent(procedure, body) }, signal)
    try {
      if (this.#options.events) for (const kind of eventKinds) await session.connection.call(eventRegister, kind)
      return session
    } catch (error) {
      session.connection.close('registering for events failed')
      throw error
    }
  }
}

/**
 * Connects to the first socket that answers, signs in and opens the hypervisor.
 * @throws OperationalError HYPERVISOR_UNREACHABLE, HYPERVISOR_TIMEOUT, HYPERVISOR_REFUSED
 */
export async function openSession(
  endpoint: Endpoint,
  options: { readonly keepalive: boolean; readonly onEvent: (procedure: number, body: XdrReader) => void },
  signal: AbortSignal,
): Promise<Session> {
  const connection = await connectFirst(endpoint, options.onEvent, signal)
  const aborted = (): void => connection.close('given up')
  signal.addEventListener('abort', aborted, { once: true })
  try {
    const offered = await connection.call(authList, undefined)
    if (!offered.includes(authNone)) {
      if (!offered.includes(authPolkit)) throw new OperationalError('HYPERVISOR_UNREACHABLE', 'libvirt asks for a sign-in that is not supported; allow root on its unix socket')
      await connection.call(authWithPolkit, undefined)
    }
    await connection.call(connectOpen, endpoint.uri)
    if (options.keepalive && (await supportsKeepalive(connection))) connection.startKeepalive()
    return { connection, driver: await connection.call(connectGetType, undefined) }
  } catch (error) {
    connection.close('opening failed')
    throw error
  } finally {
    signal.removeEventListener('abort', aborted)
  }
}

async function connectFirst(endpoint: Endpoint, onEvent: (procedure: number, body: XdrReader) => void, signal: AbortSignal): Promise<RpcConnection> {
  let failure: unknown = new OperationalError('HYPERVISOR_UNREACHABLE', 'no libvirt socket is configured')
  for (const socketPath of endpoint.socketPaths) {
    try {
      return await openRpc(
        { socketPath, clock: endpoint.clock, keepaliveMs: endpoint.keepaliveMs, connectTimeoutMs, callTimeoutMsMax: endpoint.callTimeoutMsMax, onEvent },
        signal,
      )
    } catch (error) {
      failure = error
    }
  }
  throw failure
}

/** Asked of the opened hypervisor: before that there is no answer; libvirt's test driver has no keepalive. */
async function supportsKeepalive(connection: RpcConnection): Promise<boolean> {
  try {
    return await connection.call(connectSupportsFeature, featureKeepalive)
  } catch (error) {
    if (isLibvirtError(error, libvirtErrors.noSupport, libvirtErrors.internal)) return false
    throw error
  }
}

async function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => {
    const done = (): void => {
      cancel()
      signal.removeEventListener('abort', done)
      resolve()
    }
    const cancel = clock.after(delayMs, done)
    signal.addEventListener('abort', done, { once: true })
  })
}
