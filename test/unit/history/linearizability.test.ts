// The judge is judged: histories known to be good and bad, and small random ones against a search through all orders.
import { describe, expect, test } from 'vitest'
import { checkLinearizable, renderVerdict } from '../../history/linearizability.ts'
import { checkRegisters, registerModel, settle, type RegisterInput, type RegisterOperation, type RegisterOutput, type RegisterState } from '../../history/register.ts'
import { SimRandom } from '../../sim/sim-random.ts'

const model = registerModel({ value: 'v0', revision: 10 })
const read: RegisterInput = { kind: 'read', register: 'x' }
const write = (value: string, ifMatch: number | null = null): RegisterInput => ({ kind: 'write', register: 'x', value, ifMatch })
const found = (value: string, revision: number): RegisterOutput => ({ kind: 'found', value, revision })
const done = (revision: number | null): RegisterOutput => ({ kind: 'done', revision })
const stale: RegisterOutput = { kind: 'stale' }
const absent: RegisterOutput = { kind: 'absent' }
const notDone: RegisterOutput = { kind: 'notDone' }

const history = (...lines: readonly (readonly [string, number, number | null, RegisterInput, RegisterOutput | null])[]): readonly RegisterOperation[] =>
  lines.map(([client, call, end, input, output]) => ({ client, call, return: end, input, output }))
const judge = (operations: readonly RegisterOperation[]) => checkRegisters(model, operations).verdict.kind

describe('good', () => {
  test.each<readonly [string, readonly RegisterOperation[]]>([
    ['nothing', []],
    ['one after the other', history(['a', 0, 1, write('v1'), done(11)], ['b', 2, 3, read, found('v1', 11)])],
    ['a read beside a write sees either', history(['a', 0, 9, write('v1'), done(11)], ['b', 1, 2, read, found('v0', 10)], ['c', 3, 4, read, found('v1', 11)])],
    ['what begins when another ends is beside it', history(['a', 0, 5, write('v1'), done(11)], ['b', 5, 6, read, found('v0', 10)])],
    ['writes beside each other in the order of their revisions', history(['a', 0, 9, write('v1'), done(12)], ['b', 0, 9, write('v2'), done(11)], ['c', 10, 11, read, found('v1', 12)])],
    ['one of two conditional writes', history(['a', 0, 9, write('v1', 10), done(11)], ['b', 0, 9, write('v2', 10), stale])],
    ['surely not done', history(['a', 0, 1, write('v1'), notDone], ['b', 2, 3, read, found('v0', 10)])],
    ['not answered, and it happened', history(['a', 0, null, write('v1'), null], ['b', 2, 3, read, found('v1', 11)])],
    ['not answered, and it did not happen', history(['a', 0, null, write('v1'), null], ['b', 2, 3, read, found('v0', 10)])],
    ['not answered, and it happened late', history(['a', 0, null, write('v1'), null], ['b', 2, 3, read, found('v0', 10)], ['b', 4, 5, write('v2'), done(11)], ['b', 6, 7, read, found('v1', 12)])],
    ['not answered, conditional, and it happened', history(['a', 0, null, write('v1', 10), null], ['b', 2, 3, write('v2', 10), stale], ['b', 4, 5, read, found('v1', 11)])],
    ['two not answered, one after the other', history(['a', 0, null, write('v1'), null], ['b', 0, null, write('v2', 11), null], ['c', 2, 3, read, found('v1', 11)], ['c', 4, 5, read, found('v2', 12)])],
    ['a write whose answer showed a later one', history(['a', 0, 9, write('v1'), done(null)], ['b', 0, 9, write('v2'), done(12)], ['c', 10, 11, read, found('v2', 12)])],
    ['deleted, made again', history(
      ['a', 0, 1, { kind: 'delete', register: 'x', ifMatch: 10 }, done(null)], ['a', 2, 3, read, absent], ['a', 4, 5, write('v1'), absent],
      ['a', 6, 9, { kind: 'create', register: 'x', value: 'v2' }, done(13)], ['b', 6, 9, { kind: 'create', register: 'x', value: 'v3' }, { kind: 'taken' }], ['a', 10, 11, read, found('v2', 13)])],
  ])('%s', (_, operations) => expect(judge(operations)).toBe('linearizable'))
})

