// `novacron relay`: the process through which migrations run, so that gigabytes never hold up the daemon's event loop. Its owner is the daemon.
import { readdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { AcceptLeg, ConnectLeg, type Leg } from './leg.ts'
import { Listener } from './listener.ts'
import { readJsonLines, type AcceptOrder, type ConnectOrder, type Order, type RelayTls, type Report } from './messages.ts'

const orderCharactersMax = 1024 * 1024
const useMs = 200
/** It is started again when it is needed. */
const idleMs = 60_000

/** Obeys until the input ends, which it does with the daemon, or until there was nothing to do for a minute. */
export async function runRelay(input: AsyncIterable<Buffer | string>, send: (report: Report) => void, idleMsMax = idleMs): Promise<void> {
  const relay = new Relay(send)
  const lines = readJsonLines(input, orderCharactersMax)
  const { promise: idle, resolve } = Promise.withResolvers<'idle'>()
  const timer = setInterval(() => relay.tick(idleMsMax) && resolve('idle'), useMs)
  try {
    for (;;) {
      const line = await Promise.race([lines.next(), idle])
      if (line === 'idle' || line.done === true) return
      relay.obey(line.value as Order)
    }
  } finally {
    clearInterval(timer)
  }
}

class Relay {
  readonly #send: (report: Report) => void
  readonly #legs = new Map<string, Leg>()
  /** What was told last, to be silent where nothing changed. */
  readonly #told = new Map<string, string>()
  #tls: RelayTls | null = null
  #listener: Listener | null = null
  #listening: Promise<void> | null = null
  #swept: Promise<void> | null = null
  #busyMs = performance.now()

  constructor(send: (report: Report) => void) {
    this.#send = send
  }

  /** Tells what passed. @returns whether there was nothing to do for so long */
  tick(idleMsMax: number): boolean {
    for (const leg of this.#legs.values()) this.#tellUse(leg)
    if (this.#legs.size > 0) this.#busyMs = performance.now()
    return performance.now() - this.#busyMs > idleMsMax
  }

  obey(order: Order): void {
    this.#busyMs = performance.now()
    if (order.kind === 'identity') {
      this.#tls = order.tls
      this.#listener?.setTls(order.tls)
      return
    }
    this.#perform(order).then(
      (port) => this.#send({ kind: 'done', request: order.request, ...(port === null ? {} : { port }) }),
      (error: unknown) => this.#send({ kind: 'failed', request: order.request, reason: error instanceof Error ? error.message : String(error) }),
    )
  }

  async #perform(order: Exclude<Order, { readonly kind: 'identity' }>): Promise<number | null> {
    if (order.kind === 'close') {
      await this.#close(order.operationId)
      return null
    }
    if (this.#tls === null) throw new Error('the relay has no certificate yet')
    this.#swept ??= sweep(dirname(order.directory))
    await this.#swept
    return order.kind === 'accept' ? this.#accept(order, this.#tls) : this.#connect(order, this.#tls)
  }

  async #accept(order: AcceptOrder, tls: RelayTls): Promise<number> {
    this.#listener ??= new Listener(tls, (operationId) => {
      const leg = this.#legs.get(operationId)
      return leg instanceof AcceptLeg ? leg : undefined
    })
    this.#listening ??= this.#listener.listen(order.listen)
    try {
      await this.#listening
    } catch (error) {
      this.#listening = null
      throw error
    }
    if (!(this.#legs.get(order.operationId) instanceof AcceptLeg)) {
      const leg = new AcceptLeg(order, (reason) => this.#cut(leg, reason))
      await this.#close(order.operationId)
      await leg.open()
      this.#legs.set(order.operationId, leg)
    }
    return this.#listener.port
  }

  async #connect(order: ConnectOrder, tls: RelayTls): Promise<null> {
    await this.#close(order.operationId)
    const leg = new ConnectLeg(order, tls, (reason) => this.#cut(leg, reason))
    this.#legs.set(order.operationId, leg)
    try {
      await leg.open()
    } catch (error) {
      if (this.#legs.get(order.operationId) === leg) this.#legs.delete(order.operationId)
      await leg.close()
      throw error
    }
    return null
  }

  async #close(operationId: string): Promise<void> {
    const leg = this.#legs.get(operationId)
    if (leg === undefined) return
    this.#tellUse(leg)
    this.#legs.delete(operationId)
    this.#told.delete(operationId)
    await leg.close()
  }

  #cut(leg: Leg, reason: string): void {
    if (this.#legs.get(leg.operationId) !== leg) return
    this.#tellUse(leg)
    this.#send({ kind: 'cut', operationId: leg.operationId, reason })
  }

  #tellUse(leg: Leg): void {
    const use = leg.use()
    const text = `${use.bytesSent} ${use.bytesReceived}`
    if (this.#told.get(leg.operationId) === text) return
    this.#told.set(leg.operationId, text)
    this.#send({ kind: 'use', operationId: leg.operationId, use })
  }
}

/** What a relay that was killed left: its connections are gone, so its sockets lead nowhere. */
async function sweep(directory: string): Promise<void> {
  for (const name of await readdir(directory).catch(() => [])) await rm(join(directory, name), { recursive: true, force: true })
}
