// The MigrationRelay port: starts the relay process when it is first needed, gives it orders, and hears what became of them.
import { spawn, type ChildProcess } from 'node:child_process'
import { isAbsolute, join } from 'node:path'
import { OperationalError } from '../../model/error.ts'
import { uuidPattern } from '../../model/id.ts'
import type { Cancel, Clock } from '../../ports/clock.ts'
import type { Log } from '../../ports/log.ts'
import type { MigrationRelay, MigrationSockets, RelayUse } from '../../ports/migration.ts'
import { readJsonLines, socketPaths, type Order, type Owner, type RelayPeer, type RelayTls, type Report } from './messages.ts'

const mainPath = join(import.meta.dirname, '../../main.ts')
const reportCharactersMax = 64 * 1024
const orderMsMax = 20_000
const legsMax = 256
/** A unix socket's path has to fit into sockaddr_un. */
const pathBytesMax = 107
const defaultLibvirtSockets = ['/run/libvirt/libvirt-sock', '/run/libvirt/virtqemud-sock']

export type RelayOptions = {
  readonly listen: { readonly host: string; readonly port: number }
  /** Under which others reach this host. */
  readonly advertise: string
  /** Where the sockets are made; libvirt and QEMU have to reach it. */
  readonly directory: string
  /** The same directory as libvirt sees it, where that differs. */
  readonly hypervisorDirectory?: string
  readonly libvirtSocket?: string
}

export type RelayDependencies = {
  readonly clock: Clock
  readonly log: Log
  readonly tls: () => RelayTls
  /** The name of a member; null where there is none with that id. */
  readonly memberName: (nodeId: string) => string | null
  /** Whom QEMU runs as; null where that is not known. */
  readonly emulatorOwner: () => Promise<Owner | null>
}

type Waiting = { readonly resolve: (port: number | null) => void; readonly reject: (error: Error) => void; readonly cancel: Cancel }
type Child = { readonly process: ChildProcess; readonly waiting: Map<number, Waiting>; readonly gone: Promise<void> }

/** Orders without the number that `#ask` gives them. */
type Asked<T> = T extends { readonly request: number } ? Omit<T, 'request'> : never

export class RelayProcess implements MigrationRelay {
  readonly #options: RelayOptions
  readonly #dependencies: RelayDependencies
  readonly #listeners = new Set<(operationId: string, reason: string) => void>()
  readonly #uses = new Map<string, RelayUse>()
  /** Operations whose relay stands, and has not been cut. */
  readonly #standing = new Set<string>()
  #child: Child | null = null
  #requests = 0
  #stopped = false

  constructor(options: RelayOptions, dependencies: RelayDependencies) {
    this.#options = options
    this.#dependencies = dependencies
  }

