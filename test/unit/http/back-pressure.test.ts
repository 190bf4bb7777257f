// Back-pressure through HTTP: what a node cannot take now it refuses with 503 and Retry-After, and has surely not done.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { serve, type Ask, type Json, type Served } from './harness.ts'
import { startRealNode, type RealNode } from './real-node.ts'

const userDataBytes = 20_000
let real: RealNode
let served: Served
const api = (path: string, options: Ask = {}) => served.ask(`/api/v1${path}`, { token: real.token, ...options })
const vm = (name: string, userData = '') => ({ name, spec: { cpus: 1, memoryMiB: 64, ...(userData === '' ? {} : { cloudInit: { userData } }) } })
const create = (name: string, userData?: string) => api('/vms', { method: 'POST', json: vm(name, userData) })
const names = async (): Promise<string[]> => (await api('/vms?limit=1000')).json.items.map((each: Json) => each.name)
const conditions = async (): Promise<string[]> => (await api('/nodes/n1')).json.status.conditions.map((each: Json) => each.type)

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < 600; turn += 1) {
    if (await holds()) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('it did not come to hold')
}

beforeAll(async () => {
  real = await startRealNode({ raft: { uncommittedBytesMax: 10 * userDataBytes } })
  served = await serve({ app: real.node.app })
})
afterAll(async () => {
  await served.http.stop()
  await real.stop()
})
beforeEach(() => {
  real.disk.faults.full = false
  real.disk.faults.fsyncDelayMs = 0.2
})

describe('17: more than the log may hold uncommitted', () => {
  test('is refused at once, with 503 and Retry-After, and only that is missing', async () => {
    real.disk.faults.fsyncDelayMs = 600
    const answers = await Promise.all(Array.from({ length: 40 }, async (_, at) => ({ name: `many-${at}`, answer: await create(`many-${at}`, `#cloud-config\n# ${'x'.repeat(userDataBytes)}`) })))
    const refused = answers.filter(({ answer }) => answer.status !== 201)
    expect(refused.length).toBeGreaterThan(0)
    expect(refused.length).toBeLessThan(answers.length)
    for (const { answer } of refused) expect(answer).toMatchObject({ status: 503, headers: { 'retry-after': '1' }, json: { code: 'OVERLOADED' } })
    real.disk.faults.fsyncDelayMs = 0.2
    expect((await names()).toSorted()).toEqual(answers.filter(({ answer }) => answer.status === 201).map(({ name }) => name).toSorted())
    const [first] = refused
    expect(await create(first?.name ?? '')).toMatchObject({ status: 201 })
  })
})

describe('44: a disk that takes nothing', () => {
  test.each([
    { type: 'DiskFull', begin: () => (real.disk.faults.full = true), words: /The disk of this node is full.*Nothing was changed/ },
    { type: 'DiskHung', begin: () => (real.disk.faults.fsyncDelayMs = 2_500), words: /The disk of this node does not answer.*Nothing was changed/ },
  ])('$type: writes are refused with 503 and Retry-After, reads go on, the node says so, and afterwards it is in the events', async ({ type, begin, words }) => {
    begin()
    const underWay = create(`${type.toLowerCase()}-first`)
    await until(async () => (await conditions()).includes(type))
    expect(await create(`${type.toLowerCase()}-refused`)).toMatchObject({ status: 503, headers: { 'retry-after': '2' }, json: { code: 'OVERLOADED', detail: expect.stringMatching(words) } })
    // Readiness is looked at anew a few times a second.
    await until(async () => (await served.ask('/readyz')).status === 503)
    real.disk.faults.full = false
    real.disk.faults.fsyncDelayMs = 0.2
    await underWay
    await until(async () => (await conditions()).length === 0)
    expect(await create(`${type.toLowerCase()}-after`)).toMatchObject({ status: 201 })
    expect(await names()).not.toContain(`${type.toLowerCase()}-refused`)
    await until(async () => {
      const reasons = (await api('/events?limit=1000')).json.items.map((each: Json) => each.reason)
      return reasons.includes('node.trouble') && reasons.includes('node.recovered')
    })
  }, 60_000)
})
