// Waiting: for an answer, for a time, for an abort; whichever comes first, nothing is left behind.
import { describe, expect, it } from 'vitest'
import { waitFor } from '../../../src/cluster/wait.ts'
import { EventQueue } from '../../sim/event-queue.ts'
import { SimClock } from '../../sim/sim-clock.ts'

function setting() {
  const queue = new EventQueue()
  const clock = new SimClock(queue)
  let stopped = 0
  let answer: (value: string) => void = () => undefined
  const begin = (resolve: (value: string) => void) => {
    answer = resolve
    return () => {
      stopped += 1
    }
  }
  const pass = (untilMs: number): void => {
    for (let action = queue.next(untilMs); action !== null; action = queue.next(untilMs)) action()
  }
  return { clock, begin, pass, answer: (value: string) => answer(value), stops: () => stopped, queue }
}

describe('waitFor', () => {
  it('resolves with the answer and stops listening once', async () => {
    const { clock, begin, answer, stops, pass } = setting()
    const waiting = waitFor<string>({ clock, limitMs: 100 }, begin)
    answer('yes')
    answer('no')
    pass(200)
    expect(await waiting).toBe('yes')
    expect(stops()).toBe(1)
  })

  it('resolves with an answer that comes while it begins', async () => {
    const { clock, queue } = setting()
    let stops = 0
    const waiting = waitFor<string>({ clock, limitMs: 100 }, (resolve) => {
      resolve('at once')
      return () => {
        stops += 1
      }
    })
    expect(await waiting).toBe('at once')
    expect(stops).toBe(1)
    expect(queue.size).toBe(0)
  })

  it('ends with the time', async () => {
    const { clock, begin, pass, stops } = setting()
    const waiting = waitFor<string>({ clock, limitMs: 100 }, begin)
    pass(99)
    expect(stops()).toBe(0)
    pass(100)
    expect(await waiting).toBe('timeout')
    expect(stops()).toBe(1)
  })

  it('ends with the signal, before or during', async () => {
    const { clock, begin, stops } = setting()
    const reason = new Error('enough')
    const during = new AbortController()
    const waiting = waitFor<string>({ clock, limitMs: 100, signal: during.signal }, begin)
    during.abort(reason)
    await expect(waiting).rejects.toBe(reason)
    expect(stops()).toBe(1)
    await expect(waitFor<string>({ clock, limitMs: 100, signal: during.signal }, begin)).rejects.toBe(reason)
    expect(stops()).toBe(1)
  })
})
