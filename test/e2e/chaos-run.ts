// A load on a lab, and the judgement of its history: what the chaos test and the damage test have in common.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { checkIndexedReads } from '../history/indexed-reads.ts'
import { checkLinearizable, renderVerdict } from '../history/linearizability.ts'
import { cellModel, checkRegisters, registerModel } from '../history/register.ts'
import { SimRandom } from '../sim/sim-random.ts'
import { ChaosFaults } from './chaos-faults.ts'
import { ChaosClient, clientNames, emptyHistory, type History } from './chaos-load.ts'
import { Api } from './lab-api.ts'
import type { Lab } from './lab-runner.ts'

type Counts = {
  readonly writes: { readonly done: number; readonly refused: number; readonly notDone: number; readonly unknown: number }
  readonly reads: number
  readonly operations: number
}

/** Clients on a lab with nothing of an earlier run in it. Between `start` and `settle` they work; both may be called again. */
export class ChaosRun {
  readonly random: SimRandom
  readonly faults: ChaosFaults
  readonly api: Api
  /** Hosts that are in no cluster any more. */
  readonly outside = new Set<string>()
  readonly #lab: Lab
  readonly #seed: number
  readonly #history: History = emptyHistory()
  readonly #clients: readonly ChaosClient[]
  #stop = new AbortController()
  #running: Promise<unknown> = Promise.resolve()

  /** @param labId of `lab status` */
  constructor(lab: Lab, { seed, labId }: { readonly seed: number; readonly labId: string }) {
    this.random = new SimRandom(seed)
    this.faults = new ChaosFaults(lab, labId, this.random.fork())
    this.api = new Api(lab)
    this.#lab = lab
    this.#seed = seed
    this.#clients = clientNames.map((name) => new ChaosClient(name, { lab, history: this.#history, random: this.random.fork(), lifeOf: (node) => this.faults.life(node), isMember: (node) => !this.outside.has(node) }))
  }

  /** Makes what the clients work on. */
  async prepare(): Promise<void> {
    await this.#clients[0]?.prepare()
  }

  start(): void {
    this.#stop = new AbortController()
    this.#running = Promise.all(this.#clients.map(async (client) => await client.run(this.#stop.signal)))
  }

  /** No client begins anything new; resolves when all have ended. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  /** How many writes were acknowledged so far. */
  get acknowledged(): number {
    return this.counts.writes.done
  }

