// Is there one order of all operations, true to time, in which each answer is right? Wing and Gong's search ("Testing and Verifying Concurrent Objects", 1993) with Lowe's
// memory of configurations ("Testing for linearizability", 2017), and operations that nobody heard the end of.

/** What a client did and was told. `call` and `return` are integers of one clock; intervals are closed: what begins when another ends is concurrent with it. */
export type Operation<Input, Output> = {
  readonly client: string
  readonly input: Input
  readonly call: number
  /** Null: never answered. It may have happened at any time after `call`, or not at all; `output` is null too. */
  readonly return: number | null
  readonly output: Output | null
}

/** What the system should be, one operation at a time. */
export type Model<State, Input, Output> = {
  readonly initial: () => State
  /** Pure. Not ok: this cannot be answered in this state. With output null the answer is not known: ok unless it would certainly have changed nothing. */
  readonly step: (state: State, input: Input, output: Output | null) => { readonly ok: boolean; readonly state: State }
  /** Equal for equal states, different for different ones. */
  readonly key: (state: State) => string
  /** True only if this answer cannot become right any more, whatever happens from this state on. What the search finds out by itself, sooner. */
  readonly never?: (state: State, input: Input, output: Output) => boolean
  /** Operations with different parts have nothing to do with each other: each part is searched alone. */
  readonly partition?: (input: Input) => string
  readonly showState: (state: State) => string
  /** Two unanswered operations that show the same are taken for the same. */
  readonly showOperation: (input: Input, output: Output | null) => string
}

type Violation<State, Input, Output> = {
  readonly partition: string
  /** The longest order that was found, and the state after it. */
  readonly prefix: readonly Operation<Input, Output>[]
  readonly state: State
  /** Has to come next, for it returned first of all that is left; it fits neither now nor after any order of what was concurrent. */
  readonly blocked: Operation<Input, Output>
  /** What else had begun by then and is not placed, the unanswered included. */
  readonly concurrent: readonly Operation<Input, Output>[]
}
export type Verdict<State, Input, Output> = { readonly operations: number; readonly partitions: number; readonly configurations: number } & (
  | { readonly kind: 'linearizable' }
  | ({ readonly kind: 'violation' } & Violation<State, Input, Output>)
  /** Not found within the bound: not proven either way, so a test fails on it as well. */
  | ({ readonly kind: 'undecided' } & Violation<State, Input, Output>)
)

const configurationsMaxDefault = 2_000_000
const shownMax = 12

/** @throws RangeError for an operation that ends before it begins, or has an answer without an end */
export function checkLinearizable<State, Input, Output>(
  model: Model<State, Input, Output>, history: readonly Operation<Input, Output>[], { configurationsMax = configurationsMaxDefault }: { readonly configurationsMax?: number } = {},
): Verdict<State, Input, Output> {
  for (const operation of history) requireSound(operation)
  const parts = Map.groupBy(history, ({ input }) => model.partition?.(input) ?? '')
  let configurations = 0
  const sum = () => ({ operations: history.length, partitions: parts.size, configurations })
  for (const [partition, operations] of [...parts].toSorted(([left], [right]) => (left < right ? -1 : 1))) {
    const search = new Search(model, operations, configurationsMax - configurations)
    const kind = search.run()
    configurations += search.configurations
    if (kind !== 'linearizable') return { kind, ...sum(), partition, ...search.furthest() }
  }
  return { kind: 'linearizable', ...sum() }
}

/** For people: the end of the order that was found, the state after it, and what does not fit. */
export function renderVerdict<State, Input, Output>(model: Model<State, Input, Output>, verdict: Verdict<State, Input, Output>): string {
  const { operations, partitions, configurations } = verdict
  const counts = `${operations} operations in ${partitions} parts, ${configurations} configurations`
  if (verdict.kind === 'linearizable') return `linearizable: ${counts}`
  const { partition, prefix, state, blocked, concurrent } = verdict
  const line = (operation: Operation<Input, Output>) =>
    `  [${operation.call}, ${operation.return ?? '…'}] ${operation.client}: ${model.showOperation(operation.input, operation.output)}`
  return [
    `${verdict.kind === 'violation' ? 'not linearizable' : 'undecided'}: ${counts}`,
    `${prefix.length} operations${partition === '' ? '' : ` on ${partition}`} fit in this order${prefix.length > shownMax ? `, here the last ${shownMax}` : ''}:`,
    ...prefix.slice(-shownMax).map(line),
    `which leaves ${model.showState(state)}. Then cannot be placed:`,
    line(blocked),
    ...(concurrent.length === 0 ? [] : [`Also begun by then${concurrent.length > shownMax ? `, ${shownMax} of ${concurrent.length}` : ''}:`, ...concurrent.slice(-shownMax).map(line)]),
  ].join('\n')
}

