// Clients of a few registers (descriptions of projects): writes, writes only if the revision still stands, reads at any node. What they were told must be linearizable.
import type { Caller, WriteOptions, Written } from '../../src/app/face.ts'
import { OperationalError } from '../../src/model/error.ts'
import type { Project } from '../../src/model/project.ts'
import { checkRegisters, registerModel, type RegisterInput, type RegisterOperation, type RegisterOutput } from '../history/register.ts'
import { callHost } from './call.ts'
import type { SimHost } from './host.ts'
import type { SimRandom } from './sim-random.ts'
import { describe, type World } from './world.ts'

const triesMax = 4
/** So many at a time; after so many operations another takes a register's place, which keeps the search short. */
const registersMax = 2
const operationsEach = 60
const thinkMs = [50, 900] as const
type Trial = { readonly tries: number; readonly first?: SimHost | null; readonly call: (host: SimHost) => Promise<RegisterOutput> }
type Seen = { readonly value: string; readonly revision: number }

/** What the whole history says of one register: its values by the index at which each began. */
class Truth {
  readonly #values = new Map<string, { readonly index: number; readonly value: string; readonly revision: number }[]>()

  began(name: string, at: { readonly index: number } & Seen): void {
    const values = this.#values.get(name) ?? []
    if (values.at(-1)?.revision !== at.revision) this.#values.set(name, [...values, at])
  }

  at(name: string, index: number): Seen | null {
    return this.#values.get(name)?.findLast((each) => each.index <= index) ?? null
  }
}

export class Registers {
  readonly #world: World
  readonly #caller: Caller
  readonly #random: SimRandom
  readonly #history: RegisterOperation[] = []
  readonly #truth = new Truth()
  readonly #names: string[] = []
  /** How many operations each register had; and what was last seen of it, by anybody. */
  readonly #used = new Map<string, number>()
  readonly #seen = new Map<string, Seen>()
  /** Each value's revision, as anybody was told. */
  readonly #known = new Map<string, number>()
  /** Client and life of a host → the index that it read there last. */
  readonly #lastIndex = new Map<string, number>()
  #running = true
  #moment = 0
  #serial = 0
  localReads = 0

  constructor(world: World, caller: Caller, random: SimRandom) {
    this.#world = world
    this.#caller = caller
    this.#random = random
    for (let at = 0; at < registersMax; at += 1) this.#names.push(this.#fresh())
  }

  get operations(): number {
    return this.#history.length
  }

  start(count: number): void {
    for (let client = 0; client < count; client += 1) this.#later(`r${client}`)
  }

  stop(): void {
    this.#running = false
  }

  /** Everybody turns to one node, all at once: for each register a read, and a write. */
  crowd(host: SimHost, what: 'readsAndWrites' | 'reads'): void {
    for (const name of this.#names) {
      this.#serial += 1
      const client = `crowd-${this.#serial}`
      this.#use(name)
      void this.#operate(client, { kind: 'read', register: name }, { tries: 1, first: host, call: (at) => this.#read(at, name) })
      if (what === 'readsAndWrites') void this.#write(`${client}-writer`, name, host)
    }
  }

  /** Told of every entry by the first node that applies it. */
  applied(host: SimHost, index: number): void {
    for (const project of host.node?.cluster.state.tables.project.values() ?? []) {
      if (project.revision === index) this.#truth.began(project.name, { index, value: project.spec.description, revision: index })
    }
  }

  /** @returns what does not fit, or null. Calls still open count as never answered. */
  verdict(): string | null {
    const { verdict, text } = checkRegisters(registerModel(null), this.#history, [...this.#known])
    return verdict.kind === 'linearizable' ? null : text
  }

  #fresh(): string {
    this.#serial += 1
    return `register-${this.#serial}`
  }

