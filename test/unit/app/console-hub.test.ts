// Many readers of one console: all see it, one that hangs holds up nobody, and it is opened once and closed with the last.
import { expect, test } from 'vitest'
import { ConsoleHub } from '../../../src/app/console-hub.ts'
import { SimConsole } from '../../../src/drivers/sim/console.ts'
import type { ByteStream } from '../../../src/ports/transport.ts'

/** A hub over simulated consoles, of which `opened` tells all that were opened. */
function createHub() {
  const opened: { readonly console: SimConsole; readonly typed: string[]; closed: boolean }[] = []
  const hub = new ConsoleHub(async () => {
    const entry = { typed: [] as string[], closed: false } as (typeof opened)[number]
    Object.assign(entry, { console: new SimConsole((bytes) => entry.typed.push(Buffer.from(bytes).toString()), () => (entry.closed = true)) })
    opened.push(entry)
    return entry.console
  })
  return { hub, opened }
}

const forever = new AbortController().signal

async function read(stream: ByteStream): Promise<string> {
  for await (const chunk of { [Symbol.asyncIterator]: () => iterators.get(stream) ?? keep(stream) }) return Buffer.from(chunk).toString()
  return 'ended'
}
/** An iterator that `for await` left must not close the stream between two reads. */
const iterators = new Map<ByteStream, AsyncIterator<Uint8Array>>()
function keep(stream: ByteStream): AsyncIterator<Uint8Array> {
  const iterator = stream.readable[Symbol.asyncIterator]()
  const kept = { next: () => iterator.next() }
  iterators.set(stream, kept)
  return kept
}

test('two readers see the same and type into the same guest', async () => {
  const { hub, opened } = createHub()
  const [left, right] = await Promise.all([hub.join('vm', forever), hub.join('vm', forever)])
  opened[0]?.console.received(Buffer.from('tick 1'))
  expect([await read(left), await read(right)]).toEqual(['tick 1', 'tick 1'])
  await left.write(Buffer.from('a'))
  await right.write(Buffer.from('b'))
  expect(opened.map((entry) => entry.typed)).toEqual([['a', 'b']])
  left.abort()
  opened[0]?.console.received(Buffer.from('tick 2'))
  expect(await read(right)).toBe('tick 2')
  expect(opened[0]?.closed).toBe(false)
  right.abort()
  await expect.poll(() => opened[0]?.closed).toBe(true)
  await expect(right.write(Buffer.from('c'))).rejects.toMatchObject({ code: 'CONSOLE_BUSY' })
})

test('consoles of different VMs are different; one that ended is opened anew', async () => {
  const { hub, opened } = createHub()
  await hub.join('vm', forever)
  const other = await hub.join('other', forever)
  expect(opened).toHaveLength(2)
  opened[1]?.console.received(null)
  expect(await read(other)).toBe('ended')
  await hub.join('other', forever)
  expect(opened).toHaveLength(3)
})

test('a reader that hangs holds up nobody and misses what does not fit', async () => {
  const { hub, opened } = createHub()
  const hanging = await hub.join('vm', forever)
  const reading = await hub.join('vm', forever)
  let got = 0
  for (let at = 0; at < 40; at++) {
    opened[0]?.console.received(Buffer.alloc(32 * 1024, at))
    got += (await read(reading)).length
  }
  expect(got).toBe(40 * 32 * 1024)
  let kept = 0
  reading.abort()
  hanging.abort = () => {}
  opened[0]?.console.received(null)
  for (let text = await read(hanging); text !== 'ended'; text = await read(hanging)) kept += text.length
  expect(kept).toBeGreaterThan(0)
  expect(kept).toBeLessThan(12 * 32 * 1024)
})

test('who gives up while it is being opened leaves; an opening that fails fails for all, and the next tries again', async () => {
  let tries = 0
  const hub = new ConsoleHub(async () => {
    tries++
    throw new Error('no console')
  })
  const outcomes = await Promise.allSettled([hub.join('vm', forever), hub.join('vm', forever)])
  expect(outcomes.map((outcome) => outcome.status)).toEqual(['rejected', 'rejected'])
  expect(tries).toBe(1)
  await expect(hub.join('vm', forever)).rejects.toThrow('no console')
  expect(tries).toBe(2)

  const { hub: good, opened } = createHub()
  const gone = new AbortController()
  const joining = good.join('vm', gone.signal)
  gone.abort()
  await expect(joining).rejects.toThrow()
  await expect.poll(() => opened[0]?.closed ?? true).toBe(true)
})
