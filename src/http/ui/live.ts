// The live stream of a page: the cells that changed, together, at most twice a second.
import { Hono } from 'hono'
import type { Caller } from '../../app/face.ts'
import { OperationalError } from '../../model/error.ts'
import { isId } from '../../model/id.ts'
import type { Cancel } from '../../ports/clock.ts'
import type { Frame } from '../../../ui/views/frame.ts'
import { alarm, asOf } from '../../../ui/views/note.ts'
import { pulse, runningBadge } from '../../../ui/views/shell.ts'
import { authenticate, watchCredential } from '../authentication.ts'
import { addressOf, callerOf, type HttpEnv } from '../context.ts'
import type { Cell } from './cell.ts'
import { frameOf, looksOf, type Ui, type UiContext } from './page.ts'
import { consensusCells } from './consensus.ts'
import { eventsCells } from './events.ts'
import { imagesCells } from './images.ts'
import { nodeCells, nodesCells } from './nodes.ts'
import { operationCells, operationsCells } from './operations.ts'
import { overviewCells } from './overview.ts'
import { renderParts } from './write.ts'
import { vmCells } from './vm.ts'
import { vmsCells } from './vms.ts'

const streamsMax = 256
/** Two messages a second at most. */
const gapMs = 500
const beatMs = 3000
/** A reader that has so much waiting is left out until it has caught up. */
const waitingBytesMax = 256 * 1024

export function liveRoutes(ui: Ui): Hono<HttpEnv> {
  let open = 0
  return new Hono<HttpEnv>().get('/ui/events', (context) => {
    if (open >= streamsMax) throw new OperationalError('OVERLOADED', 'Too many live pages are open on this node.', { data: { retryAfterSeconds: 5 } })
    const cellsOf = chooseCells(ui, callerOf(context), new URL(context.req.url).searchParams)
    open++
    const stream = new LiveStream(ui, context, cellsOf, () => open--)
    return new Response(stream.readable, { headers: { 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'no-store' } })
  })
}

function chooseCells(ui: Ui, caller: Caller, query: URLSearchParams): (frame: Frame) => readonly Cell[] {
  const id = query.get('id') ?? ''
  switch (query.get('page')) {
    case 'overview':
      return overviewCells(ui, caller)
    case 'vms':
      return vmsCells(ui, caller, query)
    case 'vm':
      return isId(id) ? vmCells(ui, caller, id) : () => []
    case 'nodes':
      return nodesCells(ui, caller)
    case 'node':
      return isId(id) ? nodeCells(ui, caller, id) : () => []
    case 'consensus':
      return consensusCells(ui, caller)
    case 'images':
      return imagesCells(ui, caller, query)
    case 'operations':
      return operationsCells(ui, caller, query)
    case 'operation':
      return isId(id) ? operationCells(ui, caller, id) : () => []
    case 'events':
      return eventsCells(ui, caller, query)
    default:
      return () => []
  }
}

/** What every page has, whatever it is about. */
function shellCells(frame: Frame): Cell[] {
  return [
    { id: 'alarm', html: alarm(frame) },
    { id: 'pulse', html: pulse(frame) },
    { id: 'n-operations', html: runningBadge(frame) },
    { id: 'as-of', html: asOf(frame) },
  ]
}

class LiveStream {
  readonly readable: ReadableStream<Uint8Array>
  readonly #ui: Ui
  readonly #context: UiContext
  readonly #caller: Caller
  readonly #cellsOf: (frame: Frame) => readonly Cell[]
  /** The own page is the one where everybody may change something. */
  readonly #path: string
  readonly #onClose: () => void
  readonly #encoder = new TextEncoder()
  readonly #cancels: Cancel[] = []
  readonly #sent = new Map<string, string>()
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null
  #closed = false
  #dirty = true
  #flushing = false
  #lastMs = Number.NEGATIVE_INFINITY
  #timer: Cancel | null = null
  #quorum: string | null = null
  #stale: string | null = null

