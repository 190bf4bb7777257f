// A follower that lost entries it had acknowledged is asked again by heartbeats, not in a storm of appends and refusals.
import { expect, test } from 'vitest'
import { PeerProgress } from '../../../src/raft/progress.ts'

test('a refusal that cannot move next back leaves the peer paused', () => {
  const progress = new PeerProgress({ next: 5, recentActive: true, limits: { messagesMax: 8, bytesMax: 1024 } })
  progress.maybeUpdate(4)
  progress.becomeProbe()
  progress.isPaused = true
  expect(progress.maybeDecrease(4, 0)).toBe(false)
  expect(progress.isPaused).toBe(true)
  expect(progress.next).toBe(5)
})

test('a refusal that moves next back asks again at once', () => {
  const progress = new PeerProgress({ next: 9, recentActive: true, limits: { messagesMax: 8, bytesMax: 1024 } })
  progress.isPaused = true
  expect(progress.maybeDecrease(8, 3)).toBe(true)
  expect(progress.isPaused).toBe(false)
  expect(progress.next).toBe(4)
})
