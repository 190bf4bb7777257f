// The support bundle: one at a time, on record, and made in pieces.
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Caller, SupportBundle } from '../../../src/app/face.ts'
import { packBundle } from '../../../src/http/support-bundle.ts'
import { exportState, importInParts, importState, stateHash } from '../../../src/state/state.ts'
import { startRealNode, type RealNode } from '../http/real-node.ts'

let real: RealNode
let caller: Caller

beforeAll(async () => {
  real = await startRealNode()
  caller = (await real.node.app.identity.authenticateToken(real.token, '192.0.2.7'))!
})
afterAll(() => real.stop())

const begin = async ({ lines }: SupportBundle) => {
  const reader = lines[Symbol.asyncIterator]()
  expect((await reader.next()).value).toMatchObject({ kind: 'bundle' })
  return reader
}
const take = () => real.node.app.supportBundle(caller)
const overloaded = expect.objectContaining({ code: 'OVERLOADED' }) as Error

test('one is made at a time; who gives up, or never begins, keeps nobody waiting', async () => {
  take()
  const first = await begin(take())
  expect(take).toThrow(overloaded)
  await first.return?.()
  const second = await begin(take())
  const evidence = await begin(real.node.app.evidence())
  expect(() => real.node.app.supportBundle(null)).toThrow(overloaded)
  await second.return?.()
  await evidence.return?.()
  const third = await begin(take())
  await third.return?.()
})

test('a download that breaks off ends the making', async () => {
  let made = 0
  let isOver = false
  const packed = packBundle((async function* () {
    try {
      for (;; made += 1) yield { kind: 'log' as const, line: randomBytes(1000).toString('base64') }
    } finally {
      isOver = true
    }
  })())
  await expect.poll(() => made).toBeGreaterThan(10)
  packed.destroy()
  await expect.poll(() => isOver).toBe(true)
})

test('who took it is in the audit, root on the host too', () => {
  take()
  real.node.app.supportBundle(null)
  const { items } = real.node.app.records.audit(caller, { limit: 100, after: null, sort: '-at', filter: 'command:node.supportBundle' })
  expect(items.map(({ actor, outcome, target, code }) => [actor, outcome, target, code])).toEqual(expect.arrayContaining([['admin/initial', 'done', 'n1', ''], ['root of n1', 'done', 'n1', '']]))
  expect(items.find(({ actor }) => actor === 'admin/initial')).toMatchObject({ address: '192.0.2.7' })
})

test('a state is put together in pieces, and is the same', () => {
  const image = exportState(real.node.cluster.state)
  const parts = importInParts(image, 2)
  let turns = 0
  let part = parts.next()
  for (; part.done !== true; part = parts.next()) turns += 1
  expect(turns).toBe(Math.floor(image.records.length / 2))
  expect(stateHash(part.value)).toBe(stateHash(importState(image)))
})