function requireSound(operation: Operation<unknown, unknown>): void {
  const { call, return: end, output } = operation
  const sound = Number.isSafeInteger(call) && (end === null ? output === null : Number.isSafeInteger(end) && end >= call)
  if (!sound) throw new RangeError(`an operation that cannot be: ${JSON.stringify(operation)}`)
}

/**
 * Where the search stands: which of the answered operations are placed (all before `low`, and of those after it the bits in `mask`), which of the
 * unanswered ones are taken (bits), and the state. Nothing in it changes; `former` leads back to the beginning.
 */
type Configuration<State> = {
  readonly former: Configuration<State> | null
  /** How it came from the former: unanswered operations first, then an answered one. */
  readonly chain: readonly number[]
  readonly placed: number
  readonly count: number
  readonly low: number
  readonly mask: bigint
  readonly taken: bigint
  readonly state: State
}
type Reached<State> = { readonly state: State; readonly taken: bigint; readonly chain: readonly number[] }

class Search<State, Input, Output> {
  readonly #model: Model<State, Input, Output>
  /** Both in the order of their beginnings. */
  readonly #answered: readonly (Operation<Input, Output> & { readonly return: number })[]
  readonly #open: readonly Operation<Input, Output>[]
  /** For each unanswered operation the one before it that shows the same: of such, the first is taken first. */
  readonly #alike: readonly (number | null)[]
  readonly #configurationsMax: number
  /** Placed set and state → sets of unanswered operations that were spent in vain. To have spent more leads no further. */
  readonly #failed = new Map<string, bigint[]>()
  #furthest: Configuration<State>
  configurations = 0

  constructor(model: Model<State, Input, Output>, operations: readonly Operation<Input, Output>[], configurationsMax: number) {
    const inOrder = operations.toSorted((left, right) => left.call - right.call)
    this.#model = model
    this.#answered = inOrder.filter((operation) => operation.return !== null) as never
    this.#open = inOrder.filter((operation) => operation.return === null)
    this.#alike = alikeBefore(this.#open.map(({ input }) => model.showOperation(input, null)))
    this.#configurationsMax = configurationsMax
    this.#furthest = { former: null, chain: [], placed: -1, count: 0, low: 0, mask: 0n, taken: 0n, state: model.initial() }
  }

