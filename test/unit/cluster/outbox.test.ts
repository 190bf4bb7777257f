// News of a commit alone waits a moment and gives way to entries; what a follower's client waits for goes at once.
import { expect, test } from 'vitest'
import { noticeMs, Outbox } from '../../../src/cluster/outbox.ts'
import type { Clock } from '../../../src/ports/clock.ts'
import type { Entry, Message } from '../../../src/raft/types.ts'

function outbox() {
  const sent: Message[] = []
  let timer: { readonly delayMs: number; readonly action: () => void } | null = null
  const clock: Clock = {
    nowMs: () => 0, monotonicMs: () => 0, every: () => () => undefined,
    after: (delayMs, action) => {
      timer = { delayMs, action }
      return () => (timer = null)
    },
  }
  return { sent, box: new Outbox(clock, (message) => sent.push(message)), timer: () => timer }
}

const entry = (index: number): Entry => ({ index, term: 1, kind: 'normal', data: new Uint8Array([1]) })
const append = (to: string, commit: number, entries: readonly Entry[] = []): Message => ({ kind: 'append', from: 'a', to, term: 1, prevIndex: 1, prevTerm: 1, commit, entries })

test('entries go at once, news of a commit after a moment, once, the newest', () => {
  const { sent, box, timer } = outbox()
  box.send(append('b', 1, [entry(2)]))
  expect(sent).toHaveLength(1)
  box.send(append('b', 2))
  box.send(append('b', 3))
  box.send(append('c', 3))
  expect(sent).toHaveLength(1)
  expect(timer()).toMatchObject({ delayMs: noticeMs })
  timer()!.action()
  expect(sent.slice(1)).toEqual([append('b', 3), append('c', 3)])
})

test('entries that go meanwhile carry the news', () => {
  const { sent, box, timer } = outbox()
  box.send(append('b', 2))
  box.send(append('b', 2, [entry(3)]))
  timer()!.action()
  expect(sent).toEqual([append('b', 2, [entry(3)])])
})

test('a follower whose client waits hears at once, until it has heard of that', () => {
  const { sent, box } = outbox()
  box.expect('b', 5)
  box.send(append('b', 4))
  box.send(append('b', 5))
  box.send(append('b', 6))
  box.send(append('c', 6))
  expect(sent).toEqual([append('b', 4), append('b', 5)])
})

test('all else goes at once; after a stop nothing that waits does', () => {
  const { sent, box, timer } = outbox()
  const heartbeat: Message = { kind: 'heartbeat', from: 'a', to: 'b', term: 1, commit: 1, context: '' }
  box.send(heartbeat)
  box.send(append('b', 2))
  box.stop()
  expect(timer()).toBeNull()
  expect(sent).toEqual([heartbeat])
})