  get counts(): Counts {
    return countOf(this.#history)
  }

  /** Reads everything at these nodes, which have to be healthy, and judges all that was ever seen. What is wrong, for people; the history is kept then. */
  async judge(nodes: readonly string[]): Promise<readonly string[]> {
    await this.#clients[0]?.readAll(nodes)
    const violations = [...judge(this.#history), ...(await scanNodes(this.api, nodes, this.#history))]
    if (violations.length > 0) keep(this.#history, this.#seed)
    return violations
  }

  /** Lines of a daemon's log in which it says that it halted. */
  halts(node: string): readonly string[] {
    return this.log(node).filter((line) => line.includes('"node halted"'))
  }

  log(node: string): readonly string[] {
    return readFileSync(join(this.#lab.dir, node, 'log', 'novacron.log'), 'utf8').split('\n')
  }

  /** The leader's name, if any node knows it. */
  async leader(nodes: readonly string[]): Promise<string | null> {
    for (const name of nodes) {
      const { status, body } = await this.api.call(name, 'GET', '/api/v1/cluster', { timeoutMs: 1000 })
      const { leader } = (body ?? {}) as { readonly leader?: string | null }
      if (status === 200 && typeof leader === 'string') return leader
    }
    return null
  }

  async isReady(node: string): Promise<boolean> {
    return (await this.api.call(node, 'GET', '/readyz', { timeoutMs: 2000 })).status === 200
  }
}

function judge(history: History): readonly string[] {
  const registers = checkRegisters(registerModel(null), history.registers, history.reads.flatMap(({ found }) => (found === null ? [] : [[found.value, found.revision] as const])))
  const cells = checkLinearizable(cellModel, history.cells)
  return [
    ...(registers.verdict.kind === 'linearizable' ? [] : [registers.text]),
    ...(cells.kind === 'linearizable' ? [] : [renderVerdict(cellModel, cells)]),
    ...checkIndexedReads(history.registers, history.reads),
    ...history.unexpected,
  ]
}

/**
 * The durability scan, of every node's own copy at one index: all copies are equal; the audit has every acknowledged write at its revision, and no more
 * writes than were asked for.
 */
async function scanNodes(api: Api, nodes: readonly string[], history: History): Promise<readonly string[]> {
  const copies = await copiesAtOneIndex(api, nodes)
  const [first] = copies
  if (first === undefined) return ['the nodes do not come to one index']
  const violations = copies.flatMap(({ node, text }) => (text === first.text ? [] : [`the copy of ${node} is another than that of ${first.node} at index ${first.index}`]))
  const done = new Set(first.audit.filter(({ outcome }) => outcome === 'done').map(({ id }) => id))
  for (const { input, output } of history.registers) {
    if (output?.kind === 'done' && output.revision !== null && !done.has(String(output.revision))) violations.push(`${JSON.stringify(input)} was acknowledged at ${output.revision}, the audit does not hold it`)
  }
  const asked = history.registers.filter(({ input, output }) => input.kind !== 'read' && (output === null || output.kind === 'done')).length + history.cells.filter(({ input, output }) => input.value !== undefined && output?.kind !== 'notDone').length
  const written = first.audit.filter(({ command, outcome }) => outcome === 'done' && /^(?:project|user|vm|node)\.(?:create|add|update|patch|delete)$/.test(command)).length
  if (written > asked + createdBeforehand) violations.push(`${written} writes are in the audit, ${asked} were asked for`)
  return violations
}
/** By `lab up` and by the clients before they are counted. */
const createdBeforehand = 10

type Audit = { readonly id: string; readonly command: string; readonly outcome: string }

async function copiesAtOneIndex(api: Api, nodes: readonly string[]): Promise<readonly { readonly node: string; readonly index: number; readonly text: string; readonly audit: readonly Audit[] }[]> {
  const nouns = ['projects', 'users', 'tokens', 'vms', 'images', 'audit'] as const
  for (let tries = 0; tries < 50; tries += 1) {
    const before = await Promise.all(nodes.map(async (node) => (await api.cluster(node)).appliedIndex))
    const copies = await Promise.all(nodes.map(async (node) => ({ node, lists: await Promise.all(nouns.map(async (noun) => await api.all(node, noun))) })))
    const after = await Promise.all(nodes.map(async (node) => (await api.cluster(node)).appliedIndex))
    const index = before[0] ?? 0
    // Whatever is written meanwhile, as a node's own report, makes another comparison.
    if ([...before, ...after].every((each) => each === index)) return copies.map(({ node, lists }) => ({ node, index, text: JSON.stringify(lists.map((list) => list.flatMap(stored))), audit: lists.at(-1) as unknown as readonly Audit[] }))
    await delay(200)
  }
  return []
}

/** Without what each node computes or was told by gossip: the status, and audit records of what never came into the log. */
function stored({ status: _, ...record }: Record<string, unknown>): readonly Record<string, unknown>[] {
  return record['node'] === undefined || record['node'] === '' ? [record] : []
}

function countOf({ registers, cells, reads }: History): Counts {
  const all = [...registers.map(({ input, output }) => ({ isRead: input.kind === 'read', output })), ...cells.map(({ input, output }) => ({ isRead: input.value === undefined, output }))]
  const written = all.filter(({ isRead }) => !isRead).map(({ output }) => output?.kind ?? 'unknown')
  const count = (...kinds: readonly string[]) => written.filter((kind) => kinds.includes(kind)).length
  return {
    writes: { done: count('done'), refused: count('stale', 'absent', 'taken'), notDone: count('notDone'), unknown: count('unknown') },
    reads: all.length - written.length + reads.filter(({ consistent }) => !consistent).length,
    operations: all.length + reads.length,
  }
}

function keep(history: History, seed: number): void {
  const directory = join(import.meta.dirname, '..', '..', 'build', 'chaos')
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, `${seed}.json`), JSON.stringify(history))
}
