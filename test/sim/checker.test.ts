// The checker bites: each property is broken once and has to be found.
import { describe, expect, it } from 'vitest'
import type { Cluster } from '../../src/cluster/cluster.ts'
import type { ClusterEvent, ClusterStatus } from '../../src/cluster/status.ts'
import type { Command } from '../../src/model/command.ts'
import { OperationalError } from '../../src/model/error.ts'
import type { Entry } from '../../src/raft/types.ts'
import { emptyState, type State } from '../../src/state/state.ts'
import { revokeSession } from '../unit/cluster/command.ts'
import { Checker } from './checker.ts'

/** What the checker sees of a node: its state and its events, here made by hand. */
class Puppet {
  readonly state: State = emptyState()
  readonly #checker: Checker
  readonly #name: string
  #tell: (event: ClusterEvent) => void = () => undefined

  constructor(name: string, checker: Checker) {
    this.#name = name
    this.#checker = checker
    checker.follow(name, this as unknown as Cluster)
  }

  watch(listener: (event: ClusterEvent) => void): () => void {
    this.#tell = listener
    return () => undefined
  }

  apply(index: number, command: Command | null, changed: { readonly term?: number; readonly digest?: number; readonly replayed?: boolean } = {}): this {
    this.state.index = index
    this.state.digest = { high: 0, low: changed.digest ?? 0 }
    const result = command === null ? null : { kind: 'done' as const, index, id: 'x', ...(changed.replayed === undefined ? {} : { replayed: changed.replayed }) }
    this.#tell({ kind: 'applied', index, term: changed.term ?? 1, timeMs: index, command, result, events: [] })
    return this
  }

  leads(term: number): void {
    this.#tell({ kind: 'status', status: { role: 'leader', term } as ClusterStatus })
  }

  restore(): void {
    this.#checker.restored(this.#name, this as unknown as Cluster)
  }
}

const two = (): { readonly checker: Checker; readonly a: Puppet; readonly b: Puppet } => {
  const checker = new Checker()
  return { checker, a: new Puppet('a', checker), b: new Puppet('b', checker) }
}
const command = revokeSession('one')
const logged = (index: number, term: number, data = 'data'): Entry => ({ index, term, kind: 'normal', data: new TextEncoder().encode(data) })

describe('checker', () => {
  it('is content with what is right', () => {
    const { checker, a, b } = two()
    a.leads(1)
    a.apply(1, null).apply(2, command)
    checker.answered(command.id, { kind: 'acknowledged', index: 2, refused: false })
    b.apply(1, null).apply(2, command).restore()
    b.leads(2)
    checker.finish([{ nodeId: 'a', cluster: a as unknown as Cluster }])
    expect(checker).toMatchObject({ violation: null, leaderChanges: 1, lastIndex: 2, entriesChecked: 4 })
  })

  it.each<readonly [string, RegExp, (parts: ReturnType<typeof two>) => void]>([
    ['two leaders of one term', /two leaders in term 3/, ({ a, b }) => [a.leads(3), b.leads(3)]],
    ['another command at an index', /entry 1 changed/, ({ a, b }) => [a.apply(1, command), b.apply(1, revokeSession('two'))]],
    ['another term at an index', /entry 1 changed/, ({ a, b }) => [a.apply(1, command), b.apply(1, command, { term: 2 })]],
    ['another state at an index', /state differs at 1/, ({ a, b }) => [a.apply(1, command), b.apply(1, command, { digest: 7 })]],
    ['a restored state that differs', /state differs at 1/, ({ a, b }) => {
      a.apply(1, command)
      b.state.index = 1
      b.state.digest = { high: 9, low: 9 }
      b.restore()
    }],
    ['a state beyond the history', /beyond the history/, ({ b }) => {
      b.state.index = 5
      b.restore()
    }],
    ['a skipped entry', /applied 3 after 1/, ({ a, b }) => [a.apply(1, null).apply(2, null).apply(3, null), b.apply(1, null).apply(3, null)]],
    ['an acknowledged command that is not there', /does not hold it/, ({ checker }) => checker.answered(command.id, { kind: 'acknowledged', index: 1, refused: false })],
    ['an acknowledged index that is not its own', /acknowledged at 9/, ({ checker, a }) => [a.apply(1, command), checker.answered(command.id, { kind: 'acknowledged', index: 9, refused: false })]],
    ['surely not done, but applied before', /surely not done/, ({ checker, a }) => [a.apply(1, command), checker.failed(command.id, new OperationalError('NO_QUORUM', ''))]],
    ['surely not done, but applied later', /surely not done/, ({ checker, a }) => [checker.failed(command.id, new OperationalError('NO_QUORUM', '')), a.apply(1, command)]],
    ['one command applied twice', /and again at 2/, ({ a }) => a.apply(1, command).apply(2, command)],
    ['one key carried out twice', /carried out at 1 and again at 2/, ({ a }) => {
      const idempotency = { key: 'k', bodyHash: 'h' }
      a.apply(1, { ...revokeSession('x'), idempotency }).apply(2, { ...revokeSession('y'), idempotency })
    }],
    ['an error that propose never throws', /propose threw/, ({ checker }) => checker.failed(command.id, new Error('boom'))],
    ['two logs in which an entry comes after different ones', /comes after one of term 1 in the log of a, and after one of term 2/, ({ checker }) => {
      checker.appended('a', [logged(1, 1), logged(2, 3)], 0)
      checker.appended('b', [logged(2, 3)], 2)
    }],
    ['two logs in which an entry is another one', /entry 2 of term 3 is another one in the log of b/, ({ checker }) => {
      checker.appended('a', [logged(1, 1), logged(2, 3)], 0)
      checker.appended('b', [logged(1, 1), logged(2, 3, 'other')], 0)
    }],
    ['a node that ends elsewhere than the history', /ends at 1/, ({ checker, a, b }) => {
      a.apply(1, null).apply(2, null)
      b.apply(1, null)
      checker.finish([{ nodeId: 'b', cluster: b as unknown as Cluster }])
    }],
  ])('finds %s', (_name, expected, plant) => {
    const parts = two()
    plant(parts)
    expect(parts.checker.violation).toMatch(expected)
  })

  it('lets logs of different ends be', () => {
    const { checker } = two()
    checker.appended('a', [logged(1, 1), logged(2, 1)], 0)
    checker.appended('b', [logged(1, 1), logged(2, 2)], 0)
    checker.appended('a', [logged(2, 2), logged(3, 2)], 1)
    expect([checker.violation, checker.termAt(1)]).toEqual([null, null])
  })

  it('lets a replay of a key be', () => {
    const { checker, a } = two()
    const idempotency = { key: 'k', bodyHash: 'h' }
    a.apply(1, { ...revokeSession('x'), idempotency }).apply(2, { ...revokeSession('y'), idempotency }, { replayed: true })
    expect(checker.violation).toBeNull()
  })
})