  #later(client: string): void {
    this.#world.clock.after(this.#random.between(...thinkMs), () => {
      if (!this.#running) return
      void this.#act(client).then(() => this.#later(client))
    })
  }

  async #act(client: string): Promise<void> {
    const name = this.#pickName()
    const draw = this.#random.integer(100)
    if (draw < 25) this.#readLocally(client, name)
    else if (draw < 60) await this.#operate(client, { kind: 'read', register: name }, { tries: 1, call: (host) => this.#read(host, name) })
    else await this.#write(client, name)
  }

  #pickName(): string {
    const name = this.#random.pick(this.#names)
    this.#use(name)
    return name
  }

  #use(name: string): void {
    const used = (this.#used.get(name) ?? 0) + 1
    this.#used.set(name, used)
    const at = this.#names.indexOf(name)
    if (used >= operationsEach && at !== -1) this.#names[at] = this.#fresh()
  }

  /** Of this node's own state: old perhaps, but what the history held at its index, and never older than before at the same node. */
  #readLocally(client: string, name: string): void {
    const host = this.#anyHost()
    if (host === null || host.node === null) return
    const { state } = host.node.cluster
    const found = [...state.tables.project.values()].find((project) => project.name === name)
    const truth = this.#truth.at(name, state.index)
    this.localReads += 1
    if (found?.revision !== truth?.revision || found?.spec.description !== truth?.value) {
      this.#world.checker.violate(`${host.name} at index ${state.index} says ${name} is ${found?.spec.description ?? 'absent'}, the history ${truth?.value ?? 'nothing'}`)
    }
    const life = `${client} ${host.name} ${host.life}`
    const former = this.#lastIndex.get(life) ?? 0
    if (state.index < former) this.#world.checker.violate(`${client} read at index ${former} of ${host.name}, then at ${state.index}`)
    this.#lastIndex.set(life, state.index)
  }

  async #read(host: SimHost, name: string): Promise<RegisterOutput> {
    await host.node?.cluster.readBarrier()
    try {
      const project = host.node?.app.projects.get(this.#caller, name)
      if (project === undefined) throw new OperationalError('NO_QUORUM', '')
      this.#remember(name, { value: project.spec.description, revision: project.revision })
      return { kind: 'found', value: project.spec.description, revision: project.revision }
    } catch (error) {
      if (error instanceof OperationalError && error.code === 'NOT_FOUND') return { kind: 'absent' }
      throw error
    }
  }

  async #write(client: string, name: string, first: SimHost | null = null): Promise<void> {
    this.#serial += 1
    const value = `value ${this.#serial}`
    const options = { idempotencyKey: `${client} ${this.#serial}`, bodyHash: value, ifMatch: null, dryRun: false, waitSeconds: 0, signal: new AbortController().signal }
    const seen = this.#seen.get(name)
    if (seen === undefined) {
      await this.#operate(client, { kind: 'create', register: name, value }, { tries: triesMax, first, call: (host) => this.#create(host, { name, value, options }) })
      return
    }
    const ifMatch = this.#random.chance(0.6) ? seen.revision : null
    await this.#operate(client, { kind: 'write', register: name, value, ifMatch }, { tries: triesMax, first, call: (host) => this.#patch(host, { name, value, options: { ...options, ifMatch } }) })
  }

  async #create(host: SimHost, { name, value, options }: { readonly name: string; readonly value: string; readonly options: WriteOptions }): Promise<RegisterOutput> {
    const written = await host.node?.app.projects.create(this.#caller, { name, spec: { description: value } }, options)
    return this.#done(name, value, written)
  }

  async #patch(host: SimHost, { name, value, options }: { readonly name: string; readonly value: string; readonly options: WriteOptions }): Promise<RegisterOutput> {
    const written = await host.node?.app.projects.patch(this.#caller, name, { spec: { description: value } }, options)
    return this.#done(name, value, written)
  }

  #done(name: string, value: string, written: Written<Project> | undefined): RegisterOutput {
    if (written === undefined || 'dryRun' in written) throw new Error('not written')
    this.#remember(name, { value: written.spec.description, revision: written.revision })
    return { kind: 'done', revision: written.spec.description === value ? written.revision : null }
  }

  #remember(name: string, seen: Seen): void {
    this.#known.set(seen.value, seen.revision)
    if ((this.#seen.get(name)?.revision ?? 0) < seen.revision) this.#seen.set(name, seen)
  }

  /** Tried at `first` where that is given, and again under the same key, at any node, until the outcome is known; never known: it may have happened, whenever. */
  async #operate(client: string, input: RegisterInput, { tries, first = null, call }: Trial): Promise<void> {
    this.#moment += 1
    const operation = { client, input, call: this.#moment, return: null as number | null, output: null as RegisterOutput | null }
    this.#history.push(operation)
    let isUnknown = false
    for (let left = tries; left > 0; left -= 1) {
      const host = left === tries && first !== null ? first : this.#anyHost()
      const told = host === null ? 'notDone' : await this.#told(host, input, () => call(host))
      if (typeof told !== 'string') {
        this.#moment += 1
        operation.return = this.#moment
        operation.output = told
        return
      }
      isUnknown ||= told === 'unknown'
      await new Promise<void>((resolve) => void this.#world.clock.after(this.#random.between(100, 900), resolve))
    }
    if (isUnknown) return
    this.#moment += 1
    operation.return = this.#moment
    operation.output = { kind: 'notDone' }
  }

  async #told(host: SimHost, input: RegisterInput, call: () => Promise<RegisterOutput>): Promise<RegisterOutput | 'notDone' | 'unknown'> {
    const outcome = await callHost(this.#world, host, `${input.kind} ${input.register} at ${host.name}`, call)
    if (outcome.kind === 'done') return outcome.value
    if (outcome.kind === 'died') return 'unknown'
    const code = outcome.error instanceof OperationalError ? outcome.error.code : null
    switch (code) {
      case 'PRECONDITION_FAILED':
      case 'REVISION_STALE':
        return { kind: 'stale' }
      case 'NAME_TAKEN':
        return { kind: 'taken' }
      // A patch looks its project up in the state of this node, which may be behind.
      case 'NOT_FOUND':
      case 'NO_QUORUM':
      case 'OVERLOADED':
        return 'notDone'
      case 'OUTCOME_UNKNOWN':
        return 'unknown'
      default:
        this.#world.checker.violate(`${input.kind} ${input.register} threw ${describe(outcome.error)}`)
        return 'unknown'
    }
  }

  #anyHost(): SimHost | null {
    const up = this.#world.hosts.filter((host) => host.isServing)
    return up.length === 0 ? null : this.#random.pick(up)
  }
}
