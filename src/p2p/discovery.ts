// Discovery by multicast DNS (RFC 6762, 6763): an appliance in no cluster announces itself, and everybody listens.
import { createRequire } from 'node:module'
import { z } from 'zod'
import { nameSchema } from '../model/id.ts'
import type { Cancel, Clock } from '../ports/clock.ts'
import { applianceAgeMsMax, appliancesMax, type Appliance, type ApplianceNotice } from '../ports/discovery.ts'
import type { Log } from '../ports/log.ts'

const service = '_novacron._tcp.local'
const announcePeriodMs = 4_000
const recordSeconds = 20
const textBytesMax = 1024

const noticeSchema = z.object({
  name: nameSchema,
  address: z.string().regex(/^(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:]{2,45}\]):\d{1,5}$/),
  fingerprint: z.string().regex(/^[0-9a-f]{64}$/),
  version: z.string().regex(/^[\w.+-]{1,64}$/),
})

type Answer = { readonly name: string; readonly type: string; readonly ttl?: number | undefined; readonly data?: unknown }
type MulticastDns = ReturnType<typeof import('multicast-dns')>
type Heard = { readonly notice: ApplianceNotice; readonly atMs: number }

export type MdnsOptions = { readonly address: string; readonly clock: Clock; readonly log: Log; readonly port?: number }

/** One socket of this host; without multicast (no route, no interface) it finds nobody, and says so once. */
export class MdnsDiscovery {
  readonly #options: MdnsOptions
  readonly #heard = new Map<string, Heard>()
  readonly #listeners = new Set<() => void>()
  #socket: MulticastDns | null = null
  #own: ApplianceNotice | null = null
  #cancel: Cancel | null = null

  constructor(options: MdnsOptions) {
    this.#options = options
  }

  start(): void {
    const { address, clock, log, port } = this.#options
    // The package is CommonJS and exports a function.
    const open = createRequire(import.meta.url)('multicast-dns') as typeof import('multicast-dns')
    const socket = open({ interface: address, bind: '0.0.0.0', ...(port === undefined ? {} : { port }) })
    this.#socket = socket
    socket.on('error', (error: Error) => log.warn('discovery does not work on this network', { error: error.message }))
    socket.on('warning', (error: Error) => log.debug('discovery: a packet could not be used', { error: error.message }))
    socket.on('response', (packet, sender) => this.#hear(packet.answers ?? [], sender.address))
    socket.on('query', (packet) => {
      if (packet.questions?.some((question) => question.name === service) === true) this.#say(recordSeconds)
    })
    this.#cancel = clock.every(announcePeriodMs, () => {
      this.#say(recordSeconds)
      this.#forgetOld()
    })
    socket.query(service, 'PTR')
  }

  async stop(): Promise<void> {
    this.#cancel?.()
    const socket = this.#socket
    this.#say(0)
    this.#socket = null
    if (socket !== null) await new Promise<void>((resolve) => socket.destroy(resolve))
  }

  /** From now on this appliance announces itself so; with null it says that it is gone, for it is a member now. */
  announce(notice: ApplianceNotice | null): void {
    if (notice === null) this.#say(0)
    this.#own = notice
    this.#say(recordSeconds)
  }

  appliances(): readonly Appliance[] {
    const nowMs = this.#options.clock.monotonicMs()
    this.#forgetOld()
    return [...this.#heard.values()].map(({ notice, atMs }) => ({ ...notice, ageMs: nowMs - atMs })).toSorted((left, right) => (left.name < right.name ? -1 : 1))
  }

  /** Called when an appliance comes or goes. */
  watch(listener: () => void): Cancel {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #say(ttl: number): void {
    const own = this.#own
    if (own === null || this.#socket === null) return
    const instance = `${own.fingerprint.slice(0, 16)}.${service}`
    const [host, port] = [own.address.slice(0, own.address.lastIndexOf(':')), Number(own.address.slice(own.address.lastIndexOf(':') + 1))]
    this.#socket.respond({
      answers: [
        { name: service, type: 'PTR', ttl, data: instance },
        { name: instance, type: 'SRV', ttl, data: { target: `${own.name}.local`, port } },
        { name: instance, type: 'TXT', ttl, data: [`v=1`, `name=${own.name}`, `address=${host}:${port}`, `fingerprint=${own.fingerprint}`, `version=${own.version}`] },
      ],
    })
  }

  #hear(answers: readonly Answer[], sender: string): void {
    for (const answer of answers) {
      if (answer.type !== 'TXT' || !answer.name.endsWith(`.${service}`)) continue
      const parsed = noticeSchema.safeParse(fieldsOf(answer.data))
      // Whoever speaks for another address than its own is not listened to.
      if (!parsed.success || parsed.data.address.slice(0, parsed.data.address.lastIndexOf(':')).replace(/^\[|\]$/g, '') !== sender) continue
      const notice = parsed.data
      if (notice.fingerprint === this.#own?.fingerprint) continue
      this.#keep(notice, answer.ttl === 0)
    }
  }

  #keep(notice: ApplianceNotice, isGone: boolean): void {
    const former = this.#heard.get(notice.fingerprint)
    if (isGone) {
      if (this.#heard.delete(notice.fingerprint)) this.#tell()
      return
    }
    if (former === undefined && this.#heard.size >= appliancesMax) return
    this.#heard.set(notice.fingerprint, { notice, atMs: this.#options.clock.monotonicMs() })
    if (JSON.stringify(former?.notice) !== JSON.stringify(notice)) this.#tell()
  }

  #forgetOld(): void {
    const nowMs = this.#options.clock.monotonicMs()
    for (const [fingerprint, { atMs }] of this.#heard) {
      if (nowMs - atMs > applianceAgeMsMax && this.#heard.delete(fingerprint)) this.#tell()
    }
  }

  #tell(): void {
    for (const listener of this.#listeners) listener()
  }
}

/** `key=value` strings of a TXT record; anything else is left out. */
function fieldsOf(data: unknown): Record<string, string> {
  const fields: Record<string, string> = {}
  for (const part of Array.isArray(data) ? (data as readonly unknown[]) : [data]) {
    const text = Buffer.isBuffer(part) ? part.subarray(0, textBytesMax).toString('utf8') : typeof part === 'string' ? part.slice(0, textBytesMax) : ''
    const at = text.indexOf('=')
    if (at > 0) fields[text.slice(0, at)] = text.slice(at + 1)
  }
  return fields
}
