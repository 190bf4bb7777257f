// Fetches images from the nodes that hold them: verified, from where it broke off, from another holder where one fails; and serves them to others.
import { OperationalError } from '../model/error.ts'
import { imageStreamSchema, imageTicketSchema, type ImageStream } from '../model/image.ts'
import type { ImageId, NodeId } from '../model/id.ts'
import { uuidV7 } from '../model/id.ts'
import { makeCommand } from '../model/command.ts'
import type { Clock, Random } from '../ports/clock.ts'
import type { Consensus } from '../ports/consensus.ts'
import { fetchKey, type ImageBytes, type ImageProgress, type ImageSupply, type PeerImages } from '../ports/image-supply.ts'
import type { Log } from '../ports/log.ts'
import type { StorageDriver } from '../ports/storage.ts'
import type { ByteStream, PeerStreams } from '../ports/transport.ts'
import { holdersOfContent } from '../state/image-use.ts'
import type { StateHolder } from '../state/state.ts'

const imagePurpose = 'image'
const ticketLifeMs = 15_000
const ticketsMax = 64
const answerBytesMax = 1024
/** Images on their way to this node at once, and those that wait. */
const fetchesMax = 2
const waitingMax = 256
/** Images on their way to others at once; the next is told to come again. */
const servedMax = 6
/** A holder that sends nothing for so long is left for another. */
const stallMsMax = 10_000
/** Rounds through all holders without a byte before it is given up. */
const vainRoundsMax = 6
const roundPauseMs = 500
const holdTimeoutMs = 5_000

export type ImageFetcherPorts = {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly consensus: Consensus & StateHolder
  readonly storage: StorageDriver
  readonly streams: PeerStreams
  /** Absent where images go over the peer streams. */
  readonly peerImages?: PeerImages
  /** Told to whoever looks, on other nodes too. */
  readonly onProgress?: (key: string, progress: ImageProgress) => void
}
type Job = { readonly promise: Promise<void>; readonly abort: AbortController; readonly listeners: Set<(progress: ImageProgress) => void>; askers: number; progress: ImageProgress }

export class ImageFetcher implements ImageSupply {
  readonly #nodeId: NodeId
  readonly #ports: ImageFetcherPorts
  readonly #jobs = new Map<string, Job>()
  readonly #queue: (() => void)[] = []
  #running = 0
  #serving = 0
  /** Given to members over their streams, each for one image from one offset, once. */
  readonly #tickets = new Map<string, { readonly sha256: string; readonly offset: number; readonly sizeBytes: number; readonly untilMs: number }>()