  constructor(ui: Ui, context: UiContext, cellsOf: (frame: Frame) => readonly Cell[], onClose: () => void) {
    this.#ui = ui
    this.#context = context
    this.#caller = callerOf(context)
    this.#cellsOf = cellsOf
    this.#path = new URL(context.req.url).searchParams.get('page') === 'access' ? '/access' : ''
    this.#onClose = onClose
    this.readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller
          this.#listen()
        },
        pull: () => this.#schedule(),
        cancel: () => this.#close(),
      },
      { highWaterMark: waitingBytesMax, size: (chunk) => chunk?.byteLength ?? 0 },
    )
  }

  #listen(): void {
    const { app, options } = this.#ui
    const touch = () => this.#touch()
    const onEnd = () => this.#close()
    const { signal } = this.#context.req.raw
    for (const source of [signal, options.stopping]) {
      source.addEventListener('abort', onEnd, { once: true })
      this.#cancels.push(() => source.removeEventListener('abort', onEnd))
    }
    this.#cancels.push(
      app.records.watch(this.#caller, null, { event: touch, reset: touch }),
      app.onPulse(touch),
      options.clock.every(beatMs, () => this.#beat()),
      watchCredential({ app, caller: this.#caller, headers: this.#context.req.raw.headers, address: addressOf(this.#context.env.incoming), clock: options.clock }, () => void this.#recheck()),
    )
    // At once: the page was rendered a moment ago, and what changed since must not be lost.
    this.#schedule()
  }

  #touch(): void {
    this.#dirty = true
    this.#schedule()
  }

  #schedule(): void {
    if (this.#closed || !this.#dirty || this.#flushing || this.#timer !== null) return
    if ((this.#controller?.desiredSize ?? 0) <= 0) return
    const { clock } = this.#ui.options
    const waitMs = Math.max(0, this.#lastMs + gapMs - clock.monotonicMs())
    this.#timer = clock.after(waitMs, () => {
      this.#timer = null
      void this.#flush()
    })
  }

  async #flush(): Promise<void> {
    if (this.#closed) return
    const { app, options } = this.#ui
    this.#flushing = true
    this.#dirty = false
    this.#lastMs = options.clock.monotonicMs()
    try {
      const frame = frameOf(this.#ui, this.#caller, looksOf(this.#context.req.raw.headers), this.#path)
      this.#tellTouch(frame)
      const parts = []
      for (const cell of [...shellCells(frame), ...this.#cellsOf(frame)]) {
        const text = String(await cell.html)
        if (this.#sent.get(cell.id) === text) continue
        this.#sent.set(cell.id, text)
        parts.push({ target: `#${cell.id}`, swap: 'outerMorph', html: cell.html } as const)
      }
      if (parts.length > 0) this.#send({ id: `${app.freshness().index}.0`, data: await renderParts(parts) })
    } catch (error) {
      options.log.error('live page failed', { error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
      this.#close()
    } finally {
      this.#flushing = false
    }
    this.#schedule()
  }

  /** Quorum and staleness as events of their own: the page's script greys and refuses by them. */
  #tellTouch(frame: Frame): void {
    const quorum = JSON.stringify({ quorum: frame.cluster.quorum, refusal: frame.refusal ?? '' })
    if (quorum !== this.#quorum) {
      this.#quorum = quorum
      this.#send({ event: 'quorum', data: quorum })
    }
    const stale = JSON.stringify({ stale: frame.cluster.staleSinceMs !== null || !frame.cluster.quorum, cluster: frame.cluster.name })
    if (stale !== this.#stale) {
      this.#stale = stale
      this.#send({ event: 'stale', data: stale })
    }
  }

  /** Tells a page whose stream stands still from a page where nothing happens. */
  #beat(): void {
    if ((this.#controller?.desiredSize ?? 0) > 0) this.#send({ event: 'beat', data: String(this.#ui.options.clock.nowMs()) })
  }

  async #recheck(): Promise<void> {
    const { req, env } = this.#context
    const still = await authenticate(this.#ui.app, req.raw.headers, addressOf(env.incoming)).catch(() => this.#caller)
    if (this.#closed) return
    // Of other roles than before: the page asks anew, as whom its reader is now.
    if (still === null) this.#send({ event: 'logout', data: '{}' })
    this.#close()
  }

  #send(message: { readonly id?: string; readonly event?: string; readonly data: string }): void {
    if (this.#closed || this.#controller === null) return
    const head = `${message.id === undefined ? '' : `id: ${message.id}\n`}${message.event === undefined ? '' : `event: ${message.event}\n`}`
    const data = message.data.split(/\r\n|\r|\n/).map((line) => `data: ${line}\n`).join('')
    this.#controller.enqueue(this.#encoder.encode(`${head}${data}\n`))
  }

  #close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#timer?.()
    for (const cancel of this.#cancels) cancel()
    this.#onClose()
    try {
      this.#controller?.close()
    } catch {
      // The reader had gone already.
    }
  }
}
