// The live stream: all cells first, then what changed, at most twice a second, and its end.
import { describe, expect, test } from 'vitest'
import { makePages, type Pages } from './pages.ts'
import { idOf } from './stand-in.ts'

type Message = { readonly event: string; readonly id: string; readonly data: string }

/** Reads what has come so far. */
class Reader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #decoder = new TextDecoder()
  #text = ''
  done = false
  constructor(response: Response) {
    this.#reader = response.body!.getReader()
    void this.#pump()
  }
  async #pump(): Promise<void> {
    for (;;) {
      const { done, value } = await this.#reader.read()
      if (done) break
      this.#text += this.#decoder.decode(value, { stream: true })
    }
    this.done = true
  }
  take(): Message[] {
    const blocks = this.#text.split('\n\n')
    this.#text = blocks.pop() ?? ''
    return blocks.map((block) => {
      const field = (name: string) => block.split('\n').filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2)).join('\n')
      return { event: field('event'), id: field('id'), data: field('data') }
    })
  }
  cancel(): Promise<void> {
    return this.#reader.cancel()
  }
}

async function openStream(pages: Pages, query: string): Promise<Reader> {
  const response = await pages.get(`/ui/events?${query}`, { 'HX-Request': 'true' })
  expect(response.headers.get('Content-Type')).toContain('text/event-stream')
  return new Reader(response)
}

const parts = (message: Message | undefined) => [...(message?.data ?? '').matchAll(/hx-target="#([^"]*)"/g)].map((match) => match[1])

function setPhase(pages: Pages, at: number, phase: 'running' | 'stopped'): void {
  const vm = pages.app.scene.vms[at]!
  pages.app.scene.vms[at] = { ...vm, status: { ...vm.status, phase } }
}

describe('live', () => {
  test('begins with every cell, then sends the smallest that changed', async () => {
    const pages = makePages()
    const reader = await openStream(pages, 'page=vms')
    await pages.clock.advance(10)
    const first = reader.take()
    expect(first.map((message) => message.event)).toEqual(['quorum', 'stale', ''])
    expect(parts(first[2])).toContain(`state-${idOf(2, 1)}`)
    expect(parts(first[2])).toContain('pulse')
    expect(first[2]?.id).toBe('900.0')
    setPhase(pages, 1, 'stopped')
    pages.app.pulse()
    await pages.clock.advance(600)
    const second = reader.take()
    expect(second).toHaveLength(1)
    expect(parts(second[0])).toEqual([`state-${idOf(2, 1)}`])
    expect(second[0]?.data).toContain('Stopped')
    await reader.cancel()
  })

  test('sends at most two messages a second and nothing where nothing changed', async () => {
    const pages = makePages()
    const reader = await openStream(pages, 'page=vms')
    await pages.clock.advance(10)
    reader.take()
    for (let at = 0; at < 40; at++) {
      setPhase(pages, 1, at % 2 === 0 ? 'stopped' : 'running')
      pages.app.pulse()
      await pages.clock.advance(50)
    }
    expect(reader.take().filter((message) => message.event === '').length).toBeLessThanOrEqual(5)
    await pages.clock.advance(600)
    reader.take()
    pages.app.pulse()
    await pages.clock.advance(600)
    expect(reader.take().filter((message) => message.event === '')).toEqual([])
    await reader.cancel()
  })

  test('rows that come and go are told, not moved', async () => {
    const pages = makePages()
    const reader = await openStream(pages, 'page=vms&limit=100')
    await pages.clock.advance(10)
    reader.take()
    pages.app.scene.vms.push({ ...pages.app.scene.vms[0]!, id: idOf(2, 500), name: 'zz-new' })
    pages.app.scene.vms.splice(4, 1)
    pages.app.pulse()
    await pages.clock.advance(600)
    const text = reader.take().map((message) => message.data).join('')
    expect(text).toContain('1 new, 1 gone')
    expect(text).not.toContain(`state-${idOf(2, 500)}`)
    await reader.cancel()
  })

  test('quorum and staleness come as events of their own', async () => {
    const pages = makePages()
    const reader = await openStream(pages, 'page=none')
    await pages.clock.advance(10)
    reader.take()
    pages.app.scene.freshness = { ...pages.app.scene.freshness, quorum: false, staleSinceMs: pages.clock.nowMs(), leader: null }
    pages.app.pulse()
    await pages.clock.advance(600)
    const messages = reader.take()
    expect(messages.map((message) => message.event)).toEqual(['quorum', 'stale', ''])
    expect(JSON.parse(messages[0]?.data ?? '{}')).toMatchObject({ quorum: false })
    expect(parts(messages[2])).toContain('alarm')
    await reader.cancel()
  })

  test('a VM deleted meanwhile says so', async () => {
    const pages = makePages()
    const reader = await openStream(pages, `page=vm&id=${idOf(2, 1)}`)
    await pages.clock.advance(10)
    expect(parts(reader.take().at(-1))).toEqual(expect.arrayContaining(['vm-state', 'vm-actions', 'vm-op', 'vm-details', 'vm-events']))
    pages.app.scene.vms.splice(1, 1)
    pages.app.pulse()
    await pages.clock.advance(600)
    expect(reader.take().map((message) => message.data).join('')).toContain('This VM was deleted')
    await reader.cancel()
  })

  test.each(['page=overview', 'page=nodes', `page=node&id=${idOf(1, 1)}`, 'page=operations', `page=operation&id=${idOf(3, 1)}`, 'page=events', 'page=vm&id=no-id'])('%s has cells that exist on its page', async (query) => {
    const pages = makePages()
    const reader = await openStream(pages, query)
    await pages.clock.advance(10)
    const path = { overview: '/', nodes: '/nodes', node: '/nodes/n1', operations: '/operations', operation: `/operations/${idOf(3, 1)}`, events: '/events', vm: '/vms' }[/page=(\w+)/.exec(query)?.[1] ?? ''] ?? '/'
    const page = await (await pages.get(path)).text()
    const cells = parts(reader.take().at(-1))
    expect(cells.length).toBeGreaterThan(3)
    for (const id of cells) expect(page, String(id)).toContain(`id="${id}"`)
    await reader.cancel()
  })

  test('ends at sign-out, at the end of the node, and when the reader goes; nothing stays behind', async () => {
    const pages = makePages()
    const before = pages.clock.pending
    const left = await openStream(pages, 'page=overview')
    const right = await openStream(pages, 'page=overview')
    await pages.clock.advance(10)
    await left.cancel()
    pages.app.identity.authenticateSession = () => Promise.resolve(null)
    await pages.clock.advance(5100)
    expect(right.take().map((message) => message.event)).toContain('logout')
    expect(right.done).toBe(true)
    expect(pages.clock.pending).toBe(before)
    pages.app.identity.authenticateSession = () => Promise.resolve(null)
    const third = await openStream(pages, 'page=overview')
    pages.stopping.abort()
    await pages.clock.advance(10)
    expect(third.done).toBe(true)
    expect(pages.clock.pending).toBe(before)
  })

  test('beats where nothing happens, so that a dead stream can be told', async () => {
    const pages = makePages()
    const reader = await openStream(pages, 'page=none')
    await pages.clock.advance(3100)
    expect(reader.take().map((message) => message.event)).toContain('beat')
    await reader.cancel()
  })
})