  constructor(options: { readonly nodeId: NodeId }, ports: ImageFetcherPorts) {
    this.#nodeId = options.nodeId
    this.#ports = ports
    ports.streams.handle(imagePurpose, async (_from, header, stream) => this.#serve(imageStreamSchema.parse(header.parameters), stream))
  }

  stop(): void {
    for (const job of this.#jobs.values()) job.abort.abort(new OperationalError('STOPPING', 'This node is shutting down.'))
  }

  fetching(): ReadonlyMap<string, ImageProgress> {
    return new Map([...this.#jobs].map(([sha256, job]) => [sha256, job.progress]))
  }

  async ensure(sha256: string, format: 'qcow2' | 'raw', signal: AbortSignal, onProgress?: (progress: ImageProgress) => void): Promise<void> {
    signal.throwIfAborted()
    if (await this.#ports.storage.hasImage(sha256)) return this.announce(sha256)
    const job = this.#jobs.get(sha256) ?? this.#begin(sha256, format)
    job.askers++
    if (onProgress !== undefined) job.listeners.add(onProgress)
    const gone = Promise.withResolvers<never>()
    const onAbort = () => gone.reject(signal.reason instanceof Error ? signal.reason : new Error('given up'))
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    try {
      await Promise.race([job.promise, gone.promise])
    } finally {
      signal.removeEventListener('abort', onAbort)
      if (onProgress !== undefined) job.listeners.delete(onProgress)
      if (--job.askers === 0) job.abort.abort(new Error('nobody wants the image here any more'))
    }
  }

  /** Says of every image with this content that it is here too. What cannot be said now the image controller says later. */
  async announce(sha256: string): Promise<void> {
    const { consensus, clock, random, log } = this.#ports
    for (const image of consensus.state.tables.image.values()) {
      if (image.spec.sha256 !== sha256 || image.holders.includes(this.#nodeId)) continue
      const head = { id: uuidV7(clock.nowMs(), random.bytes(10)), actor: { kind: 'node' as const, id: this.#nodeId, name: 'controller', address: '' } }
      try {
        await consensus.propose(makeCommand('image.hold', head, { id: image.id as ImageId, nodeId: this.#nodeId }), { timeoutMs: holdTimeoutMs })
      } catch (error) {
        log.debug('that an image is here could not be told yet', { image: image.name, error: String(error) })
      }
    }
  }

  #begin(sha256: string, format: 'qcow2' | 'raw'): Job {
    const abort = new AbortController()
    const job: Job = { promise: this.#inTurn(abort.signal, () => this.#fetch(job, { sha256, format })), abort, listeners: new Set(), askers: 0, progress: { processedBytes: 0, totalBytes: 0 } }
    this.#jobs.set(sha256, job)
    const over = () => {
      if (this.#jobs.get(sha256) === job) this.#jobs.delete(sha256)
    }
    job.promise.then(over, over)
    abort.signal.addEventListener('abort', over, { once: true })
    return job
  }

  /** A bounded number at once, in the order of asking. */
  async #inTurn(signal: AbortSignal, action: () => Promise<void>): Promise<void> {
    // The job has to be known before it begins.
    await Promise.resolve()
    if (this.#running >= fetchesMax) {
      if (this.#queue.length >= waitingMax) throw new OperationalError('OVERLOADED', 'Too many images wait to be fetched already.')
      await new Promise<void>((resolve) => this.#queue.push(resolve))
    }
    this.#running++
    try {
      signal.throwIfAborted()
      await action()
    } finally {
      this.#running--
      this.#queue.shift()?.()
    }
  }

  async #fetch(job: Job, image: { readonly sha256: string; readonly format: 'qcow2' | 'raw' }): Promise<void> {
    const { random, clock, log } = this.#ports
    const { signal } = job.abort
    let last: unknown = null
    for (let vain = 0; vain < vainRoundsMax; vain++) {
      const { holders, sizeBytes, name } = this.#whereabouts(image.sha256)
      const first = random.integer(Math.max(1, holders.length))
      for (const at of holders.keys()) {
        const holder = holders[(at + first) % holders.length]!
        const before = job.progress.processedBytes
        try {
          await this.#fetchFrom(holder, job, { ...image, sizeBytes })
          log.info('image fetched', { image: name, sha256: image.sha256, from: holder, bytes: sizeBytes })
          return await this.announce(image.sha256)
        } catch (error) {
          signal.throwIfAborted()
          if (error instanceof OperationalError && (error.code === 'STORAGE_FULL' || error.code === 'STORAGE_FAILED')) throw error
          log.warn('an image could not be fetched from a node; the next one is tried', { image: name, from: holder, error: String(error) })
          last = error
          if (job.progress.processedBytes > before) vain = -1
        }
      }
      await pause(clock, roundPauseMs * 2 ** Math.max(0, Math.min(vain, 3)), signal)
    }
    const { name } = this.#whereabouts(image.sha256)
    throw new OperationalError('IMAGE_UNAVAILABLE', `Image ${name} could not be fetched: no node that holds it gives it. ${last instanceof Error ? last.message : ''}`.trim(), { cause: last })
  }

  /** @throws IMAGE_UNAVAILABLE */
  #whereabouts(sha256: string): { readonly holders: readonly string[]; readonly sizeBytes: number; readonly name: string } {
    const { state } = this.#ports.consensus
    const image = [...state.tables.image.values()].find((candidate) => candidate.spec.sha256 === sha256)
    if (image === undefined) throw new OperationalError('IMAGE_UNAVAILABLE', `The image ${sha256.slice(0, 12)}… is not known any more.`)
    const holders = holdersOfContent(state, sha256).filter((id) => id !== this.#nodeId)
    if (holders.length === 0) throw new OperationalError('IMAGE_UNAVAILABLE', `No other node holds image ${image.name}. Import it again under the same name: it then counts as the same image.`)
    return { holders, sizeBytes: image.spec.sizeBytes, name: image.name }
  }

  async #fetchFrom(holder: string, job: Job, image: { readonly sha256: string; readonly format: 'qcow2' | 'raw'; readonly sizeBytes: number }): Promise<void> {
    const { storage, streams } = this.#ports
    const { signal } = job.abort
    const id = partialOf(image.sha256)
    const tell = (processedBytes: number) => {
      job.progress = { processedBytes, totalBytes: image.sizeBytes }
      for (const listener of job.listeners) listener(job.progress)
      this.#ports.onProgress?.(fetchKey(image.sha256, this.#nodeId), job.progress)
    }
    let { sizeBytes: offset } = await storage.intake.open(id, { note: '', verified: true })
    if (offset > image.sizeBytes) {
      await storage.intake.discard(id)
      offset = (await storage.intake.open(id, { note: '', verified: true })).sizeBytes
    }
    tell(offset)
    if (offset < image.sizeBytes) {
      const source = (await this.#direct(holder, image.sha256, offset, signal)) ?? this.#watched(await streams.open(holder, { purpose: imagePurpose, parameters: { sha256: image.sha256, offset: String(offset) } }, signal))
      offset = await storage.intake.append(id, source, { offset, sizeBytesMax: image.sizeBytes, signal, onSize: tell })
      if (offset < image.sizeBytes) throw new OperationalError('PEER_UNREACHABLE', 'The other node ended before the image did.')
    }
    await storage.intake.finish(id, { sha256: image.sha256, format: image.format }, signal)
  }

  /** By HTTPS with a ticket that the holder gives over the authenticated stream; null where that way is closed. @throws as the holder refused */
  async #direct(holder: string, sha256: string, offset: number, signal: AbortSignal): Promise<AsyncIterable<Uint8Array> | null> {
    const { streams, peerImages, consensus, log } = this.#ports
    const address = consensus.state.tables.node.get(holder)?.announcement?.httpAddress
    if (peerImages === undefined || address === undefined) return null
    const stream = await streams.open(holder, { purpose: imagePurpose, parameters: { sha256, offset: String(offset), via: 'https' } }, signal)
    try {
      let text = ''
      for await (const chunk of stream.readable) if ((text += Buffer.from(chunk).toString()).length > answerBytesMax) break
      return await peerImages.open(address, imageTicketSchema.parse(JSON.parse(text)).ticket, signal)
    } catch (error) {
      signal.throwIfAborted()
      log.warn('an image cannot be fetched by HTTPS; the peer stream is used', { from: holder, error: String(error) })
      return null
    } finally {
      stream.abort()
    }
  }

  redeem(ticket: string, signal: AbortSignal): ImageBytes | null {
    const found = this.#tickets.get(ticket)
    this.#tickets.delete(ticket)
    if (found === undefined || found.untilMs < this.#ports.clock.monotonicMs()) return null
    return { sizeBytes: found.sizeBytes, pieces: this.#counted(this.#ports.storage.intake.read(found.sha256, found.offset, signal)) }
  }

  async #issueTicket(sha256: string, offset: number): Promise<string> {
    const sizeBytes = Math.max(0, (await this.#ports.storage.intake.sizeOf(sha256)) - offset)
    const { clock, random } = this.#ports
    const nowMs = clock.monotonicMs()
    for (const [ticket, { untilMs }] of this.#tickets) if (untilMs < nowMs || this.#tickets.size >= ticketsMax) this.#tickets.delete(ticket)
    const ticket = Buffer.from(random.bytes(32)).toString('hex')
    this.#tickets.set(ticket, { sha256, offset, sizeBytes, untilMs: nowMs + ticketLifeMs })
    return ticket
  }

  async *#counted(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    this.#serving++
    try {
      yield* source
    } finally {
      this.#serving--
    }
  }

  /** Cut where nothing comes for a while. */
  async *#watched(stream: ByteStream): AsyncGenerator<Uint8Array> {
    const { clock } = this.#ports
    let heardMs = clock.monotonicMs()
    const cancel = clock.every(stallMsMax / 4, () => {
      if (clock.monotonicMs() - heardMs > stallMsMax) stream.abort(new OperationalError('PEER_UNREACHABLE', `The other node sent nothing for ${stallMsMax / 1000} s.`))
    })
    try {
      for await (const chunk of stream.readable) {
        yield chunk
        // The time that the disk takes does not count.
        heardMs = clock.monotonicMs()
      }
    } finally {
      cancel()
      stream.abort()
    }
  }

  /** To members only: the transport has seen to that. */
  async #serve({ sha256, offset, via }: ImageStream, stream: ByteStream): Promise<void> {
    const { storage } = this.#ports
    if (this.#serving >= servedMax) throw new OperationalError('OVERLOADED', 'Too many images are on their way from this node. Try another one.')
    if (!(await storage.hasImage(sha256))) throw new OperationalError('NOT_FOUND', `Image ${sha256.slice(0, 12)}… is not on this node.`)
    if (via === 'https') {
      await stream.write(Buffer.from(JSON.stringify({ ticket: await this.#issueTicket(sha256, Number(offset)) })))
      return stream.end()
    }
    const abort = new AbortController()
    try {
      // A copy: the stream may keep what it was given, the storage fills its buffers again.
      for await (const chunk of this.#counted(storage.intake.read(sha256, Number(offset), abort.signal))) await stream.write(new Uint8Array(chunk))
      await stream.end()
    } finally {
      abort.abort()
    }
  }
}

/** The unfinished file of a fetch. */
export function partialOf(sha256: string): string {
  return `fetch-${sha256}`
}

async function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const cancel = clock.after(delayMs, resolve)
  const onAbort = () => reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  try {
    await promise
  } finally {
    cancel()
    signal.removeEventListener('abort', onAbort)
  }
}