describe('bad', () => {
  test.each<readonly [string, readonly RegisterOperation[]]>([
    ['a stale read', history(['a', 0, 1, write('v1'), done(11)], ['b', 2, 3, read, found('v0', 10)])],
    ['a lost write', history(['a', 0, 1, write('v1'), done(11)], ['a', 2, 3, write('v2'), done(12)], ['b', 4, 5, read, found('v1', 11)])],
    ['a lost update: both conditional writes done', history(['a', 0, 9, write('v1', 10), done(11)], ['b', 0, 9, write('v2', 10), done(12)])],
    ['applied twice: nobody else wrote, yet the revision went up', history(['a', 0, 1, write('v1'), done(11)], ['b', 2, 3, read, found('v1', 11)], ['b', 4, 5, read, found('v1', 12)])],
    ['applied twice: what was overwritten comes back', history(['a', 0, 1, write('v1'), done(11)], ['b', 2, 3, write('v2'), done(12)], ['b', 4, 5, read, found('v1', 13)])],
    ['reads that go back', history(['a', 0, 9, write('v1'), done(11)], ['b', 1, 2, read, found('v1', 11)], ['b', 3, 4, read, found('v0', 10)])],
    ['a write nobody made', history(['b', 2, 3, read, found('v7', 11)])],
    ['a revision nobody made', history(['b', 2, 3, read, found('v0', 11)])],
    ['surely not done, and it happened', history(['a', 0, 1, write('v1'), notDone], ['b', 2, 3, read, found('v1', 11)])],
    ['happened before it began', history(['b', 0, 1, read, found('v1', 11)], ['a', 2, null, write('v1'), null])],
    ['not answered, seen, and gone again', history(['a', 0, null, write('v1'), null], ['b', 2, 3, read, found('v1', 11)], ['b', 4, 5, read, found('v0', 10)])],
    ['not answered, and it happened twice', history(['a', 0, null, write('v1'), null], ['b', 2, 3, read, found('v1', 11)], ['b', 4, 5, write('v2'), done(12)], ['b', 6, 7, read, found('v1', 13)])],
    ['refused as stale, though it was not', history(['a', 0, 1, write('v1', 10), stale])],
    ['revisions that fall', history(['a', 0, 1, write('v1'), done(12)], ['a', 2, 3, write('v2'), done(11)])],
  ])('%s', (_, operations) => expect(judge(operations)).toBe('violation'))
})

test('says what does not fit, and after what', () => {
  const verdict = checkLinearizable(model, history(['a', 0, 1, write('v1'), done(11)], ['b', 2, 6, read, found('v0', 10)], ['c', 3, 9, write('v2', 11), done(12)], ['d', 4, null, write('v3'), null]))
  expect(renderVerdict(model, verdict)).toBe(`not linearizable: 4 operations in 1 parts, ${verdict.configurations} configurations
1 operations on x fit in this order:
  [0, 1] a: write x = v1 → done at 11
which leaves v1 at revision 11. Then cannot be placed:
  [2, 6] b: read x → v0 at 10
Also begun by then:
  [3, 9] c: write x = v2 if at 11 → done at 12
  [4, …] d: write x = v3 → no answer`)
  expect(renderVerdict(model, checkLinearizable(model, []))).toBe('linearizable: 0 operations in 0 parts, 0 configurations')
})

test('refuses what is no history', () => {
  expect(() => judge(history(['a', 5, 4, read, found('v0', 10)]))).toThrow(RangeError)
  expect(() => judge(history(['a', 5, null, read, found('v0', 10)]))).toThrow(RangeError)
  expect(() => judge(history(['a', 0.5, 4, read, found('v0', 10)]))).toThrow(RangeError)
})

test('is undecided beyond its bound, never wrong', () => {
  const verdict = checkLinearizable(model, simulate(new SimRandom(1), { count: 200, clients: 5, registers: 1 }), { configurationsMax: 50 })
  expect(verdict.kind).toBe('undecided')
  expect(renderVerdict(model, verdict)).toContain('undecided')
})

/**
 * A correct register under `clients` who overlap: each operation happens at one moment between its call and its return. Some are never answered, and of
 * those some never happen, or long after.
 */