  async accept(leg: { readonly operationId: string; readonly vmId: string; readonly fromNodeId: string }): Promise<{ readonly address: string }> {
    const { listen, libvirtSocket, advertise } = this.#options
    const port = await this.#ask({
      kind: 'accept', ...(await this.#leg(leg.operationId, leg.fromNodeId)), listen,
      libvirtSockets: libvirtSocket === undefined ? defaultLibvirtSockets : [libvirtSocket],
    })
    this.#stand(leg.operationId)
    return { address: `${advertise.includes(':') ? `[${advertise}]` : advertise}:${port ?? listen.port}` }
  }

  async connect(
    leg: { readonly operationId: string; readonly vmId: string; readonly toNodeId: string; readonly address: string }, signal: AbortSignal,
  ): Promise<MigrationSockets> {
    signal.throwIfAborted()
    const order = { kind: 'connect', ...(await this.#leg(leg.operationId, leg.toNodeId)), ...splitAddress(leg.address) } as const
    const aborted = Promise.withResolvers<never>()
    const abort = (): void => aborted.reject(signal.reason as Error)
    signal.addEventListener('abort', abort, { once: true })
    try {
      await Promise.race([this.#ask(order), aborted.promise])
      signal.throwIfAborted()
    } catch (error) {
      await this.close(leg.operationId)
      throw error
    } finally {
      signal.removeEventListener('abort', abort)
    }
    this.#stand(leg.operationId)
    return socketPaths(join(this.#options.hypervisorDirectory ?? this.#options.directory, leg.operationId))
  }

  async close(operationId: string): Promise<void> {
    this.#standing.delete(operationId)
    this.#uses.delete(operationId)
    if (this.#child === null) return
    try {
      await this.#ask({ kind: 'close', operationId })
    } catch (error) {
      // Where the process is gone, so are its connections.
      this.#dependencies.log.debug('relay could not be told to close', { operationId, reason: (error as Error).message })
    }
    this.#uses.delete(operationId)
  }

  use(operationId: string): RelayUse | null {
    return this.#uses.get(operationId) ?? null
  }

  onCut(listener: (operationId: string, reason: string) => void): Cancel {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** The certificate was renewed. */
  renew(): void {
    if (this.#child !== null) write(this.#child, { kind: 'identity', tls: this.#dependencies.tls() })
  }

  /** Cuts everything. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#standing.clear()
    const child = this.#child
    child?.process.stdin?.end()
    await child?.gone
  }

  /** For tests of what happens when it dies. */
  get pid(): number | null {
    return this.#child?.process.pid ?? null
  }

  #stand(operationId: string): void {
    this.#standing.add(operationId)
    if (!this.#uses.has(operationId)) this.#uses.set(operationId, { bytesSent: 0, bytesReceived: 0 })
  }

  async #leg(operationId: string, nodeId: string) {
    if (!uuidPattern.test(operationId)) throw new OperationalError('INVALID', `${JSON.stringify(operationId)} is no id of an operation.`)
    const name = this.#dependencies.memberName(nodeId)
    if (name === null) throw new OperationalError('PEER_UNREACHABLE', `Node ${nodeId} is no member of this cluster.`)
    const directory = join(this.#options.directory, operationId)
    const longest = Math.max(...[directory, join(this.#options.hypervisorDirectory ?? this.#options.directory, operationId)].map((path) => Buffer.byteLength(socketPaths(path).control)))
    if (!isAbsolute(directory) || longest > pathBytesMax) throw new OperationalError('STORAGE_FAILED', `The path ${directory} is too long for sockets; set a shorter "migration.directory" in the node's configuration.`)
    if (this.#standing.size >= legsMax) throw new OperationalError('OVERLOADED', 'too many migrations pass through this host already')
    const peer: RelayPeer = { nodeId, name }
    return { operationId, peer, directory, owner: await this.#dependencies.emulatorOwner() }
  }

  /** @throws OperationalError PEER_UNREACHABLE where the process says that it could not be done, or is gone */
  async #ask(order: Asked<Order>): Promise<number | null> {
    try {
      return await this.#askOnce(order)
    } catch (error) {
      // It was about to end for want of work when the order came.
      if (!(error instanceof OperationalError) || error.data['idle'] !== true || this.#stopped) throw error
      return this.#askOnce(order)
    }
  }

  #askOnce(order: Asked<Order>): Promise<number | null> {
    const child = (this.#child ??= this.#spawn())
    const request = ++this.#requests
    const { promise, resolve, reject } = Promise.withResolvers<number | null>()
    const cancel = this.#dependencies.clock.after(orderMsMax, () => {
      child.waiting.delete(request)
      reject(new OperationalError('PEER_UNREACHABLE', `The relay of migrations did not answer within ${orderMsMax} ms.`))
    })
    child.waiting.set(request, { resolve, reject, cancel })
    write(child, { ...order, request } as Order)
    return promise
  }

  #spawn(): Child {
    if (this.#stopped) throw new OperationalError('STOPPING', 'This node is shutting down.')
    const { log, tls } = this.#dependencies
    const process_ = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=2', '--no-parallel-scavenge', mainPath, 'relay'], { stdio: ['pipe', 'pipe', 'inherit'] })
    const { promise: gone, resolve: end } = Promise.withResolvers<undefined>()
    const child: Child = { process: process_, waiting: new Map(), gone: gone.then(() => undefined) }
    const ended = (reason: string, idle = false): void => {
      if (this.#child === child) this.#child = null
      for (const { reject, cancel } of child.waiting.values()) {
        cancel()
        reject(new OperationalError('PEER_UNREACHABLE', `The relay of migrations ended: ${reason}.`, { data: { idle } }))
      }
      child.waiting.clear()
      for (const operationId of this.#standing) this.#cut(operationId, `the relay of migrations ended: ${reason}`)
      end(undefined)
    }
    process_.on('error', (error) => ended(error.message))
    process_.on('exit', (code, signal) => ended(signal === null ? `exit status ${code ?? 0}` : `signal ${signal}`, code === 0))
    process_.stdin.on('error', () => {})
    write(child, { kind: 'identity', tls: tls() })
    this.#listen(child).catch((error: unknown) => {
      log.error('relay of migrations said what cannot be read', { error: String(error) })
      process_.kill('SIGKILL')
    })
    log.info('relay of migrations started', { pid: process_.pid ?? null })
    return child
  }

  async #listen(child: Child): Promise<void> {
    for await (const line of readJsonLines(child.process.stdout as AsyncIterable<Buffer>, reportCharactersMax)) this.#heard(child, line as Report)
  }

  #heard(child: Child, report: Report): void {
    switch (report.kind) {
      case 'done':
      case 'failed': {
        const waiting = child.waiting.get(report.request)
        child.waiting.delete(report.request)
        waiting?.cancel()
        if (report.kind === 'done') waiting?.resolve(report.port ?? null)
        else waiting?.reject(new OperationalError('PEER_UNREACHABLE', `The way to the other host could not be made: ${report.reason}.`))
        break
      }
      case 'use':
        this.#uses.set(report.operationId, report.use)
        break
      case 'cut':
        this.#cut(report.operationId, report.reason)
    }
  }

  #cut(operationId: string, reason: string): void {
    if (!this.#standing.delete(operationId)) return
    this.#dependencies.log.warn('relay of a migration was cut', { operationId, reason })
    for (const listener of this.#listeners) listener(operationId, reason)
  }
}

function write(child: Child, order: Order): void {
  child.process.stdin?.write(`${JSON.stringify(order)}\n`)
}

/** @throws OperationalError PEER_UNREACHABLE */
function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(':')
  const port = Number(address.slice(colon + 1))
  if (colon < 1 || !Number.isInteger(port) || port < 1 || port > 65_535) throw new OperationalError('PEER_UNREACHABLE', `${JSON.stringify(address)} is no address of a relay.`)
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port }
}
