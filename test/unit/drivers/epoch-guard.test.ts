// The epoch guard: nothing below the highest epoch seen, one action at a time for each id, written before it is done.
import { expect, it } from 'vitest'
import { EpochGuard } from '../../../src/drivers/epoch-guard.ts'
import { memoryLocalStore } from '../../contract/memory.ts'

it('remembers in the store before it acts', async () => {
  const store = memoryLocalStore()
  await new EpochGuard(store).admit('a', 4, async () => expect(await store.get('epoch/a')).toBe(4))
  await expect(new EpochGuard(store).admit('a', 3, async () => {})).rejects.toMatchObject({ code: 'EPOCH_STALE', data: { epoch: 3, highest: 4 } })
  await new EpochGuard(store).admit('b', 1, async () => {})
})

it('an action that fails leaves its epoch', async () => {
  const guard = new EpochGuard(memoryLocalStore())
  await expect(guard.admit('a', 4, async () => Promise.reject(new Error('broken')))).rejects.toThrow('broken')
  await expect(guard.admit('a', 3, async () => {})).rejects.toMatchObject({ code: 'EPOCH_STALE' })
  expect(await guard.admit('a', 4, async () => 'fine')).toBe('fine')
})

it('orders the actions of one id, and lets others pass', async () => {
  const guard = new EpochGuard(memoryLocalStore())
  const done: string[] = []
  let release = (): void => {}
  const first = guard.admit('a', 1, async () => {
    await new Promise<void>((resolve) => (release = resolve))
    done.push('a1')
  })
  const second = guard.admit('a', 2, async () => void done.push('a2'))
  await guard.admit('b', 1, async () => void done.push('b1'))
  expect(done).toEqual(['b1'])
  release()
  await Promise.all([first, second])
  expect(done).toEqual(['b1', 'a1', 'a2'])
})

it('a store that fails means no action', async () => {
  const store = { ...memoryLocalStore(), put: async () => Promise.reject(new Error('disk gone')) }
  let acted = false
  await expect(new EpochGuard(store).admit('a', 1, async () => { acted = true })).rejects.toThrow('disk gone')
  expect(acted).toBe(false)
})