function simulate(random: SimRandom, { count, clients, registers }: { readonly count: number; readonly clients: number; readonly registers: number }): readonly RegisterOperation[] {
  const free = Array.from({ length: clients }, () => 0)
  const planned = Array.from({ length: count }, (_, at) => {
    const client = random.integer(clients)
    const call = free[client]! + random.integer(4)
    const moment = call + random.integer(12)
    const end = moment + random.integer(6)
    free[client] = end + 1
    const fate = random.integer(100)
    const unanswered = fate < 8
    return { at, client: `c${client}`, register: `r${random.integer(registers)}`, call, moment: fate < 3 ? moment + 60 : moment, end: unanswered ? null : end, happens: fate >= 6 }
  })
  const states = new Map<string, RegisterState>()
  const seen = new Map<string, number>()
  let revision = 10
  const operations: RegisterOperation[] = []
  for (const { at, client, register, call, end, happens } of planned.toSorted((left, right) => left.moment - right.moment)) {
    const state = states.get(register) ?? model.initial()
    const known = seen.get(`${client} ${register}`) ?? 10
    const kind = random.integer(10)
    const input: RegisterInput = kind < 4 ? { kind: 'read', register } : { kind: 'write', register, value: `v${at + 1}`, ifMatch: kind < 7 ? known : null }
    let output: RegisterOutput = { kind: 'found', value: state.value!, revision: state.revision! }
    if (input.kind === 'write') {
      if (input.ifMatch !== null && input.ifMatch !== state.revision) output = stale
      else if (happens) {
        revision += 1 + random.integer(2)
        states.set(register, { value: input.value, revision, revisionMin: revision })
        output = done(random.chance(0.9) ? revision : null)
      } else output = notDone
    }
    if (output.kind === 'found' && end !== null) seen.set(`${client} ${register}`, output.revision)
    operations.push({ client, input, call, return: end, output: end === null ? null : output })
  }
  return operations
}

/** Changes one answer, or one end. */
function mutate(random: SimRandom, operations: readonly RegisterOperation[]): readonly RegisterOperation[] {
  const at = random.integer(operations.length)
  const other = random.pick(operations)
  return operations.map((operation, index) => {
    if (index !== at || operation.return === null) return operation
    const { output } = operation
    if (output?.kind === 'found' && other.output?.kind === 'found') return { ...operation, output: other.output }
    if (output?.kind === 'done' && random.chance(0.5)) return { ...operation, output: done((output.revision ?? 10) + random.integer(5) - 2) }
    if (output?.kind === 'done') return { ...operation, output: random.pick([notDone, stale]) }
    if (output?.kind === 'stale') return { ...operation, output: done(10 + random.integer(8)) }
    return { ...operation, call: operation.call + 20, return: operation.return + 20 }
  })
}

/** All orders, without memory: for a handful of operations. */
function bruteForce(left: readonly RegisterOperation[], state: RegisterState): boolean {
  const answered = left.filter((operation) => operation.return !== null)
  if (answered.length === 0) return true
  const deadline = Math.min(...answered.map((operation) => operation.return!))
  return left.some((operation) => {
    if (operation.call > deadline) return false
    const next = model.step(state, operation.input, operation.output)
    return next.ok && bruteForce(left.filter((each) => each !== operation), next.state)
  })
}

test('accepts what a correct register did, and judges every mutation as a search through all orders does', () => {
  let rejected = 0
  for (let seed = 1; seed <= 1500; seed += 1) {
    const random = new SimRandom(seed)
    const operations = simulate(random, { count: 3 + random.integer(6), clients: 3, registers: 1 })
    expect(judge(operations), `seed ${seed}`).toBe('linearizable')
    const mutated = mutate(random, operations)
    const expected = bruteForce(settle(mutated), model.initial()) ? 'linearizable' : 'violation'
    expect(judge(mutated), `seed ${seed}, mutated`).toBe(expected)
    if (expected === 'violation') rejected += 1
  }
  expect(rejected).toBeGreaterThan(300)
})

test('thousands of operations of ten clients are searched with little more than one configuration each', () => {
  for (let seed = 1; seed <= 5; seed += 1) {
    const operations = simulate(new SimRandom(seed), { count: 5000, clients: 10, registers: 1 + seed })
    const { verdict, text } = checkRegisters(model, operations)
    expect(verdict.kind, text).toBe('linearizable')
    expect(verdict.configurations).toBeLessThan(100_000)
    const broken = operations.map((operation, at) => (at === 4000 ? { ...operation, input: write('never'), return: operation.call, output: done(3) } : operation))
    expect(judge(broken)).toBe('violation')
  }
})