  /** Depth first, without recursion: a history may be long. */
  run(): 'linearizable' | 'violation' | 'undecided' {
    const path = [this.#following(this.#furthest)]
    while (this.#furthest.count < this.#answered.length) {
      const next = path.at(-1)?.next()
      if (next === undefined) return 'violation'
      if (next.done === true) {
        path.pop()
        continue
      }
      if (this.configurations >= this.#configurationsMax) return 'undecided'
      const configuration = next.value
      if (!this.#isNew(configuration)) continue
      if (configuration.count > this.#furthest.count) this.#furthest = configuration
      path.push(this.#following(configuration))
    }
    return 'linearizable'
  }

  furthest(): Omit<Violation<State, Input, Output>, 'partition'> {
    const { low, mask, taken, state } = this.#furthest
    const { ready, deadline } = this.#ready(low, mask)
    const blocked = ready.map((at) => this.#answered[at]!).find((operation) => operation.return === deadline)!
    const answered = ready.map((at) => this.#answered[at]!).filter((operation) => operation !== blocked)
    const open = this.#open.filter((operation, at) => operation.call <= deadline && (taken & (1n << BigInt(at))) === 0n)
    const prefix: Operation<Input, Output>[] = []
    for (let at: Configuration<State> | null = this.#furthest; at !== null && at.placed >= 0; at = at.former) {
      prefix.push(this.#answered[at.placed]!, ...at.chain.toReversed().map((index) => this.#open[index]!))
    }
    return { prefix: prefix.toReversed(), state, blocked, concurrent: [...answered, ...open] }
  }

  /**
   * Each answered operation that may be next; then each that may be after one unanswered operation, after two, and so on. To let an unanswered one
   * happen any earlier than right before an answered one is never needed.
   */
  *#following(from: Configuration<State>): Generator<Configuration<State>> {
    const { ready, deadline } = this.#ready(from.low, from.mask)
    const known = new Map<string, bigint[]>()
    let level: readonly Reached<State>[] = [{ state: from.state, taken: from.taken, chain: [] }]
    spend(known, this.#model.key(from.state), from.taken)
    while (level.length > 0) {
      level = level.filter(({ state }) => !this.#isLost(state, ready))
      for (const reached of level) {
        for (const at of ready) {
          const { input, output } = this.#answered[at]!
          const { ok, state } = this.#model.step(reached.state, input, output)
          if (ok) yield this.#place(from, reached, { at, state })
        }
      }
      level = level.flatMap((reached) => this.#afterOneMore(reached, deadline, known))
    }
  }

  #afterOneMore(from: Reached<State>, deadline: number, known: Map<string, bigint[]>): readonly Reached<State>[] {
    const found: Reached<State>[] = []
    for (const [at, operation] of this.#open.entries()) {
      if (operation.call > deadline || this.configurations >= this.#configurationsMax) break
      const taken = from.taken | (1n << BigInt(at))
      const former = this.#alike[at] ?? null
      if (taken === from.taken || (former !== null && (from.taken & (1n << BigInt(former))) === 0n)) continue
      const { ok, state } = this.#model.step(from.state, operation.input, null)
      if (!ok || !spend(known, this.#model.key(state), taken)) continue
      this.configurations += 1
      found.push({ state, taken, chain: [...from.chain, at] })
    }
    return found
  }

  #isLost(state: State, ready: readonly number[]): boolean {
    const { never } = this.#model
    return never !== undefined && ready.some((at) => never(state, this.#answered[at]!.input, this.#answered[at]!.output!))
  }

  /** What has begun before any of the rest has ended, by its end: the real order is near that. */
  #ready(low: number, mask: bigint): { readonly ready: readonly number[]; readonly deadline: number } {
    let deadline = Infinity
    const ready: number[] = []
    for (let at = low; at < this.#answered.length && this.#answered[at]!.call <= deadline; at += 1) {
      if (at > low && (mask & (1n << BigInt(at - low - 1))) !== 0n) continue
      ready.push(at)
      deadline = Math.min(deadline, this.#answered[at]!.return)
    }
    const ends = (at: number) => this.#answered[at]!.return
    return { ready: ready.filter((at) => this.#answered[at]!.call <= deadline).toSorted((left, right) => ends(left) - ends(right)), deadline }
  }

  #place(from: Configuration<State>, { taken, chain }: Reached<State>, { at, state }: { readonly at: number; readonly state: State }): Configuration<State> {
    let { low, mask } = from
    if (at > low) mask |= 1n << BigInt(at - low - 1)
    else {
      // The lowest is placed: on to the next that is not.
      for (low += 1; (mask & 1n) !== 0n; low += 1) mask >>= 1n
      mask >>= 1n
    }
    return { former: from, chain, placed: at, count: from.count + 1, low, mask, taken, state }
  }

  /** What is asked for again after it was found has failed: no configuration follows itself. */
  #isNew({ low, mask, taken, state }: Configuration<State>): boolean {
    this.configurations += 1
    return spend(this.#failed, `${low} ${mask.toString(36)} ${this.#model.key(state)}`, taken)
  }
}

function alikeBefore(shown: readonly string[]): readonly (number | null)[] {
  const latest = new Map<string, number>()
  return shown.map((text, at) => {
    const former = latest.get(text) ?? null
    latest.set(text, at)
    return former
  })
}

/** Remembers a set under a key. False if a part of it, or all of it, is there already. */
function spend(known: Map<string, bigint[]>, key: string, taken: bigint): boolean {
  const sets = known.get(key)
  if (sets === undefined) known.set(key, [taken])
  else if (sets.some((set) => (set & taken) === set)) return false
  else sets.push(taken)
  return true
}
