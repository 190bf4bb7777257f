// A refusal is confirmed where the node may be behind. Found by the chaos test: a node that had been cut off answered 404 to a write on what others had made.
import { expect, test, vi } from 'vitest'
import { afterRecord, confirmed } from '../../../src/app/confirmation.ts'
import type { AppContext } from '../../../src/app/context.ts'
import { OperationalError, type ErrorCode } from '../../../src/model/error.ts'
import { startRealNode } from '../http/real-node.ts'

/** A node whose copy holds `behind` entries less than the leader's until it asks. */
function nodeBehind({ behind, quorum = true }: { readonly behind: number; readonly quorum?: boolean }) {
  const state = { index: 10 }
  const seen: number[] = []
  let barriers = 0
  const readBarrier = async () => {
    barriers += 1
    if (!quorum) throw new OperationalError('NO_QUORUM', 'The read cannot be confirmed.')
    state.index += behind
    return state.index
  }
  const context = { state, ports: { consensus: { readBarrier } } } as unknown as AppContext
  const write = (code: ErrorCode | null, data: { readonly confirmed?: true } = {}) => async () => {
    seen.push(state.index)
    if (code !== null && state.index < 12) throw new OperationalError(code, 'There is none.', { data })
    return `done at ${state.index}`
  }
  return { context, write, seen, barriers: () => barriers }
}
const codeOf = (work: unknown) => (work as Promise<unknown>).then((value) => value, (error: unknown) => (error as { readonly code?: string }).code)

test('what is done is done once, and nobody is asked', async () => {
  const { context, write, seen, barriers } = nodeBehind({ behind: 5 })
  expect(await confirmed(context, write(null))).toBe('done at 10')
  expect([seen, barriers()]).toEqual([[10], 0])
})

test('a node that is behind catches up and tries again', async () => {
  const { context, write, seen } = nodeBehind({ behind: 5 })
  expect(await confirmed(context, write('NOT_FOUND'))).toBe('done at 15')
  expect(seen).toEqual([10, 15])
})

test('a refusal by the newest state stands, and so does one that was confirmed or has nothing to do with the state', async () => {
  const upToDate = nodeBehind({ behind: 0 })
  expect(await codeOf(confirmed(upToDate.context, upToDate.write('NAME_TAKEN')))).toBe('NAME_TAKEN')
  expect(upToDate.seen).toEqual([10])
  const behind = nodeBehind({ behind: 5 })
  expect(await codeOf(confirmed(behind.context, behind.write('STATE_CONFLICT', { confirmed: true })))).toBe('STATE_CONFLICT')
  expect(await codeOf(confirmed(behind.context, behind.write('INVALID')))).toBe('INVALID')
  expect(behind.barriers()).toBe(0)
})

test('what is gone when the command is applied is looked for once more by its name: it may have been made anew', async () => {
  const { context, seen, barriers } = nodeBehind({ behind: 0 })
  const write = (attempts: number) => async () => {
    seen.push(context.state.index)
    if (seen.length <= attempts) throw new OperationalError('NOT_FOUND', 'There is none.', { data: { inLog: true, confirmed: true } })
    return 'done'
  }
  expect(await confirmed(context, write(1))).toBe('done')
  expect([seen.length, barriers()]).toEqual([2, 0])
  seen.length = 0
  expect(await codeOf(confirmed(context, write(9)))).toBe('NOT_FOUND')
  expect(seen).toHaveLength(2)
})

test('without a quorum nothing is said of what there is', async () => {
  const { context, write } = nodeBehind({ behind: 5, quorum: false })
  expect(await codeOf(confirmed(context, write('NOT_FOUND')))).toBe('NO_QUORUM')
})

test('what fails once its command is on record is not recorded again', async () => {
  const { context, seen } = nodeBehind({ behind: 5 })
  const write = async () => {
    seen.push(context.state.index)
    await afterRecord(Promise.reject(new OperationalError('STATE_CONFLICT', 'Another leads already.')))
  }
  expect(await codeOf(confirmed(context, write))).toBe('STATE_CONFLICT')
  expect(seen).toEqual([10])
  await expect(afterRecord(Promise.reject(new RangeError('a bug')))).rejects.toBeInstanceOf(RangeError)
})

test('a log that cannot be shortened is asked for once', async () => {
  const real = await startRealNode()
  const { node, token } = real
  const caller = (await node.app.identity.authenticateToken(token, ''))!
  vi.spyOn(node.cluster, 'compact').mockRejectedValue(new OperationalError('STATE_CONFLICT', 'A follower needs it.'))
  const options = { idempotencyKey: null, bodyHash: '', ifMatch: null, dryRun: false, waitSeconds: 0, signal: new AbortController().signal }
  await expect(node.app.members.compact(caller, 'n1', options)).rejects.toMatchObject({ code: 'STATE_CONFLICT' })
  expect([...node.cluster.state.tables.audit.values()].filter(({ command }) => command === 'node.compact')).toHaveLength(1)
  await real.stop()
})
